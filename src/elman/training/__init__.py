"""The one training loop, its checkpoints, metrics and display."""
