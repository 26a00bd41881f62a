"""The options ``--by`` and ``--group``: keys of ``group_by``, and their values; faults in one message."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from tracesieve.errors import TracesieveError


def by_keys(given: Sequence[str], known: Sequence[str]) -> list[str]:
    """The keys of ``--by``, each once; a key may have a comma in it.

    Raises:
        TracesieveError: some are no keys of ``group_by``; all of them at once.
    """
    keys = [key for text in given for key in ([text] if text in known else text.split(","))]
    keys = list(dict.fromkeys(key.strip() for key in keys))
    wrong = []
    for key in keys:
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else "use a key of group_by"
            wrong.append(f"--by {key}: {hint} ({', '.join(known)})")
    if wrong:
        raise TracesieveError("\n".join(wrong))
    return keys


def group_values(given: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """The values of ``--group KEY=VALUE`` by key.

    Raises:
        TracesieveError: some have no value, or no key of ``group_by``; all of them at once.
    """
    pairs = [text.partition("=") for text in given]
    wrong = [
        text for text, (key, equals, _) in zip(given, pairs, strict=True) if not equals or key not in known
    ]
    if wrong:
        keys = ", ".join(known)
        raise TracesieveError(
            "\n".join(f"--group {text}: write KEY=VALUE, with a key of group_by ({keys})" for text in wrong)
        )
    return {key: value for key, _, value in pairs}
