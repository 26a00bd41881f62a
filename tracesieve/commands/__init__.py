"""One module a command of the command line; each exposes its click object as ``command``."""
