"""What can go wrong with the store.

::

    StoreError              exit 3
    ├── StoreVersionError   written by another version of the program
    ├── StoreUnwritable     no permission, no space, no such place
    ├── StoreTaken          another run holds the lease
    └── TailLost            no failure: commits that a tail needs are gone, the table has to be read afresh
"""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot be used; the message says why and what to do."""

    exit_code = 3


class StoreVersionError(StoreError):
    """The store was written by a program of another store version."""


class StoreUnwritable(StoreError):  # noqa: N818
    """The store's place cannot be written: permission, space or a missing parent."""


class StoreTaken(StoreError):  # noqa: N818
    """Another ``run`` holds the store's lease."""


class TailLost(StoreError):  # noqa: N818
    """Commits that were not read yet are gone from the log: read the table afresh, and tail from there."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 500 characters; the name of its class where it has
    none.
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
