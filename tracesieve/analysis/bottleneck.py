"""The span that takes more than half of the time, and what that usually means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rules.breakdown import WRAPPERS, Pair, Total, longest, short_name
from tracesieve.terminal import plain

__all__ = ["MORE_THAN", "WRAPPERS", "bottleneck", "short_name"]
MORE_THAN = 0.5  # of the critical path
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


def bottleneck(of_pairs: Mapping[Pair, Total]) -> dict[str, Any]:
    """``bottleneck``, one sentence, and ``bottleneck_span``; both null where no span takes more than half."""
    found = longest(of_pairs)
    if found is None or found[1] <= MORE_THAN:
        return {"bottleneck": None, "bottleneck_span": None}
    (kind, name), share = found
    called = f"{plain(name, _MOST_NAME)} ({plain(kind, _MOST_NAME)})"
    return {
        "bottleneck": f"{called} takes {share:.0%} of the time: usually {_MEANS.get(kind, _OTHERWISE)}.",
        "bottleneck_span": {"span_name": name, "span_type": kind, "critical_share": share},
    }
