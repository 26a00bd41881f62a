"""HTML pages as one file each: elements, tables, plots and the page around them, made of plain documents.

A page has no script and loads nothing: it can be mailed, kept, opened from a disk. Nothing here reads a
store: what is shown is the document that ``--json`` prints, so that a served page can show the same.
"""
