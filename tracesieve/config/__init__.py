"""The config file: its keys, its mistakes, the file that `init` writes."""
