"""Decoding: from logits to tokens, by sampling, beam search or the Viterbi algorithm."""
