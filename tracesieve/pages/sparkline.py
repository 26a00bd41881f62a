"""A row of bars so small that it stands in the cell of a table."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from tracesieve.pages.elements import element

_HEIGHT, _STEP = 20, 5


def sparkline(values: Sequence[float], label: str) -> Element:
    """The values from 0 to the highest; ``label`` says for a screen reader what they are."""
    highest = max(values, default=0) or 1
    bars = []
    for place, value in enumerate(values):
        height = value / highest * (_HEIGHT - 1)
        if value:
            height = max(height, 1)
            bars.append(
                element(
                    "rect",
                    x=place * _STEP,
                    y=f"{_HEIGHT - height:.1f}",
                    width=_STEP - 1,
                    height=f"{height:.1f}",
                    class_="three",
                )
            )
    box = {"viewBox": f"0 0 {max(len(values), 1) * _STEP} {_HEIGHT}", "preserveAspectRatio": "none"}
    text = f"{label}: {', '.join(f'{value:,.0f}' for value in values)}"
    return element("svg", element("title", text), *bars, role="img", aria_label=text, class_="spark", **box)
