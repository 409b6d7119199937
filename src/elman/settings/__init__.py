"""The settings of every task: a field with a default and a docstring each. Nothing here waits for torch."""
