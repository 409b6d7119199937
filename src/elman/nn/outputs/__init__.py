"""From the outputs of the recurrent layers to predictions: logits, a sequence of labels, or one vector."""
