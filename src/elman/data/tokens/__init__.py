"""Text to ids and back: tokenizers, the lexicon of a network, and pretrained word vectors."""
