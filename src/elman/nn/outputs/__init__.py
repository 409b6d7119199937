"""From the outputs of the recurrent layers to what is predicted: logits, a sequence of labels, one vector."""
