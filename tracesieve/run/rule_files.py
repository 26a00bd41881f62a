"""The rule files of a config, watched while a run goes on.

What is compared is what the files hold, taken before they are loaded: a file that is saved while or after it
is read differs at the next look, whatever its time and size say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rules.loading.packs import Loaded, load_packs, rule_files
from rules.loading.yaml_file import MAX_BYTES
from rules.rule_set import RuleModel
from tracesieve.datasets.conditions import dataset_rules

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings


class RuleFiles:
    """Loads the rules of a config, and again whenever their files have changed. Use it from one thread.

    ``more`` are rules that are in force with them: conditions of datasets.
    """

    def __init__(
        self,
        entries: Sequence[str],
        group_by: Sequence[str],
        base_dir: str,
        more: Sequence[RuleModel] = (),
    ) -> None:
        self._entries, self._group_by, self._base_dir = entries, group_by, base_dir
        self._more = more
        self._loaded: dict[Path, str] = {}  # by file: a hash of what it held when it was loaded last

    def load(self) -> Loaded:
        """Load the files as they are."""
        self._loaded = self._contents()
        return self._load()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of a config."""
        return cls(settings.rules, settings.group_by, settings.base_dir, dataset_rules(settings))

    def _load(self) -> Loaded:
        loaded = load_packs(self._entries, self._group_by, self._base_dir)
        if loaded.rule_set is not None:
            loaded.rule_set = loaded.rule_set.with_rules(self._more)
        return loaded

    def reload(self) -> Loaded | None:
        """What came of loading files that have changed since the last load, good or bad; None: none has.

        Files that change while they are loaded are left for the next call: they are being written.
        """
        before = self._contents()
        if before == self._loaded:
            return None
        loaded = self._load()
        if self._contents() != before:
            return None
        self._loaded = before
        return loaded

    def _contents(self) -> dict[Path, str]:
        return {
            file: _hash(file) for entry in self._entries for file in rule_files(entry, Path(self._base_dir))
        }


def _hash(file: Path) -> str:
    """A hash of a file, no further than a rule file may be long; of one that cannot be read, the reason."""
    try:
        with file.open("rb") as content:
            return hashlib.sha256(content.read(MAX_BYTES + 1)).hexdigest()
    except OSError as error:
        return f"{type(error).__name__} {error.errno}"
