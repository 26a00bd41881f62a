"""One grammar of durations for rule files, the config and the command line; times as text."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from rules.duration_key import DurationUs
from rules.units import (
    DAY_US,
    HOUR_US,
    MINUTE_US,
    SECOND_US,
    duration_text,
    iso_time,
    parse_duration_us,
    readable_time,
    seconds_text,
)
from streams.sources.mlflow.source import MlflowSource
from tracesieve.config.loading import load_settings


class Part(BaseModel):
    length: DurationUs = 2 * SECOND_US


@pytest.mark.parametrize(
    ("text", "length_us"),
    [
        ("30s", 30 * SECOND_US),
        ("5m", 5 * MINUTE_US),
        ("1.5h", 90 * MINUTE_US),
        ("7d", 7 * DAY_US),
        ("500ms", SECOND_US // 2),
        (" 10 m ", 10 * MINUTE_US),
        ("2", 2 * SECOND_US),
        (2, 2 * SECOND_US),
        (0.25, SECOND_US // 4),
        ("1.001s", 1_001_000),
        ("0.0005ms", 0),
        (0, 0),
        ("999999999s", 999_999_999 * SECOND_US),
    ],
)
def test_a_duration_is_a_number_and_a_unit_or_seconds(text: object, length_us: int) -> None:
    assert parse_duration_us(text) == length_us
    assert Part.model_validate({"length": text}).length == length_us


@pytest.mark.parametrize(
    "text", ["soon", "", "-5m", "5 weeks", "1e3s", "5mm", True, None, [], float("nan"), float("inf")]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is no duration: write seconds, or 30s, 5m, 24h, 7d"):
        parse_duration_us(text)


def test_a_negative_number_and_one_that_no_column_can_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Part.model_validate({"length": -1})
    with pytest.raises(ValueError, match="is too long: at most 106751991d"):
        parse_duration_us("999999999d")


@pytest.mark.parametrize("length_us", [0, 1, 1500, SECOND_US, 90 * SECOND_US, HOUR_US, 30 * DAY_US])
def test_a_duration_as_text_is_read_back_as_it_was(length_us: int) -> None:
    assert parse_duration_us(duration_text(length_us)) == length_us
    assert parse_duration_us(seconds_text(length_us)) == length_us
    assert Part.model_validate_json(Part(length=seconds_text(length_us)).model_dump_json()) == Part(  # type: ignore[arg-type]
        length=duration_text(length_us)  # type: ignore[arg-type]
    )


def test_durations_as_text_use_the_largest_whole_unit() -> None:
    lengths = (0, 1500 * 1000, 90 * SECOND_US, 2 * HOUR_US, 30 * DAY_US)
    assert [duration_text(one) for one in lengths] == ["0s", "1500ms", "90s", "2h", "30d"]
    assert seconds_text(5 * MINUTE_US) == "300s"


def test_the_config_reads_what_a_source_reads(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "source: {kind: mlflow, tracking_uri: 'http://x', experiments: [a], overlap: 1.5 m, settle: 250ms}\n"
        "evaluate_after: 250ms\ndedupe_horizon: 40 d\nrevise_for: 3600\nretention: {facts: 50d}\n"
    )
    settings = load_settings(file)
    assert (settings.evaluate_after, settings.dedupe_horizon, settings.revise_for) == (
        250_000,
        40 * DAY_US,
        HOUR_US,
    )
    assert settings.retention == {"facts": 50 * DAY_US}
    assert settings.alerts.page_if_newer_than == HOUR_US  # the default
    assert isinstance(settings.source, MlflowSource)
    assert (settings.source.overlap, settings.source.settle, settings.source.amend_for) == (
        90 * SECOND_US,
        250_000,
        DAY_US,
    )


def test_the_hash_of_a_config_is_that_of_earlier_versions(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("source: {kind: mlflow, tracking_uri: 'http://x', experiments: [a]}\n")
    assert load_settings(file).config_hash == "c59a849f0092"


def test_times_as_text() -> None:
    time_us = 1_795_132_861_123_456
    assert iso_time(time_us) == "2026-11-20T00:01:01Z"
    assert iso_time(time_us, "auto") == "2026-11-20T00:01:01.123456Z"
    assert iso_time(time_us // SECOND_US * SECOND_US, "auto") == "2026-11-20T00:01:01Z"
    assert readable_time(time_us) == "2026-11-20 00:01:01 UTC"
    assert readable_time(time_us, "minutes") == "2026-11-20 00:01 UTC"
