"""Wiring: command line, settings, followers, demo.  The only package that sees all the others, and the name outsiders import."""
