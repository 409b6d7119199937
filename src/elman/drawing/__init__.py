"""Numbers in, a picture out."""
