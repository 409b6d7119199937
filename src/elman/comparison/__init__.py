"""Comparisons of models and baselines on the same data, with the same training time for each."""
