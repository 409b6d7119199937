"""One file a format: its reader and its writer, side by side; which task has which is said in `table`."""
