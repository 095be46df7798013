"""The picture of a descent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _drawing
from ._drawing import BLUE, GOLD, GREEN, GREY, PURPLE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .trajectory import Trajectory

_COLOURS = (BLUE, RED, GREEN, GOLD, PURPLE, GREY)


def draw(run: Trajectory) -> Figure:
    """Loss and gradient, variability, geometry; logarithmic, with the slopes that theory knows."""
    figure = _drawing.new_figure("Descent", _caption(run), (15, 4.6))
    left, middle, right = figure.subplots(1, 3)
    _curve(left, run, run.loss, "loss", BLUE)
    _curve(left, run, run.gradient_norm, "norm of the gradient", RED)
    nc1 = [name for name in run.metrics if "nc1_" in name]
    for name, colour in zip(nc1, _COLOURS * len(nc1), strict=False):
        _curve(middle, run, run.metrics[name], name, colour)
        if name in run.slopes:
            _slope(middle, run, name, colour)
    frame = "of" if not run.problem.has_bias else "etf"
    geometry = [f"nc2_{frame}_means", f"nc2_{frame}_weights", f"nc3_alignment_{frame}"]
    shown = [name for name in run.metrics if name.rpartition("/")[2] in geometry]
    for name, colour in zip(shown, _COLOURS * len(shown), strict=False):
        _curve(right, run, run.metrics[name], name, colour)
    titles = ("Loss", "Variability within classes", "Geometry and alignment")
    for axes, title in zip((left, middle, right), titles, strict=True):
        _drawing.dress(axes, title, "iteration", "")
        axes.set_yscale("log")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    return figure


def _caption(run: Trajectory) -> str:
    problem = run.problem
    sizes = f"K = {problem.num_classes}, d = {problem.num_features}, N = {problem.num_samples:,}"
    return f"{type(problem).__name__}, {sizes}, step {run.settings['step']:g}, {run.dynamics} dynamics"


def _curve(axes: Axes, run: Trajectory, values: np.ndarray, label: str, colour: str) -> None:
    drawn = np.isfinite(values) & (values > 0)
    axes.plot(run.iterations[drawn], values[drawn], color=colour, label=label, linewidth=1.6)


def _slope(axes: Axes, run: Trajectory, name: str, colour: str) -> None:
    """Draw the predicted slope through the last record but a tenth, where the curve follows it if anywhere."""
    values = run.metrics[name]
    good = np.flatnonzero(np.isfinite(values) & (values > 0))
    if good.size < 2:
        return
    anchor = good[int(0.6 * (good.size - 1))]
    window = run.iterations[good[good.size // 4] : good[-1] + 1]
    line = np.log(values[anchor]) + run.slopes[name] * (window - run.iterations[anchor])
    axes.plot(window, np.exp(line), color=colour, linestyle="--", linewidth=1, label=f"slope {run.slopes[name]:.3g}")
