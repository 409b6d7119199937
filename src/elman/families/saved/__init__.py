"""A model on disk: its folder, its figures, its card, and what a resumed run must share with it."""
