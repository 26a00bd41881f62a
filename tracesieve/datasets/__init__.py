"""Which traces enter which datasets, and which tags they bear."""
