"""Wiring: command line, settings, followers, demo.  The one package that sees all others; outsiders import
this name.
"""
