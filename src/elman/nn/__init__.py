"""Layers: the reference, and the fast ones tested against it."""
