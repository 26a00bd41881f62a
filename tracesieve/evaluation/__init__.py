"""Judging the answers of a dataset: scorers, the gate, earlier evaluations, and how the rules did."""
