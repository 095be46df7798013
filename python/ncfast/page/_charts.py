"""Charts as inline SVG; colours and lettering are the style sheet's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._scales import Scale, fitted, number

Float = NDArray[np.float64]

_WIDTH, _HEIGHT = 420, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 10, 10, 38
_MOST_POINTS = 600


class Series(NamedTuple):
    """A named curve."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def curves(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    x_ticks: Sequence[tuple[float, str]] | None = None,
    log: bool = True,
    markers: bool = False,
    last: bool = True,
) -> str:
    """Draw curves in one panel, the latest value of each in the legend; `x_ticks` instead of round numbers."""
    y_scale = fitted((value for entry in series for value in entry.y), log=log)
    x_scale = _across(sorted({value for entry in series for value in entry.x}))
    drawn = [_curve(i, entry, x_scale, y_scale, markers=markers) for i, entry in enumerate(series, 1)]
    legend = [(i, entry.name, number(entry.y[-1]) if last else "") for i, entry in enumerate(series, 1)]
    return _figure(title, legend, _frame(x_scale, y_scale, x_label, x_ticks) + "".join(drawn), title)


def dots(
    series: Sequence[Series], *, title: str, x_label: str, log: bool, line: float | None = None, note: str = ""
) -> str:
    """Draw series as dots, and a line across at a value."""
    values = [value for entry in series for value in entry.y]
    y_scale = fitted(values if line is None else [*values, line], log=log, zero=not log)
    x_scale = fitted((value for entry in series for value in entry.x), log=False)
    body = _frame(x_scale, y_scale, x_label)
    if line is not None:
        y = _y(y_scale.place(line))
        body += f'<path class="rule" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
    for i, entry in reversed(list(enumerate(series, 1))):  # the first on top
        points = [
            f"M{_x(x_scale.place(x)):.1f} {_y(y_scale.place(y)):.1f}h0"
            for x, y in zip(entry.x, entry.y, strict=True)
            if math.isfinite(y)
        ]
        few = " few" if len(points) <= 60 else ""
        body += f'<path class="dots s{i}{few}" d="{"".join(points)}"/>'
    return _figure(title, [(i, entry.name, "") for i, entry in enumerate(series, 1)], body, note or title)


def _across(values: Sequence[float]) -> Scale:
    """Return a scale for these rising values: logarithmic if most of them would crowd at its begin."""
    if len(values) == 1:
        return Scale(values[0] - 1, values[0] + 1)
    crowded = len(values) > 3 and values[0] > 0 and values[len(values) // 2] < values[-1] / 4
    return Scale(values[0], values[-1], log=crowded)


def thinned(count: int) -> NDArray[np.int64]:
    """Return which of `count` sorted values to draw: all, or evenly spaced ones with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).round().astype(np.int64))


def _figure(title: str, legend: Sequence[tuple[int, str, str]], body: str, label: str) -> str:
    entries = "".join(
        f'<li><i class="s{i}"></i>{escape(name)}{f" <b>{escape(value)}</b>" if value else ""}</li>'
        for i, name, value in legend
    )
    legend_list = f'<ul class="legend">{entries}</ul>' if len(legend) > 1 or legend[0][2] else ""
    return (
        f'<figure><figcaption>{escape(title)}</figcaption>{legend_list}<svg viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        f' role="img" aria-label="{escape(label)}">{body}</svg></figure>'
    )


def _curve(index: int, entry: Series, x_scale: Scale, y_scale: Scale, *, markers: bool) -> str:
    """Draw one curve, broken where there is no value."""
    points = [
        (_x(x_scale.place(x)), _y(y_scale.place(y)), y) if math.isfinite(y) else None
        for x, y in zip(entry.x, entry.y, strict=True)
    ]
    path, pen = "", "M"
    for point in points:
        path += "" if point is None else f"{pen}{point[0]:.1f} {point[1]:.1f}"
        pen = "M" if point is None else "L"
    drawn = f'<path class="curve s{index}" d="{path}"/>'
    if not markers or len(points) > 60:
        return drawn
    return drawn + "".join(
        f'<circle class="s{index}" cx="{p[0]:.1f}" cy="{p[1]:.1f}" r="2.6"><title>{escape(number(p[2], 4))}</title>'
        "</circle>"
        for p in points
        if p is not None
    )


def _frame(x_scale: Scale, y_scale: Scale, x_label: str, x_ticks: Sequence[tuple[float, str]] | None = None) -> str:
    """Draw grid, ticks and the name of the axis below."""
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    grid, texts = "", ""
    for value, text in y_scale.ticks():
        y = _y(y_scale.place(value))
        grid += f"M{_LEFT} {y:.1f}H{right}"
        texts += f'<text class="y" x="{_LEFT - 7}" y="{y + 3.6:.1f}">{text}</text>'
    for value, text in x_scale.ticks() if x_ticks is None else x_ticks:
        half = 3.3 * len(text)
        x = min(max(_x(x_scale.place(value)), _LEFT - 20 + half), right - half)
        texts += f'<text class="x" x="{x:.1f}" y="{bottom + 16}">{escape(text)}</text>'
    return (
        f'<path class="grid" d="{grid}"/>{texts}'
        f'<text class="axis" x="{(_LEFT + right) / 2}" y="{_HEIGHT - 5}">{escape(x_label)}</text>'
    )


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)
