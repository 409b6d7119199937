"""The training loop, the parts of a run, its checkpoints and its progress display."""
