"""Python values as data: what is handed to a model in place of files, taken and checked."""
