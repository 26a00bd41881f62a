"""What a person would compute in a notebook: ``mlflow.search_traces`` and pandas, by end time.

Written without the project's own code, for tests to compare with: the default pack's rules, the report, the
evidence of its two window rules, the tags and the dataset records that follow.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import Any

import mlflow
import pandas as pd

MINUTE_MS = 60_000
SEVERITY = {"info": 0, "warning": 1, "critical": 2}
# id -> (category, severity), in the order of the default pack
TRACE_RULES = {  # a user's before those of the shipped pack, which they outrank
    "thumbs-down": ("thumbs_down", "info"),
    "error-traces": ("error_case", "critical"),
    "tool-errors": ("error_case", "warning"),
    "slow-responses": ("slow_response", "warning"),
    "tool-loops": ("edge_case", "warning"),
    "empty-retrieval": ("edge_case", "info"),
    "token-hotspots": ("edge_case", "info"),
}
WINDOW_RULES = {"error-rate-high": ("error_case", 5), "p95-latency-high": ("slow_response", 10)}


def traces(uri: str, experiments: dict[str, str], *, spans: bool = True) -> pd.DataFrame:
    """Every finished trace that counts, with what the rules look at as plain columns; times in ms."""
    mlflow.set_tracking_uri(uri)
    parts = [_experiment(key, name, spans) for key, name in experiments.items()]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _experiment(key: str, name: str, spans: bool) -> pd.DataFrame:
    found = mlflow.search_traces(locations=[key], max_results=100_000, include_spans=spans)
    if found.empty:
        return found
    found = found[~found["state"].astype(str).str.contains("IN_PROGRESS")]
    found = found[[not meta.get("mlflow.sourceRun") for meta in found["trace_metadata"]]]
    duration = pd.to_numeric(found["execution_duration"])
    return pd.DataFrame(
        {
            "trace_id": found["trace_id"],
            "experiment": name,
            "name": [tags.get("mlflow.traceName", "") for tags in found["tags"]],
            "error": found["state"].astype(str).str.contains("ERROR"),
            "duration": duration,
            "end": pd.to_numeric(found["request_time"]) + duration.fillna(0),
            "tags": found["tags"],
            "tokens": [
                _number(meta, "mlflow.trace.tokenUsage", "total_tokens") for meta in found["trace_metadata"]
            ],
            "cost": [_number(meta, "mlflow.trace.cost", "total_cost") for meta in found["trace_metadata"]],
            "spans": found["spans"] if spans else [[] for _ in found.index],
            "feedback": [_feedback(one) for one in found["assessments"]],
        }
    )


def _number(metadata: dict[str, str], name: str, key: str) -> float:
    return float(json.loads(metadata[name]).get(key, math.nan)) if name in metadata else math.nan


def _feedback(assessments: Any) -> dict[str, Any]:
    found = {}
    for one in assessments or []:
        feedback = one.get("feedback") if isinstance(one, dict) else None
        if feedback is not None:
            found[one["assessment_name"]] = feedback.get("value")
    return found


def _span(span: Any) -> tuple[str, bool, Any]:
    attributes = span["attributes"]
    kind = attributes.get("mlflow.spanType")
    return (
        json.loads(kind) if kind else "",
        span["status"]["code"].endswith("ERROR"),
        attributes.get("mlflow.spanOutputs"),
    )


def rules_of(row: Any) -> list[str]:
    """The trace rules that match one row of :func:`traces`, in the pack's order."""
    spans = [_span(span) for span in row.spans]
    tools = [failed for kind, failed, _ in spans if kind == "TOOL"]
    matched = {
        "error-traces": row.error,
        "tool-errors": any(tools),
        "slow-responses": row.duration > 10_000,
        "tool-loops": len(tools) > 10,
        "empty-retrieval": any(
            kind == "RETRIEVER" and not failed and out == "[]" for kind, failed, out in spans
        ),
        "token-hotspots": row.tokens > 20_000,
        "thumbs-down": row.feedback.get("correct") is False,
    }
    return [rule for rule in TRACE_RULES if matched[rule]]


def rank_quantile(values: pd.Series, q: float) -> float:
    """The value at rank ⌈q·n⌉."""
    ordered = sorted(values.dropna())
    return float(ordered[max(math.ceil(q * len(ordered)), 1) - 1])


