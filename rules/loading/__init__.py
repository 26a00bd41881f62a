"""Rule files: reading packs with every finding in its place, the tests they carry, their schema and
reference.
"""
