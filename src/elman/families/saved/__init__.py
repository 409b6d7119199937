"""Saved models: the folder, its figures and model card, and the checks for a resumed run."""