def evidence(frame: pd.DataFrame, from_ms: int, to_ms: int) -> dict[str, set[str]]:
    """By trace id the window rules that pick it: at the step to firing of each episode, at most 20 of its
    window.
    """
    picked: dict[str, set[str]] = defaultdict(set)
    for rule, (_, minutes) in WINDOW_RULES.items():
        for _, group in frame.groupby(["experiment", "name"]):
            since: int | None = None
            firing = False
            first = int(
                group["end"][group["end"] >= from_ms].min() if (group["end"] >= from_ms).any() else to_ms
            )
            for instant in range(-(-first // MINUTE_MS) * MINUTE_MS, to_ms + 1, MINUTE_MS):
                inside = group[(group["end"] >= instant - minutes * MINUTE_MS) & (group["end"] < instant)]
                if inside.empty:
                    continue
                value = (
                    inside["error"].mean()
                    if rule == "error-rate-high"
                    else rank_quantile(inside["duration"], 0.95)
                )
                fire, clear = (0.05, 0.02) if rule == "error-rate-high" else (8000, 6000)
                above = value > fire and len(inside) >= 20
                if firing:
                    firing = not value < clear
                    since = None
                elif above:
                    since = instant if since is None else since
                    firing = instant - since >= 2 * MINUTE_MS
                    if firing:
                        for trace in _worst(rule, inside):
                            picked[trace].add(rule)
                else:
                    since = None
    return picked


def _worst(rule: str, inside: pd.DataFrame) -> list[str]:
    if rule == "error-rate-high":
        chosen = inside[inside["error"]].sort_values(["end", "trace_id"], ascending=[False, True])
    else:
        chosen = inside[inside["duration"] > 8000].sort_values(
            ["duration", "trace_id"], ascending=[False, True]
        )
    return list(chosen["trace_id"].head(20))


def wanted_tags(frame: pd.DataFrame, picked: dict[str, set[str]]) -> dict[str, dict[str, str]]:
    """By trace id the tags that it should bear; nothing for a trace that no rule names."""
    wanted = {}
    for row in frame.itertuples():
        hits = rules_of(row)
        by_severity = sorted(hits, key=lambda rule: -SEVERITY[TRACE_RULES[rule][1]])
        categories = [TRACE_RULES[rule][0] for rule in by_severity]
        categories += [WINDOW_RULES[rule][0] for rule in WINDOW_RULES if rule in picked.get(row.trace_id, ())]
        if categories:
            named = sorted({*hits, *picked.get(row.trace_id, ())})
            of_category: dict[str, list[str]] = defaultdict(list)
            for rule in named:
                of_category[(TRACE_RULES.get(rule) or WINDOW_RULES[rule])[0]].append(rule)
            wanted[row.trace_id] = {
                "eval_candidate": categories[0],
                "tracesieve.category": categories[0],
                "tracesieve.rules": ",".join(named),
                **{f"tracesieve.category.{name}": ",".join(rules) for name, rules in of_category.items()},
            }
    return wanted


def present_tags(frame: pd.DataFrame) -> dict[str, dict[str, str]]:
    """By trace id the tags of those names that it bears."""
    found = {
        row.trace_id: {
            name: value
            for name, value in row.tags.items()
            if name == "eval_candidate" or name.startswith("tracesieve.")
        }
        for row in frame.itertuples()
    }
    return {trace: tags for trace, tags in found.items() if tags}


Datasets = dict[tuple[str, str], dict[str, tuple[tuple[str, ...], str]]]


def wanted_records(frame: pd.DataFrame, picked: dict[str, set[str]]) -> Datasets:
    """By (experiment, dataset) and canonical inputs: the source traces, and the output of the one that ended
    last.
    """
    entries: dict[tuple[str, str], dict[str, list[tuple[float, str, str]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in frame.itertuples():
        names = {TRACE_RULES[rule][0] for rule in rules_of(row)}
        names |= {WINDOW_RULES[rule][0] for rule in picked.get(row.trace_id, ())}
        inputs, output = _inputs_output(row.spans)
        for name in names:
            entries[row.experiment, f"tracesieve_{name}"][inputs].append((row.end, row.trace_id, output))
    return {
        dataset: {
            inputs: (tuple(sorted(one[1] for one in found)), max(found)[2])
            for inputs, found in records.items()
        }
        for dataset, records in entries.items()
    }


def _inputs_output(spans: Any) -> tuple[str, str]:
    root = next((span for span in spans if not span.get("parent_span_id")), None)
    attributes = root["attributes"] if root else {}
    inputs, output = (
        json.loads(attributes.get(f"mlflow.span{name}", "null")) for name in ("Inputs", "Outputs")
    )
    return canonical(inputs if isinstance(inputs, dict) else {"input": inputs}), canonical(output)


def canonical(value: Any) -> str:
    """JSON with sorted keys."""
    return json.dumps(value, sort_keys=True)


def present_records(uri: str, experiments: dict[str, str]) -> Datasets:
    """The same as the server has it; a dataset without records is left out."""
    client = mlflow.MlflowClient(uri)
    found: Datasets = {}
    for key, name in experiments.items():
        for dataset in client.search_datasets([key], "name LIKE 'tracesieve_%'"):
            records, _ = client._tracking_client.store._load_dataset_records(
                dataset.dataset_id, max_results=None
            )
            kept = {
                canonical(one.inputs): (
                    tuple(sorted(json.loads(one.tags["tracesieve.sources"]))),
                    canonical(one.outputs),
                )
                for one in records
            }
            if kept:
                assert len(kept) == len(records), "two records with equal inputs"
                assert (name, dataset.name) not in found, "two datasets of one name in an experiment"
                found[name, dataset.name] = kept
    return found


def report(frame: pd.DataFrame, from_ms: float, to_ms: float, picked: dict[str, set[str]]) -> dict[str, Any]:
    """The numbers of ``report --json`` for the traces that ended in [from, to); evidence counts for its
    rule.
    """
    inside = frame[(frame["end"] >= from_ms) & (frame["end"] < to_ms)]
    rules: dict[str, int] = defaultdict(int)
    candidates: dict[str, int] = defaultdict(int)
    for tags in wanted_tags(inside, picked).values():
        candidates[tags["eval_candidate"]] += 1
        for rule in tags["tracesieve.rules"].split(","):
            rules[rule] += 1
    groups = {
        key: (len(part), int(part["error"].sum())) for key, part in inside.groupby(["experiment", "name"])
    }
    return {
        "traces": len(inside),
        "errors": int(inside["error"].sum()),
        "rules": dict(rules),
        "candidates": dict(candidates),
        "tokens": int(inside["tokens"].sum()),
        "cost_usd": float(inside["cost"].sum()),
        "groups": groups,
        "durations": sorted(inside["duration"].dropna()),
    }
