"""Spans of generated traces: agents that retrieve, plan, call tools and answer, 5 to 8 spans each, a tool
beside the retriever.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from rules.breakdown import AMOUNTS, Spans
from rules.breakdown.critical_path import critical_time
from rules.breakdown.self_time import child_time
from rules.matcher import values as v

AGENTS = ("support_agent", "search_agent", "billing_agent")
# Type, name, median in ms, share of traces that have it. The first tool runs beside the retriever, the other
# steps one after the other.
_STEPS = (
    ("CHAT_MODEL", "plan", 600, 1.0),
    ("RETRIEVER", "tools.search_documents", 1800, 1.0),
    ("TOOL", "tools.lookup_order", 500, 1.0),
    ("RERANKER", "rerank", 150, 0.5),
    ("TOOL", "tools.create_ticket", 300, 0.3),
    ("TOOL", "tools.create_ticket", 300, 0.2),
    ("CHAT_MODEL", "answer", 1500, 1.0),
)
_BESIDE = 2  # the step that runs beside the one before it
_TYPES = sorted({"AGENT", *(step[0] for step in _STEPS)})
_NAMES = sorted({*AGENTS, *(step[1] for step in _STEPS)})


def made_spans(rng: np.random.Generator, agent: Any, failed: Any) -> Spans:
    """The spans of as many traces as ``agent`` and ``failed`` have items; times begin at 0."""
    number, steps = len(agent), len(_STEPS)
    there = rng.random((number, steps)) < np.array([step[3] for step in _STEPS])
    median_us = np.array([step[2] * 1000.0 for step in _STEPS])
    took = (rng.lognormal(0.0, 0.6, (number, steps)) * median_us).astype(np.int64) * there
    pause = rng.integers(0, 20_000, (number, steps)) * there
    serial = took + pause
    serial[:, _BESIDE] = np.maximum(took[:, _BESIDE] - took[:, _BESIDE - 1], 0)
    begin = np.cumsum(serial, axis=1) - serial + pause
    begin[:, _BESIDE] = begin[:, _BESIDE - 1]
    root = serial.sum(axis=1) + 10_000
    shown = np.column_stack([np.ones(number, bool), there]).ravel()
    start = np.column_stack([np.zeros(number, np.int64), begin]).ravel()[shown]
    end = start + np.column_stack([root, took]).ravel()[shown]
    kind = np.tile(np.arange(steps + 1), number)[shown]
    owners = np.repeat(np.arange(number), steps + 1)[shown]
    first = np.flatnonzero(kind == 0)
    parent = np.where(kind == 0, -1, first[owners])
    broken = (rng.random(len(kind)) < 0.02) & (kind == _BESIDE + 1) | failed[owners] & (kind == 0)
    children = child_time(start, end, parent)
    timed = np.ones(len(kind), bool)
    ties = np.arange(len(kind))
    return Spans(
        owners=owners,
        parent=parent,
        types=_texts(_TYPES, ["AGENT", *(step[0] for step in _STEPS)], kind),
        names=_names(kind, agent[owners]),
        failed=broken,
        timed=timed,
        start_us=start,
        duration_us=end - start,
        self_us=end - start - children.covered_us,
        critical_us=critical_time(start, end, timed, parent, owners, ties),
        parallel_us=children.parallel_us,
        used=_used(rng, kind),
    )


def _texts(words: list[str], of_kind: list[str], kind: Any) -> v.Texts:
    codes = np.array([words.index(one) for one in of_kind])
    return v.Texts(codes[kind], pa.array(words, pa.string()))


def _names(kind: Any, agent: Any) -> v.Texts:
    found = _texts(_NAMES, [AGENTS[0], *(step[1] for step in _STEPS)], kind)
    own = np.array([_NAMES.index(one) for one in AGENTS])
    return v.Texts(np.where(kind == 0, own[agent], found.codes), found.arrow)


def _used(rng: np.random.Generator, kind: Any) -> dict[str, Any]:
    """Tokens and cost of the spans that call a model."""
    model = np.isin(kind, [place for place, step in enumerate(_STEPS, 1) if step[0] == "CHAT_MODEL"])
    given, written = rng.integers(200, 9000, len(kind)), rng.integers(10, 1500, len(kind))
    amounts = (given, written, given + written, given * 1000 + written * 5000)
    return {
        name: np.where(model, amount.astype(np.float64), np.nan)
        for name, amount in zip(AMOUNTS, amounts, strict=True)
    }
