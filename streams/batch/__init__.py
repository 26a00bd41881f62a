"""One batch: from rows of a source to facts and windows."""
