"""Colours of heat maps, in a light and in a dark variant."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Palette = NDArray[np.uint8]
LEVELS = 255
BLANK = 255
"""Index of the colour of what has no value."""


class Theme(NamedTuple):
    """Ends and middle of a scale, and the colour of blanks, as RGB."""

    low: tuple[int, int, int]
    middle: tuple[int, int, int]
    high: tuple[int, int, int]
    blank: tuple[int, int, int]


THEMES = {
    "light": Theme((34, 94, 168), (250, 250, 247), (190, 52, 40), (203, 207, 209)),
    "dark": Theme((98, 160, 234), (27, 31, 36), (242, 128, 100), (72, 79, 86)),
}


def diverging(theme: Theme) -> Palette:
    """Return 255 colours from low through middle to high, and that of blanks."""
    half = np.linspace(0.0, 1.0, LEVELS // 2 + 1)[:, None]
    low, middle, high = (np.array(colour, dtype=float) for colour in theme[:3])
    below, above = low + half * (middle - low), middle + half * (high - middle)
    return np.vstack([below, above[1:], theme.blank]).round().astype(np.uint8)


def rising(theme: Theme) -> Palette:
    """Return 255 colours from middle to high, and that of blanks."""
    steps = np.linspace(0.0, 1.0, LEVELS)[:, None]
    middle, high = np.array(theme.middle, dtype=float), np.array(theme.high, dtype=float)
    return np.vstack([middle + steps * (high - middle), theme.blank]).round().astype(np.uint8)


def levels(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    """Return the index of the colour of each value, of a scale from `low` to `high`; `BLANK` for nan."""
    scaled = np.clip((values - low) / (high - low), 0.0, 1.0) * (LEVELS - 1)
    return np.where(np.isnan(values), BLANK, np.nan_to_num(scaled).round()).astype(np.uint8)
