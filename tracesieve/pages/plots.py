"""Plots over time as inline SVG, from plain documents::

    {"id": "latency", "title": "Latency", "unit": "ms", "kind": "lines",
     "starts": ["2026-11-20T08:00:00.000000Z", …], "step_s": 3600,
     "series": [{"name": "P50", "values": [812.0, None, …]}, …],
     "marks": [{"at": 3, "text": "P95 far above its usual"}]}

A series with ``"bad": true`` has the colour of failures. ``kind`` is ``lines`` or ``bars``; bars of a later
series stand before those of the first, as errors do before the traces they are among. None is a step of
which nothing is known: a gap. ``id`` is unique in a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from rules.units import DAY_US, SECOND_US, duration_text, parse_time_us, utc
from tracesieve.pages.blocks import folded, table
from tracesieve.pages.elements import element
from tracesieve.pages.figures import figure, short_figure, ticks

WIDTH, HEIGHT = 480, 160
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 6, 8, 20
_MOST_LABELS = 8
_STRIDES = (1, 2, 3, 4, 6, 12, 24, 48, 72, 96, 168, 336, 720)


@dataclass(frozen=True)
class _Field:
    """Where on the picture a step and a value are."""

    steps: int
    top: float

    @property
    def step_width(self) -> float:
        return (WIDTH - _LEFT - _RIGHT) / max(self.steps, 1)

    def left(self, step: int) -> float:
        return _LEFT + step * self.step_width

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - value / self.top * (HEIGHT - _TOP - _BOTTOM)


def time_plot(plot: Mapping[str, Any]) -> Element:
    """The plot as a figure: its title and legend, the picture, and the same numbers as a table to unfold."""
    unit, series, name = plot["unit"], plot["series"], plot["id"]
    known = [value for one in series for value in one["values"] if value is not None]
    scale = ticks(max(known, default=0.0), unit)
    field = _Field(len(plot["starts"]), scale[-1])
    parts = [
        element("title", plot["title"], id=f"{name}-title"),
        element("desc", described(plot), id=f"{name}-desc"),
        *_bands(plot, field),
        *_grid(plot, field, scale),
        *_drawn(plot, field),
    ]
    labelled = f"{name}-title {name}-desc"
    box = {"viewBox": f"0 0 {WIDTH} {HEIGHT}"}
    picture = element("svg", *parts, role="img", aria_labelledby=labelled, **box)
    return element("figure", _caption(plot), picture, _numbers(plot))


def described(plot: Mapping[str, Any]) -> str:
    """The plot in words: when, the highest and lowest value of each series, and where nothing is known."""
    starts = plot["starts"]
    if not starts:
        return "No data."
    sentences = [
        f"From {_when(plot, 0)} in {len(starts)} steps of {duration_text(plot['step_s'] * SECOND_US)}."
    ]
    for one in plot["series"]:
        known = [(value, place) for place, value in enumerate(one["values"]) if value is not None]
        if not known:
            sentences.append(f"{one['name']}: no data.")
            continue
        (high, at), (low, _) = max(known, key=lambda pair: pair[0]), min(known, key=lambda pair: pair[0])
        text = f"{one['name']}: from {figure(low, plot['unit'])} to {figure(high, plot['unit'])}"
        missing = len(starts) - len(known)
        none = f", no data in {missing} of {len(starts)}" if missing else ""
        sentences.append(f"{text}, the highest at {_when(plot, at)}{none}.")
    return " ".join(sentences)


def _caption(plot: Mapping[str, Any]) -> Element:
    keys = []
    for one, colour in _coloured(plot):
        box = {"viewBox": "0 0 28 14"}
        shape = (
            element("path", d="M0 7H28", class_=colour)
            if plot["kind"] == "lines"
            else element("rect", x=4, y=0, width=20, height=14, class_=colour)
        )
        keys.append(
            element("span", element("svg", shape, class_="key", aria_hidden="true", **box), f" {one['name']}")
        )
    return element("figcaption", plot["title"], *keys)


def _bands(plot: Mapping[str, Any], field: _Field) -> Iterator[Element]:
    """Steps that are marked, and those of which nothing at all is known."""

    def band(step: int, colour: str, text: str) -> Element:
        return element(
            "rect",
            element("title", text),
            x=f"{field.left(step):.1f}",
            y=_TOP,
            width=f"{field.step_width:.1f}",
            height=HEIGHT - _TOP - _BOTTOM,
            class_=colour,
        )

    for step in range(field.steps):
        if all(one["values"][step] is None for one in plot["series"]):
            yield band(step, "gap", f"{_when(plot, step)}: no data")
    for mark in plot.get("marks", ()):
        yield band(mark["at"], "mark", f"{_when(plot, mark['at'])}: {mark['text']}")


def _grid(plot: Mapping[str, Any], field: _Field, scale: Sequence[float]) -> Iterator[Element]:
    for value in scale:
        y = field.y(value)
        yield element("path", d=f"M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}", class_="grid")
        text = short_figure(value, plot["unit"])
        yield element("text", text, x=_LEFT - 6, y=f"{y + 4:.1f}", text_anchor="end")
    for step, label in _labels(plot):
        middle = plot["kind"] == "lines"
        x = field.left(step) + (field.step_width / 2 if middle else 0)
        yield element("text", label, x=f"{x:.1f}", y=HEIGHT - 6, text_anchor="middle")


def _labels(plot: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Which steps bear a label: at most :data:`_MOST_LABELS`, at round times."""
    step_us = plot["step_s"] * SECOND_US
    times = [parse_time_us(one) for one in plot["starts"]]
    enough = [one for one in _STRIDES if len(times) / one <= _MOST_LABELS]
    stride = enough[0] if enough else len(times)
    for place, time_us in enumerate(times):
        if time_us // step_us % stride == 0:
            at = utc(time_us)
            yield place, f"{at:%b} {at.day}" if time_us % DAY_US == 0 else f"{at:%H:%M}"


