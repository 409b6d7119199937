"""Text to ids and back: tokenizers, the words that a network knows, and pretrained vectors of words."""
