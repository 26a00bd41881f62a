"""``--last``, ``--from`` and ``--to``: ranges, and what is wrong in one message that names the options."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from rules.units import HOUR_US, parse_time_us
from tracesieve.commands import apply, report
from tracesieve.errors import TracesieveError
from tracesieve.time_range import range_us

NOW = parse_time_us("2026-02-01T00:00:00Z")


@pytest.mark.parametrize(
    ("last", "start", "end", "found"),
    [
        (None, None, None, (None, None)),
        ("1h", None, None, (NOW - HOUR_US, None)),
        (None, "2026-01-31T23:00:00", None, (NOW - HOUR_US, None)),
        (None, "2026-02-01T00:00:00+01:00", None, (NOW - HOUR_US, None)),
        (None, None, "2026-03-01", (None, parse_time_us("2026-03-01T00:00:00Z"))),
        (None, "2027-01-01", "2027-01-02", (parse_time_us("2027-01-01"), parse_time_us("2027-01-02"))),
    ],
)
def test_a_range(
    last: str | None, start: str | None, end: str | None, found: tuple[int | None, int | None]
) -> None:
    assert range_us(last, start, end, NOW) == found


@pytest.mark.parametrize(
    ("last", "start", "end", "message"),
    [
        (None, "2026-01-02", "2026-01-01", "--from 2026-01-02 is not before --to 2026-01-01"),
        (None, "2026-01-01", "2026-01-01", "--from 2026-01-01 is not before --to 2026-01-01"),
        (None, "2026-02-02", None, "--from 2026-02-02 is not before now"),
        ("1h", "2026-01-01", None, "--last goes without --from: it ends now"),
        ("1h", "2026-01-02", "2026-01-01", "--last goes without --from and --to: it ends now"),
        ("0s", None, None, "--last 0s: write a duration such as 30m, 24h or 7d"),
        (
            "soon",
            "x",
            None,
            "--last soon: write a duration such as 30m, 24h or 7d\n"
            "--from 'x' is not a time: write it as 2026-01-31T12:00:00Z\n"
            "--last goes without --from: it ends now",
        ),
    ],
)
def test_what_is_wrong_is_said_at_once(
    last: str | None, start: str | None, end: str | None, message: str
) -> None:
    with pytest.raises(TracesieveError) as wrong:
        range_us(last, start, end, NOW)
    assert str(wrong.value) == message
    assert wrong.value.exit_code == 2


def test_a_time_is_read_to_the_microsecond() -> None:
    assert parse_time_us("2026-11-20T00:01:01.123457Z") == 1_795_132_861_123_457
    assert parse_time_us("0001-01-01T00:00:00+14:00") < parse_time_us("9999-12-31T23:59:59.999999")


@pytest.mark.parametrize("command", [report.command, apply.command], ids=["report", "apply"])
def test_commands_with_a_range_refuse_a_wrong_one(command: object, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tracesieve.yaml").write_text("source: {kind: delta_traces, table: traces}\n")
    done = CliRunner().invoke(command, ["--from", "2026-01-02", "--to", "2026-01-01"])  # type: ignore[arg-type]
    assert isinstance(done.exception, TracesieveError)
    assert "--from 2026-01-02 is not before --to" in str(done.exception)