def _drawn(plot: Mapping[str, Any], field: _Field) -> Iterator[Element]:
    for one, colour in _coloured(plot):
        draw = _bars if plot["kind"] == "bars" else _line
        yield from draw(plot, one, colour, field)


def _coloured(plot: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    for one, colour in zip(plot["series"], ("one", "two", "three"), strict=False):
        yield one, "three" if one.get("bad") else colour


def _bars(plot: Mapping[str, Any], one: Mapping[str, Any], colour: str, field: _Field) -> Iterator[Element]:
    for step, value in enumerate(one["values"]):
        if value:
            y = field.y(value)
            yield element(
                "rect",
                element("title", _point(plot, one, step)),
                x=f"{field.left(step) + field.step_width * 0.1:.1f}",
                y=f"{y:.1f}",
                width=f"{field.step_width * 0.8:.1f}",
                height=f"{max(HEIGHT - _BOTTOM - y, 0.5):.1f}",
                class_=colour,
            )


def _line(plot: Mapping[str, Any], one: Mapping[str, Any], colour: str, field: _Field) -> Iterator[Element]:
    """A line that is interrupted where nothing is known; every value has a dot that says it."""
    path, pen_down, dots = [], False, []
    for step, value in enumerate(one["values"]):
        if value is None:
            pen_down = False
            continue
        x, y = field.left(step) + field.step_width / 2, field.y(value)
        path.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
        pen_down = True
        text = element("title", _point(plot, one, step))
        dots.append(element("circle", text, cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.5, class_=colour))
    if path:
        yield element("path", d="".join(path), class_=colour)
    yield from dots


def _point(plot: Mapping[str, Any], one: Mapping[str, Any], step: int) -> str:
    return f"{_when(plot, step)}: {figure(one['values'][step], plot['unit'])} {one['name']}"


def _numbers(plot: Mapping[str, Any]) -> Element:
    headings = ("UTC", *(one["name"] for one in plot["series"]))
    rows = [
        (_when(plot, step), *(figure(one["values"][step], plot["unit"]) for one in plot["series"]))
        for step in range(len(plot["starts"]))
    ]
    return folded("as a table", table(headings, rows, numbers=range(1, len(headings))))


def _when(plot: Mapping[str, Any], step: int) -> str:
    return f"{utc(parse_time_us(plot['starts'][step])):%Y-%m-%d %H:%M}"
