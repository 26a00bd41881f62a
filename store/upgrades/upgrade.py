"""The store's version: a newer store is refused, an older one is upgraded in place, step by step.

``UPGRADES`` holds for each version the step that leads to the next.  A step may be cut short and repeated.
Before the first step the version file says the new version, and from which one it is being upgraded: a
program of the old version refuses a store that is half upgraded, and this one goes on with it.  A new column
needs no step: reading an older table gives null for it, and the next append adds it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deltalake.exceptions import DeltaError

from store.errors import StoreError, StoreUnwritable, StoreVersionError, first_line
from store.files import SmallFiles

log = logging.getLogger(__name__)
STORE_VERSION: Final = 3
VERSION_FILE: Final = "tracesieve-store.json"
Options = dict[str, str] | None


def _traces_log(path: str, options: Options) -> None:
    from store.upgrades import traces_log

    traces_log.upgrade(path, options)


def _names_and_lists(path: str, options: Options) -> None:
    from store.upgrades import names_and_lists  # 0.1 s at the start of every command, if it stood above

    names_and_lists.upgrade(path, options)


UPGRADES: dict[int, Callable[[str, Options], None]] = {1: _traces_log, 2: _names_and_lists}


@dataclass(frozen=True)
class StoreVersion:
    """Which version the store has, or is being upgraded to; ``done`` is the last one that it has wholly."""

    number: int
    done: int


def read_version(path: str, options: Options = None) -> StoreVersion | None:
    """The version of the store at ``path``; None where there is no store.

    Raises:
        StoreError: the file that says so is broken.
    """
    place = SmallFiles(path, options)
    try:
        text = place.read(VERSION_FILE)
        if text is None:
            return None
        found = json.loads(text)
        number = int(found["store_version"])
        return StoreVersion(number, int(found.get("upgrading_from", number)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DeltaError) as error:
        raise StoreError(f"{place.uri}/{VERSION_FILE} cannot be read: {error}") from error


def version_of(path: str, options: Options = None) -> int | None:
    """The version that the store at ``path`` has wholly, None where there is no store; see
    :func:`read_version`.
    """
    found = read_version(path, options)
    return None if found is None else found.done if found.number <= STORE_VERSION else found.number


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
        _write(path, {"store_version": STORE_VERSION}, options)
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
    """Take the steps that are missing, under the store's lease; one that was cut short is taken again.

    Raises:
        StoreTaken: another run is using the store.
        StoreUnwritable: it cannot be written, for example because the disk is full; the next attempt goes on
            from there.
    """
    from store.lease import Lease

    lease = Lease(path)
    lease.acquire()
    try:
        for version in range(version_of(path, options) or 0, STORE_VERSION):
            log.info("upgrading the store from version %d to %d", version, version + 1)
            _write(path, {"store_version": STORE_VERSION, "upgrading_from": version}, options)
            UPGRADES[version](path, options)
        _write(path, {"store_version": STORE_VERSION}, options)
    except (OSError, DeltaError) as error:
        raise StoreUnwritable(f"{path} cannot be upgraded: {first_line(error)}") from error
    finally:
        lease.release()


def _write(path: str, content: dict[str, int], options: Options) -> None:
    try:
        SmallFiles(path, options).write(VERSION_FILE, json.dumps(content))
    except OSError as error:
        raise StoreUnwritable(f"{path} cannot be written: {error.strerror or error}") from error
