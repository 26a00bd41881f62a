"""A run: its parts, watching or taking once, and its end."""
