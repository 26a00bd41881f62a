"""The span that takes more than half of the time, and what that usually means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rules.breakdown import Pair, Total
from tracesieve.terminal import plain

MORE_THAN = 0.5  # of the critical path
WRAPPERS = frozenset({"forward", "predict", "root"})  # frameworks name what only calls others so
_MOST_NAME = 60
_MEANS = {
    "LLM": "a slow model or endpoint, a long prompt, or a long output",
    "CHAT_MODEL": "a slow model or endpoint, a long prompt, or a long output",
    "RETRIEVER": "a slow index, or more documents than are needed",
    "EMBEDDING": "texts embedded one by one, or the same ones again and again",
    "RERANKER": "more documents than need to be ranked",
    "TOOL": "a slow service behind it, or calls that could run at once",
    "PARSER": "a large output that is parsed again and again",
    "MEMORY": "a slow store, or a history that is read whole",
    "GUARDRAIL": "a check by a model that could run beside the answer",
    "EVALUATOR": "a judge that could run after the answer",
}
_OTHERWISE = "work of its own, or steps in it that have no span"


def short_name(name: str) -> str:
    """What stands after the last dot: ``app.tools.search`` is ``search``."""
    return name.rpartition(".")[2] or name


def bottleneck(of_pairs: Mapping[Pair, Total]) -> dict[str, Any]:
    """``bottleneck``, one sentence, and ``bottleneck_span``; both null where no span takes more than half."""
    whole = sum(total.sums["critical_us"] for total in of_pairs.values())
    usable = {pair: one for pair, one in of_pairs.items() if short_name(pair[1]).lower() not in WRAPPERS}
    if not usable or not whole:
        return {"bottleneck": None, "bottleneck_span": None}
    (kind, name), most = max(usable.items(), key=lambda item: (item[1].sums["critical_us"], item[0]))
    share = most.sums["critical_us"] / whole
    if share <= MORE_THAN:
        return {"bottleneck": None, "bottleneck_span": None}
    called = f"{plain(name, _MOST_NAME)} ({plain(kind, _MOST_NAME)})"
    return {
        "bottleneck": f"{called} takes {share:.0%} of the time: usually {_MEANS.get(kind, _OTHERWISE)}.",
        "bottleneck_span": {"span_name": name, "span_type": kind, "critical_share": share},
    }
