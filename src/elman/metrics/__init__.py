"""Figures: predictions and targets in, numbers out."""
