"""Two sides of traces compared, two ranges of time or two versions: what became slower, dearer, more failing,
and how sure that is.
"""
