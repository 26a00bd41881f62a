"""A run: its parts, kept going or made to go once, and its end."""
