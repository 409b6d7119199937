"""Counting models: the baselines that a recurrent network must beat."""
