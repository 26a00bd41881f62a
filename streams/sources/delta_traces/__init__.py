"""A Delta table of traces as a source."""
