"""The file formats, one module each with its reader and its writer; `table` lists the formats of each task."""
