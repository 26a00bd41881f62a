"""The config file: its keys, what is wrong with it, the file that `init` writes."""
