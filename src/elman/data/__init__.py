"""Files, text, ids and batches: everything that comes before the network."""
