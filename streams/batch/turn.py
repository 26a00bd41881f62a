"""Turns at writing facts: who reads what stands and then appends what follows from it does so alone.

Batches of the query and pieces of `apply` run in one process, on threads of their own.
"""

from __future__ import annotations

import threading

_LOCKS: dict[str, threading.Lock] = {}


def facts_turn(store_path: str) -> threading.Lock:
    """The lock of one store's facts, in this process; held from the read of what stands to the append."""
    return _LOCKS.setdefault(store_path, threading.Lock())
