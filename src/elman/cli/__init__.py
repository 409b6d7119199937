"""Turns a shell command into one call on a model, and its answer into text or JSON."""
