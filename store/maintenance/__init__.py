"""Keeping the store small and quick, off the hot path: old rows, small files, long logs (SEMANTICS 10, 19).

One table at a time: expired rows go, minutes become longer windows, small files become few, logs and unused
files are deleted.  Every change is one Delta commit beside which appends go on: what conflicts is given up
and tried later, and a crash at any instruction leaves either the former or the new state.  Nothing goes that
a follower, the stream's checkpoint or ``undo`` still needs.  Times are given, never read.
"""
