"""Python values as data: checking and converting what the user passes instead of files."""
