"""Prometheus metrics: which there are, and their present values."""
