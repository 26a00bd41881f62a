"""Edges to outside systems, one system a file; each states its delivery guarantee in its first docstring
line.
"""
