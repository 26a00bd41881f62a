"""Benchmarks: what the monitor costs, each figure beside something measured in the same run
(docs/benchmarks.md).
"""
