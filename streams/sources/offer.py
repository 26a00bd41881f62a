"""What a source offers to ``tracesieve init``: its options, a look at a place, and the config that follows.

Nothing here, and in no module that holds an offer, may load pydantic, Arrow or a client: the help of ``init``
lists the options of every source.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class InitOption:
    """An option of ``tracesieve init``, such as ``--table``; ``variable`` is the environment variable that it
    defaults to.
    """

    flag: str
    help: str
    many: bool = False
    variable: str = ""


@dataclass(frozen=True)
class Draft:
    """A config that ``init`` may write.

    ``config``: by top-level key, ``source`` with its ``kind`` among them.  ``details``: what was found, plain
    data for ``--json``.  ``missing``: what a person must still write into the file; empty where it can be
    run.
    """

    config: Mapping[str, Any]
    details: Mapping[str, Any]
    missing: str = ""


@dataclass(frozen=True)
class Survey:
    """What ``init`` found at a place, as a table for a person, and what follows from it.

    ``usual``: the rows that are taken where nobody picks others; ``asks``: whether a person may.  ``draft``
    makes the config, given the rows that were picked.
    """

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]
    draft: Callable[[Sequence[int]], Draft]
    numeric: tuple[int, ...] = ()  # columns of numbers
    usual: Sequence[int] = ()
    asks: bool = False


class InitOffer(ABC):
    """What ``tracesieve init`` can do for a kind of source."""

    noun: ClassVar[str]  # such as "a Delta table"
    place: ClassVar[InitOption]  # the option that names where it is
    more: ClassVar[tuple[InitOption, ...]] = ()

    @abstractmethod
    def survey(self, place: str, more: Mapping[str, Sequence[str]], config_dir: Path) -> Survey:
        """Look at ``place``; ``more`` holds the values of the other options by flag.

        Raises:
            SourceError: it cannot be looked at.
            InitRefused: an option names what is not there.
        """
