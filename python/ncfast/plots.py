"""The pictures of a report's page in matplotlib, for papers.

Each draws into the axes given, or into a new figure that pyplot does not know, and returns the figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from ._curves import PANELS, over_largest, positions, series
from .details import Details
from .page._charts import thinned
from .page._colours import THEMES, diverging, rising
from .page._heat import scale_limit
from .page._names import Names
from .report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from .page._colours import Palette

COLOURS = ("#2563a8", "#be3428", "#2c8a62", "#9a6a00")
_FRAMES = {"means": "class means", "weights": "classifier rows"}
_MOST_PAIRS = 12


def cosines(report: Report, frame: str = "means", axes: Axes | None = None) -> Figure:
    """Draw the cosines of a frame about -1/(K-1), in the order of similarity; see `Report.plot_cosines`."""
    if frame not in _FRAMES:
        raise ValueError(f"frame is {frame!r}; wanted 'means' or 'weights'")
    details = _details(report)
    if frame not in details.cosines:
        raise ValueError("the report has no weights; measure with weights=W to draw them")
    figure, axes = _axes(axes, (4.6, 4.0))
    ideal = -1.0 / (details.labels.size - 1)
    values = details.cosines[frame].copy()
    if values.shape[0] == details.labels.size:
        np.fill_diagonal(values, np.nan)
    limit = scale_limit(values - ideal)
    colours = _colour_map(diverging(THEMES["light"]))
    image = axes.imshow(values, colours, vmin=ideal - limit, vmax=ideal + limit, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="cosine; white: $-1/(K-1)$", extend="both")
    axes.set(title=f"Cosines between {_FRAMES[frame]}", xticks=[], yticks=[])
    return figure


def spectrum(report: Report, axes: Axes | None = None) -> Figure:
    """Draw singular values over the largest; see `Report.plot_spectrum`."""
    drawn = {name: values for name, values in report.spectra.items() if values.size and values[0] > 0}
    if not drawn:
        raise ValueError("the report has no spectra; measure with metrics that include 'spectrum'")
    figure, axes = _axes(axes, (4.6, 3.2))
    for (name, values), colour in zip(drawn.items(), COLOURS, strict=False):
        shares = over_largest(values)
        axes.semilogy(1 + np.flatnonzero(shares), shares[shares > 0], color=colour, label=_FRAMES.get(name, name))
    axes.set(title="Singular values", xlabel="index", ylabel="over the largest")
    axes.legend(frameon=False)
    return figure


def norms(report: Report, axes: Axes | None = None) -> Figure:
    """Draw lengths over their mean, longest class mean first; see `Report.plot_norms`."""
    details = _details(report)
    figure, axes = _axes(axes, (4.6, 3.2))
    order = np.argsort(-details.norms["means"], kind="stable")
    for (name, values), colour in zip(details.norms.items(), COLOURS, strict=False):
        axes.plot(1 + np.arange(order.size), values[order] / (values.mean() or 1.0), ".", color=colour, ms=4,
                  label=_FRAMES[name])  # fmt: skip
    axes.axhline(1.0, color="0.5", lw=0.8, ls="--")
    axes.set(title="Lengths", xlabel="classes, longest mean first", ylabel="over the mean length")
    axes.set_ylim(bottom=0.0)
    axes.legend(frameon=False)
    return figure


def spreads(report: Report, axes: Axes | None = None) -> Figure:
    """Draw the spread of each class over the size of class means, widest first; see `Report.plot_spreads`."""
    details = _details(report)
    figure, axes = _axes(axes, (4.6, 3.2))
    size = float(np.sqrt(np.mean(details.norms["means"] ** 2))) or 1.0
    ordered = np.sort(details.spreads)[::-1] / size
    kept = thinned(ordered.size)
    axes.plot(kept + 1, ordered[kept], ".", color=COLOURS[0], ms=4)
    axes.set_yscale("log" if (ordered > 0).all() else "symlog", **({} if (ordered > 0).all() else {"linthresh": 1e-8}))
    axes.set(title="Spread within classes", xlabel="classes, widest first", ylabel="over the size of class means")
    return figure


def pairs(report: Report, class_names: Sequence[str] | None = None, axes: Axes | None = None) -> Figure:
    """Draw the CDNV of the worst pairs; see `Report.plot_pairs`."""
    details = _details(report)
    names = Names(class_names, report)
    figure, axes = _axes(axes, (4.6, 3.6))
    worst = [" / ".join(names.all(pair)) for pair in details.worst_pairs[:_MOST_PAIRS]]
    axes.barh(np.arange(len(worst)), details.worst_cdnv[:_MOST_PAIRS], color=COLOURS[0], height=0.7)
    axes.set_yticks(np.arange(len(worst)), worst, fontsize="small")
    axes.invert_yaxis()
    axes.set(title="Nearest pairs of classes", xlabel="CDNV")
    return figure


def confusion(report: Report, axes: Axes | None = None) -> Figure:
    """Draw samples by class and nearest class mean, where these differ; see `Report.plot_confusion`."""
    details = _details(report)
    if details.confusion is None:
        raise ValueError("the report has no decisions; measure features with metrics that include 'nc4'")
    figure, axes = _axes(axes, (4.6, 4.0))
    from matplotlib.colors import SymLogNorm

    scale = SymLogNorm(1.0, vmin=0.0, vmax=max(1.0, float(details.confusion.max())))
    image = axes.imshow(details.confusion, _colour_map(rising(THEMES["light"])), norm=scale, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="samples")
    axes.set(title="Nearest to another class mean", xlabel="nearest", ylabel="class", xticks=[], yticks=[])
    return figure


def curves(reports: Mapping[str, Report]) -> Figure:
    """Draw NC1 to NC4 over reports by name, in order; names that end in rising numbers place them."""
    if len(reports) < 2:
        raise ValueError(f"reports holds {len(reports)}; wanted at least two to draw curves")
    figure, _ = _axes(None, (11.0, 6.4), 2, 3)
    x = positions(list(reports))
    panels = figure.axes
    for axes, panel in zip(panels, PANELS, strict=False):
        for (key, name), colour in zip(panel.curves, COLOURS, strict=False):
            y = np.array(series(reports, key))
            if np.isfinite(y).any():
                axes.plot(x, y, color=colour, marker=".", label=name)
        has_zero = any(np.any(np.asarray(line.get_ydata()) <= 0) for line in axes.lines)
        axes.set_yscale("symlog" if has_zero else "log", **({"linthresh": 1e-6} if has_zero else {}))
        axes.set_title(panel.title, loc="left")
        if axes.lines:
            axes.legend(frameon=False, fontsize="small")
    for axes in panels[len(PANELS) :]:
        axes.remove()
    return figure


def _details(report: Report) -> Details:
    if report.details is None:
        raise ValueError("the report has no details; measure with details=True to draw them")
    return report.details


def _axes(axes: Axes | None, size: tuple[float, float], rows: int = 1, columns: int = 1) -> tuple[Figure, Axes]:
    """Return the figure of `axes` and them, or a new one: without pyplot, whose state belongs to the caller."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('plot_* need matplotlib: pip install "ncfast[plot]"') from None
    if axes is not None:
        return cast(Figure, axes.get_figure(root=True)), axes
    figure = Figure(figsize=size, layout="constrained")
    figure.subplots(rows, columns)
    for panel in figure.axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, figure.axes[0]


def _colour_map(palette: Palette) -> Colormap:
    from matplotlib.colors import ListedColormap

    return ListedColormap(palette[:-1] / 255.0).with_extremes(bad=tuple(palette[-1] / 255.0))
