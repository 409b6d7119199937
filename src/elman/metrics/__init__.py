"""Metrics: predictions and targets in, numbers out."""
