"""Keeping the store small and quick: old rows, small files, long logs."""
