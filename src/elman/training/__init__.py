"""The one training loop, the pieces of a run, its checkpoints and its display."""
