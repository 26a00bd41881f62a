"""Plots over time: where values are, gaps, words for who cannot see them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from rules.units import HOUR_US, iso_time
from tracesieve.pages.elements import written
from tracesieve.pages.figures import figure, short_figure, ticks
from tracesieve.pages.plots import time_plot

DAY = 1_763_596_800_000_000  # 2025-11-20, midnight


def plot(*values: list[float | None], kind: str = "lines", unit: str = "ms", **more: Any) -> dict[str, Any]:
    starts = [iso_time(DAY + n * HOUR_US, "microseconds") for n in range(len(values[0]))]
    series = [{"name": f"P{n}", "values": one} for n, one in enumerate(values)]
    return {
        "id": "p",
        "title": "Latency",
        "unit": unit,
        "kind": kind,
        "starts": starts,
        "step_s": 3600,
        "series": series,
        **more,
    }


def picture(document: dict[str, Any]) -> Element:
    found = time_plot(document).find("svg")
    assert found is not None
    return found


def classed(tree: Element, tag: str, name: str) -> list[Element]:
    return [one for one in tree.iter(tag) if one.get("class") == name]


def test_a_line_is_interrupted_where_nothing_is_known() -> None:
    (path,) = classed(picture(plot([1.0, 2.0, None, 3.0, None, 4.0])), "path", "one")
    assert re.sub(r"[0-9. ]", "", path.get("d") or "") == "MLMM"
    gaps = classed(picture(plot([1.0, None, 2.0], [None, None, 3.0])), "rect", "gap")
    assert [gap.findtext("title") for gap in gaps] == ["2025-11-20 01:00: no data"]


def test_heights_go_with_values_and_stay_within_the_picture() -> None:
    bars = classed(picture(plot([10.0, 20.0, 0.0, 40.0], kind="bars", unit="count")), "rect", "one")
    heights = [float(one.get("height") or 0) for one in bars]
    assert len(heights) == 3  # nothing is drawn for 0
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.11)
    assert heights[2] == pytest.approx(4 * heights[0], abs=0.11)
    assert all(float(one.get("y") or 0) >= 8 for one in bars)


def test_who_cannot_see_the_plot_gets_it_in_words_and_numbers() -> None:
    made = time_plot(plot([1000.0, None, 61_000.0]))
    svg = made.find("svg")
    assert svg is not None
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby") == "p-title p-desc"
    assert svg.findtext("desc") == (
        "From 2025-11-20 00:00 in 3 steps of 1h. "
        "P0: from 1.0 s to 61 s, the highest at 2025-11-20 02:00, no data in 1 of 3."
    )
    cells = [one.text for one in made.iter("td")]
    assert cells == ["2025-11-20 00:00", "1.0 s", "2025-11-20 01:00", "-", "2025-11-20 02:00", "61 s"]


def test_marks_are_drawn_behind_the_step_that_they_are_about() -> None:
    tree = picture(plot([1.0, 2.0], marks=[{"at": 1, "text": "far above"}]))
    (mark,) = classed(tree, "rect", "mark")
    assert mark.findtext("title") == "2025-11-20 01:00: far above"
    (line,) = classed(tree, "path", "one")
    assert list(tree).index(mark) < list(tree).index(line)


def test_nothing_at_all_is_a_plot_too() -> None:
    for document in (plot([]), plot([None, None]), plot([0.0, 0.0])):
        assert "<svg" in written(time_plot(document))


def test_a_name_of_a_series_is_content() -> None:
    document = plot([1.0])
    document["series"][0]["name"] = '"></svg><script>\u202e'
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)

    made = written(time_plot(document))
    Tags().feed(made)
    assert "svg" in tags and "script" not in tags and "\u202e" not in made


def test_labels_of_the_axis_are_few_and_at_round_times() -> None:
    labels = [
        one.text for one in picture(plot([1.0] * 24)).iter("text") if one.get("text-anchor") == "middle"
    ]
    assert labels == ["Nov 20", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"]


@pytest.mark.parametrize("unit", ["count", "ms", "share", "usd"])
@pytest.mark.parametrize("highest", [0.0, 0.003, 0.4, 1.0, 7.0, 38.0, 99_999.0, 3.7e9])
def test_ticks_reach_over_the_highest_value(unit: str, highest: float) -> None:
    found = ticks(highest, unit)
    assert found[0] == 0 and found[-1] >= highest and 2 <= len(found) <= 6
    assert len({short_figure(one, unit) for one in found}) == len(found)


def test_figures_have_their_unit() -> None:
    assert [figure(2500, "ms"), figure(0.034, "share"), figure(12, "usd"), figure(1234567, "count")] == [
        "2.5 s",
        "3.4%",
        "12.00 USD",
        "1,234,567",
    ]
    assert figure(None, "ms") == figure(float("nan"), "count") == "-"
    with pytest.raises(ValueError, match="furlongs"):
        figure(1, "furlongs")
