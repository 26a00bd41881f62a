"""The store's version: a newer store is refused, an older one is upgraded in place, step by step.

``UPGRADES`` holds for each version the step that leads to the next.  A step may be cut short and repeated:
the version is written after it.  A new column needs no step: reading an older table gives null for it, and
the next append adds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from store.errors import StoreError, StoreUnwritable, StoreVersionError
from store.files import SmallFiles
from store.table import STREAMED

STORE_VERSION: Final = 2
VERSION_FILE: Final = "tracesieve-store.json"
Options = dict[str, str] | None


def _log_of_traces_is_cleaned_by_maintenance(path: str, options: Options) -> None:
    """1 → 2: the log of ``traces`` was kept for 30 days; now for as long as the stream has not read it."""
    try:
        table = DeltaTable(f"{path.rstrip('/')}/traces", storage_options=options)
    except TableNotFoundError:
        return
    if any(table.metadata().configuration.get(key) != value for key, value in STREAMED.items()):
        table.alter.set_table_properties(STREAMED)


UPGRADES: dict[int, Callable[[str, Options], None]] = {1: _log_of_traces_is_cleaned_by_maintenance}


def version_of(path: str, options: Options = None) -> int | None:
    """The version of the store at ``path``; None where there is no store.

    Raises:
        StoreError: the file that says so is broken.
    """
    place = SmallFiles(path, options)
    try:
        text = place.read(VERSION_FILE)
        return None if text is None else int(json.loads(text)["store_version"])
    except (OSError, ValueError, KeyError, TypeError, DeltaError) as error:
        raise StoreError(f"{place.uri}/{VERSION_FILE} cannot be read: {error}") from error


def check_version(path: str, create: bool, options: Options = None) -> None:
    """Make sure that the store at ``path`` is of this program's version; make or upgrade it if ``create``.

    Raises:
        StoreError: there is none, and ``create`` is False.
        StoreVersionError: a newer program wrote it, or an older one and it can't be upgraded (or not by this
            command).
        StoreTaken: it must be upgraded, and another run is using it.
        StoreUnwritable: it cannot be written.
    """
    found = version_of(path, options)
    if found == STORE_VERSION:
        return
    if found is None:
        if not create:
            raise StoreError(
                f"there is no store at {path}: `tracesieve run` makes one, or name another with store: in "
                "the config"
            )
        _write(path, STORE_VERSION, options)
        return
    if found > STORE_VERSION:
        raise StoreVersionError(
            f"{path} has store version {found}, this program writes {STORE_VERSION}: "
            "use the newer tracesieve that wrote it, or another folder (store: in the config)"
        )
    if any(version not in UPGRADES for version in range(found, STORE_VERSION)):
        raise StoreVersionError(
            f"{path} has store version {found}, this program writes {STORE_VERSION} and knows no way from "
            "there: "
            "use the tracesieve that wrote it, or another folder (store: in the config)"
        )
    if not create:
        raise StoreVersionError(
            f"{path} has store version {found}, this program reads {STORE_VERSION}: `tracesieve run` "
            "upgrades it"
        )
    upgrade(path, options)


def upgrade(path: str, options: Options = None) -> None:
    """Take the steps that are missing, under the store's lease; one that was cut short is taken again."""
    from store.lease import Lease

    lease = Lease(path)
    lease.acquire()
    try:
        for version in range(version_of(path, options) or 0, STORE_VERSION):
            UPGRADES[version](path, options)
            _write(path, version + 1, options)
    finally:
        lease.release()


def _write(path: str, version: int, options: Options) -> None:
    try:
        SmallFiles(path, options).write(VERSION_FILE, json.dumps({"store_version": version}))
    except OSError as error:
        raise StoreUnwritable(f"{path} cannot be written: {error.strerror or error}") from error
