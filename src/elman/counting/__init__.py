"""Counting models: what a recurrent network must beat, and what is set beside it."""
