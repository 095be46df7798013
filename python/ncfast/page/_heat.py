"""Heat maps: a small picture of pixels for each theme, named and framed in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from ._colours import THEMES, Palette, diverging, levels, rising
from ._png import data_uri
from ._scales import number

Float = NDArray[np.float64]

_SIZE = 400
_NAMED = 24
_TITLED = 30


def cosine_map(cosines: Float, num_classes: int, names: Sequence[str], title: str) -> str:
    """Draw mean cosines as what they differ from the simplex's, -1/(K-1), in red above and blue below."""
    ideal = -1.0 / (num_classes - 1)
    excess = cosines - ideal
    if cosines.shape[0] == num_classes:
        np.fill_diagonal(excess, np.nan)
    limit = scale_limit(excess)
    legend = _legend("diverging", f"{limit:g} less", f"−1/(K − 1) = {number(ideal)}", f"{limit:g} more")
    palettes = {theme: diverging(colours) for theme, colours in THEMES.items()}
    return _map(levels(excess, -limit, limit), palettes, cosines, names, title, legend)


def confusion_map(counts: Float, names: Sequence[str], title: str) -> str:
    """Draw how many samples of each row are nearest to the mean of each column, on a logarithmic scale."""
    most = float(counts.max())
    strength = np.log1p(counts)
    if counts.shape[0] == len(names):
        np.fill_diagonal(strength, np.nan)
    palettes = {theme: rising(colours) for theme, colours in THEMES.items()}
    legend = _legend("rising", "no sample", "", f"{number(most)}")
    return _map(levels(strength, 0.0, float(np.log1p(most)) or 1.0), palettes, counts, names, title, legend)


def scale_limit(excess: Float) -> float:
    """Return the end of the scale: a round value that holds nearly all, at least 0.1, so that collapse looks flat."""
    finite = np.abs(excess[np.isfinite(excess)])
    reach = float(np.quantile(finite, 0.995)) if finite.size else 0.0
    return next(limit for limit in (0.1, 0.2, 0.5, 1.0, 2.0) if reach <= limit or limit == 2.0)


def _map(
    pixels: NDArray[np.uint8],
    palettes: dict[str, Palette],
    values: Float,
    names: Sequence[str],
    title: str,
    legend: str,
) -> str:
    size = pixels.shape[0]
    named = size == len(names) and size <= _NAMED
    margin = min(110.0, 7.0 + 5.9 * max(map(len, names))) if named else 0.0
    cell = (_SIZE - margin) / size
    images = "".join(
        f'<image class="{theme}" x="{margin:.1f}" y="0" width="{_SIZE - margin:.1f}" height="{_SIZE - margin:.1f}"'
        f' href="{data_uri(pixels, palette)}"/>'
        for theme, palette in palettes.items()
    )
    labels = _labels(names, margin, cell) if named else ""
    titles = _titles(values, names, margin, cell) if named and size <= _TITLED else ""
    return (
        f'<figure class="map"><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {_SIZE} {_SIZE}" role="img"'
        f' aria-label="{escape(title)}">{images}{labels}{titles}</svg>{legend}</figure>'
    )


def _labels(names: Sequence[str], margin: float, cell: float) -> str:
    """Write the names beside rows and under columns."""
    size = min(11.0, 0.8 * cell)
    texts = []
    for i, name in enumerate(names):
        middle = (i + 0.5) * cell
        short = escape(name if len(name) <= 18 else name[:17] + "…")
        texts.append(f'<text class="y" x="{margin - 6:.1f}" y="{middle + 0.35 * size:.1f}">{short}</text>')
        place = f"translate({margin + middle + 0.35 * size:.1f} {_SIZE - margin + 6:.1f}) rotate(-90)"
        texts.append(f'<text class="y" transform="{place}">{short}</text>')
    return f'<g style="font-size:{size:.1f}px">{"".join(texts)}</g>'


def _titles(values: Float, names: Sequence[str], margin: float, cell: float) -> str:
    """Lay invisible squares over the pixels that say what they are."""
    return '<g class="over">' + "".join(
        f'<path d="M{margin + j * cell:.1f} {i * cell:.1f}h{cell:.1f}v{cell:.1f}h{-cell:.1f}z"><title>'
        f"{escape(names[i])}, {escape(names[j])}: {number(float(values[i, j]))}</title></path>"
        for i in range(len(names))
        for j in range(len(names))
        if i != j
    ) + "</g>"  # fmt: skip


def _legend(kind: str, low: str, middle: str, high: str) -> str:
    return f'<div class="scale"><span>{low}</span><i class="{kind}"></i><span>{high}</span><em>{middle}</em></div>'
