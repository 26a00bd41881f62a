"""``datasets.redaction`` in the config: every mistake at once, in words; a plugin that is not there is known
before the start.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sinks.mlflow.redaction import Door, RedactionConfig
from tracesieve.config.loading import load_settings, missing
from tracesieve.errors import ConfigError

CONFIG = """\
source: {kind: mlflow, tracking_uri: 'http://127.0.0.1:5000', experiments: [a]}
mlflow: {tracking_uri: 'http://127.0.0.1:5000'}
datasets:
  redaction: %s
"""


def settings(folder: Path, redaction: str) -> object:
    file = folder / "tracesieve.yaml"
    file.write_text(CONFIG % redaction)
    return load_settings(str(file))


def test_it_is_on_unless_it_is_switched_off(tmp_path: Path) -> None:
    for text, on in (("{}", True), ("{detectors: [email]}", True), ("false", False)):
        config = settings(tmp_path, text).sinks["datasets"].redaction  # type: ignore[attr-defined]
        assert bool(Door(config).fingerprint) == on
    plain = Door(False).passed({"q": "a@example.com"})
    assert (plain.values, plain.found) == (({"q": "a@example.com"},), "")


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = "{detectors: [mail, ip], patterns: {a: '(', b: 'x*', email: 'x', 'no!': x}, region: de, plugin: m}"
    with pytest.raises(ConfigError) as found:
        settings(tmp_path, text)
    lines = str(found.value).splitlines()
    assert len(lines) == 4, lines
    by_key = {line.split(": ")[0].rpartition(":")[2] + line.split(": ")[1]: line for line in lines}
    assert {key.lstrip("0123456789") for key in by_key} == {
        "datasets.redaction.detectors.0",
        "datasets.redaction.patterns",
        "datasets.redaction.region",
        "datasets.redaction.plugin",
    }
    (patterns,) = [line for line in lines if "patterns" in line]
    for part in ("`a`: ", "`b`: it matches the empty text", "`email`: is the name of a detector", "`no!`: "):
        assert part in patterns


def test_a_plugin_that_cannot_be_imported_stops_the_start(tmp_path: Path) -> None:
    there = settings(tmp_path, "{plugin: 'json:dumps'}")
    assert missing(there) == []  # type: ignore[arg-type]
    gone = settings(tmp_path, "{plugin: 'no_such_module:find'}")
    (diagnostic,) = missing(gone)  # type: ignore[arg-type]
    assert "no_such_module:find cannot be imported (ModuleNotFoundError)" in str(diagnostic)


def test_the_texts_of_one_record_are_redacted_together() -> None:
    passed = Door(RedactionConfig()).passed({"q": "a@example.com"}, None, "a@example.com, +49 30 901820")
    assert passed.values == ({"q": "[EMAIL_1]"}, None, "[EMAIL_1], [PHONE_1]")
    assert passed.found == "EMAIL 1, PHONE 1"
