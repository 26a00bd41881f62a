"""Every key of the config with wrong values: each message is in words, with its line, its key and what was
written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.sources import SOURCES, Entry
from tracesieve.config.keys import key_paths
from tracesieve.config.loading import load_settings
from tracesieve.config.settings import OWN_FIELDS, settings_model
from tracesieve.errors import ConfigError

WRONG: list[Any] = [
    -1,
    1.5,
    True,
    None,
    "",
    "what is this?",
    [],
    [1],
    [{"a": 1}],
    {},
    {"a": 1},
    {"kind": "x"},
]
JARGON = re.compile(
    r"\^|\\|(?<!error )(?<!per_)pattern|Input should|valid (dictionary|list|string|tuple)|pydantic|https://errors|extract|discriminator"
    r"|None\b|True\b|False\b"
)
LINE = re.compile(r"\d+: ([a-z_.0-9]+): .+")
KINDS = [str(source.model_fields["kind"].default) for source in map(Entry.load, SOURCES)]


def keys(kind: str) -> list[str]:
    """Every key of the config, those of this kind of source among them."""
    found = key_paths(settings_model(), {"source": {"kind": kind}})
    return [one for one in found if one not in OWN_FIELDS and one != "source.kind"]


def with_value(kind: str, paths: list[str], value: Any) -> dict[str, Any]:
    """A config in which all these keys have this value."""
    config: dict[str, Any] = {"source": {"kind": kind}}
    for path in paths:
        *above, last = path.split(".")
        place = config
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return config


def messages(folder: Path, config: Mapping[str, Any]) -> list[str]:
    file = folder / "tracesieve.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    try:
        load_settings(file)
    except ConfigError as error:
        return [line.removeprefix(f"{file}:") for line in str(error).splitlines()]
    return []


def mistakes_in(lines: list[str]) -> Iterator[str]:
    for line in lines:
        found = LINE.fullmatch(line)
        if found is None or JARGON.search(line[found.end(1) :]):
            yield line


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_all_keys_wrong_at_once_are_said_in_words(tmp_path: Path, kind: str, value: Any) -> None:
    parts = [one for one in keys(kind) if not any(other.startswith(f"{one}.") for other in keys(kind))]
    found = messages(tmp_path, with_value(kind, parts, value))
    assert found and list(mistakes_in(found)) == []
    named = [match[1] for line in found if (match := LINE.fullmatch(line))]
    assert all(any(one == key or one.startswith(f"{key}.") for key in parts) for one in named)


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_a_part_that_is_no_part_is_said_in_words(tmp_path: Path, value: Any) -> None:
    parts = [one for one in keys(KINDS[0]) if "." not in one]
    for part in parts:
        assert list(mistakes_in(messages(tmp_path, {"source": {"kind": "mlflow"}, part: value}))) == []


def test_what_was_written_is_said_without_a_login(tmp_path: Path) -> None:
    config = {
        "source": {"kind": "mlflow", "tracking_uri": "http://x", "experiments": ["a"]},
        "alerts": {"alertmanager": ["host:9093", "ftp://user:hunter2@host", {"url": "", "token_env": 5}]},
    }
    found = messages(tmp_path, config)
    address = "an address with http:// or https:// is expected, such as http://127.0.0.1:9093"
    assert found == [
        "8: alerts.alertmanager.0: an address with http:// or https:// is expected: write http://host:9093, "
        "not 'host:9093'",
        f"9: alerts.alertmanager.1: {address}, not 'ftp://…@host'",
        "11: alerts.alertmanager.2.token_env: a text is expected, not 5 (quote it: '5')",
        f"10: alerts.alertmanager.2.url: {address}, not ''",
    ]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "mlfow",
            "1: source.kind: one of 'mlflow' or 'delta_traces' is expected, not 'mlfow' "
            "(did you mean mlflow?)",
        ),
        (None, "1: source.kind: is required (mlflow or delta_traces)"),
    ],
)
def test_the_kind_of_a_source_is_said_with_those_there_are(
    tmp_path: Path, kind: str | None, message: str
) -> None:
    file = tmp_path / "tracesieve.yaml"
    file.write_text(f"source: {{kind: {kind}}}\n" if kind else "source: {table: t}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(file)
    assert str(caught.value) == f"{file}:{message}"
