"""The options ``--by`` and ``--group``: keys of ``group_by``, and their values; faults in one message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from tracesieve.errors import TracesieveError


def by_keys(given: Sequence[str], known: Sequence[str]) -> list[str]:
    """The keys of ``--by``, each once; a key may have a comma in it.

    Raises:
        TracesieveError: some are no keys of ``group_by``; all of them at once.
    """
    keys = list(dict.fromkeys(key for text in given for key in _split(text, known)))
    wrong = []
    for key in keys:
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else "use a key of group_by"
            wrong.append(f"--by {key}: {hint} ({', '.join(known)})")
    if wrong:
        raise TracesieveError("\n".join(wrong))
    return keys


def _split(text: str, known: Sequence[str]) -> Iterator[str]:
    """The keys between commas; one that has a comma itself is found by what is known."""
    while text:
        begins = [key for key in known if text == key or text.startswith(f"{key},")]
        key = max(begins, key=len, default=text.partition(",")[0])
        yield key.strip()
        text = text[len(key) + 1 :].lstrip()


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
