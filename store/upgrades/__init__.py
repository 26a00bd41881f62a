"""Upgrading a store that an older program wrote: in place, step by step, each step a file."""
