"""Models side by side on the same data, each with the same time."""
