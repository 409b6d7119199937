"""Pictures: from files to pixels, from pixels to features, and into batches."""
