"""The scenarios by name.

To add one: write ``benchmarks/NAME_topic.py`` with a docstring that says what is compared and a function
``run(options: Options) -> dict[str, Any]``, and put its line below. What ``run`` returns becomes the
scenario's JSON line (``benchmarks.measure.goal`` makes the entries of ``goals``); ``python -m benchmarks
--child NAME ARGS`` calls the module's ``child`` in a fresh process, for figures that must be cold.
"""

from __future__ import annotations

SCENARIOS: dict[str, str] = {
    "a": "benchmarks.a_backfill",
    "b": "benchmarks.b_rules",
    "c1": "benchmarks.c1_delta_to_metrics",
    "c2": "benchmarks.c2_mlflow",
    "d": "benchmarks.d_report",
    "e": "benchmarks.e_small_batches",
    "f": "benchmarks.f_facts",
}


def chosen(names: list[str]) -> list[str]:
    """The scenarios that are meant: all for none, ``c`` for ``c1`` and ``c2``.

    Raises:
        KeyError: a name fits no scenario.
    """
    if not names:
        return list(SCENARIOS)
    found = []
    for name in names:
        fits = [known for known in SCENARIOS if known == name] or [
            known for known in SCENARIOS if known.startswith(name)
        ]
        if not fits:
            raise KeyError(name)
        found += fits
    return list(dict.fromkeys(found))
