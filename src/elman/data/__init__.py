"""Files, text, ids and batches: everything before the network."""
