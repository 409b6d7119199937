"""Pictures: from files to pixels, from pixels to features, and into batches."""

from elman.data.images.decoding import read_picture as read_picture
