"""Pictures of a sweep: a phase diagram over two axes, or what is learned against the strength of the decay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..metrics._shrinkage import kappa_spinodal, kappa_threshold, shrunken
from ._drawing import BLUE, GREY, INK, RED, dress, new_figure, note, save
from .thresholds import thresholds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .sweep import Grid, Sweep

Float = NDArray[np.float64]

NAMES = {
    "num_classes": "classes  $K$",
    "num_features": "features  $d$",
    "samples_per_class": "samples per class  $n$",
    "weight_decay": r"weight decay  $\lambda_W$",
    "feature_decay": r"feature decay  $\lambda_H$",
    "bias": r"bias decay  $\lambda_b$",
}
ETF, FRAME, ZERO = (0.12, 0.44, 0.70), (0.85, 0.45, 0.16), (0.90, 0.91, 0.92)
REGIONS = {
    "zero": "zero\nfeatures",
    "etf": "simplex ETF",
    "of": "orthogonal frame",
    "between": "between ETF\nand frame",
}
COARSE, FINE = 50, 200  # points along each axis where thresholds are computed, and interpolated


def drawable(grid: Grid) -> bool:
    """Whether a sweep of the grid can be drawn: two axes of numbers, or weight decays by layers and starts."""
    return _map_axes(grid) is not None or _is_curve(grid)


def draw(sweep: Sweep, stem: Path) -> tuple[Path, Path]:
    """Draw a sweep whose grid is `drawable`; return the files, PNG and SVG."""
    axes = _map_axes(sweep.grid)
    return _draw_curves(sweep, stem) if axes is None else _draw_map(sweep, *axes, stem)


def _map_axes(grid: Grid) -> tuple[str, str] | None:
    """Return the two axes of a phase diagram, the later one upwards."""
    if len(grid.varying) != 2 or not set(grid.varying) <= set(NAMES):
        return None
    first, second = grid.varying
    numbers = all(not isinstance(value, str) for name in grid.varying for value in getattr(grid, name))
    return (first, second) if numbers and min(map(len, (getattr(grid, first), getattr(grid, second)))) > 2 else None


def _is_curve(grid: Grid) -> bool:
    return (
        "weight_decay" in grid.varying
        and set(grid.varying) <= {"weight_decay", "layers", "start"}
        and grid.loss == ("mse",)
        and grid.bias == ("none",)
    )


def _draw_map(sweep: Sweep, x: str, y: str, stem: Path) -> tuple[Path, Path]:
    shape = len(getattr(sweep.grid, x)), len(getattr(sweep.grid, y))
    signal, common = (np.reshape([row[name] for row in sweep.rows], shape).T for name in ("signal", "common"))
    title = (
        "The more the bias decays, the less an ETF"
        if "bias" in (x, y)
        else "Beyond a line, decay wins: nothing is learned"
    )
    figure = new_figure(title, _setting(sweep.grid), (9.2, 7.4))
    axes = figure.subplots()
    axes.pcolormesh(_edges(getattr(sweep.grid, x)), _edges(getattr(sweep.grid, y)), _colours(signal, common))
    axes.set_xscale("log")
    axes.set_yscale("log")
    dress(axes, "Each cell is a minimum found by descent; lines are the theory", NAMES[x], NAMES[y])
    axes.grid(visible=False)
    _draw_thresholds(axes, sweep.grid, x, y)
    phases = np.reshape([row["phase"] for row in sweep.rows], shape).T
    for phase, text in REGIONS.items():
        inside = np.argwhere(phases == phase)
        if len(inside) >= max(4, phases.size // 50):
            row, column = inside[((inside - inside.mean(axis=0)) ** 2).sum(axis=1).argmin()]
            place = getattr(sweep.grid, x)[column], getattr(sweep.grid, y)[row]
            note(axes, *place, text, INK, ha="center", fontsize=13, fontweight="bold")
    return save(figure, stem)


def _draw_thresholds(axes: Axes, grid: Grid, x: str, y: str) -> None:
    """Draw where the decay reaches the threshold of learning, and that of the ETF."""
    across, up = _fine(getattr(grid, x)), _fine(getattr(grid, y))
    cell = next(grid.cells())
    zero, etf = np.empty((2, len(up), len(across)))
    for row, column in np.ndindex(zero.shape):
        place: Any = {x: across[column], y: up[row]}
        problem = cell._replace(**place).problem()
        found = thresholds(problem)
        zero[row, column] = np.log(found.kappa[0] / found.zero)
        decay = problem.bias if not isinstance(problem.bias, str) else np.nan
        limit = found.etf_bias_decay
        etf[row, column] = np.nan if limit is None or not zero[row, column] < 0 else np.log(decay / limit)
    columns, rows = _between(across, FINE), _between(up, FINE)
    for field, style, text in ((zero, "-", "nothing is learned beyond"), (etf, "--", "exactly an ETF below")):
        if np.isfinite(field).any():
            smooth = _interpolated(_interpolated(field, across, columns).T, up, rows).T
            line = axes.contour(columns, rows, smooth, levels=[0.0], colors=[INK], linewidths=2.2, linestyles=style)
            _label(axes, line, text)


def _label(axes: Axes, line: Any, text: str) -> None:
    """Write along a contour, above its middle."""
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # the layout decides the slope
    places = axes.transData.transform(line.get_paths()[0].vertices)
    if len(places) < 2:
        return
    along = np.cumsum([0.0, *np.hypot(*np.diff(places, axis=0).T)])
    wanted = along[-1] * np.array([0.45, 0.5, 0.55])
    (x0, x, x1), (y0, y, y1) = (np.interp(wanted, along, axis) for axis in places.T)
    angle = float(np.degrees(np.arctan2(y1 - y0, x1 - x0)))
    angle = (angle + 80) % 180 - 80  # never upside down; upwards where steep
    up = -5 * np.sin(np.radians(angle)), 5 * np.cos(np.radians(angle))
    middle = tuple(axes.transData.inverted().transform((x, y)))
    axes.annotate(text, middle, up, textcoords="offset points", rotation=angle, rotation_mode="anchor", ha="center",
                  va="bottom", color=INK, fontsize=11)  # fmt: skip


def _draw_curves(sweep: Sweep, stem: Path) -> tuple[Path, Path]:
    layers = sweep.grid.layers
    figure = new_figure(
        "Deeper models forget suddenly: what is learned against the strength of the decay",
        _setting(sweep.grid),
        (5.2 * len(layers) + 1, 8.2),
    )
    panels = figure.subplots(2, len(layers), squeeze=False, sharex="col", sharey="row")
    for (upper, lower), depth in zip(panels.T, layers, strict=True):
        rows = [row for row in sweep.rows if row["layers"] == depth]
        _draw_branches(upper, lower, depth, max(row["kappa"] for row in rows))
        for start, colour, marker in (("learned", BLUE, "o"), ("random", GREY, "s"), ("small", RED, "v")):
            some = [row for row in rows if row["start"] == start]
            style: Any = {"color": colour, "marker": marker, "linestyle": "", "markersize": 5, "alpha": 0.85}
            kappas = [row["kappa"] for row in some]
            if some:
                upper.plot(kappas, [row["signal"] for row in some], label=f"from a {start} start", **style)
                lower.plot(kappas, [row["value"] for row in some], **style)
        name = "plain model" if depth == 2 else "extended model" if depth == 3 else f"{depth - 1} weight matrices"
        dress(upper, f"L = {depth}: {name}", "", "singular value learned, 1 without decay")
        dress(lower, "", r"strength of the decay  $\kappa$", "objective")
    panels[0, 0].legend(loc="upper right", frameon=False, labelcolor=INK)
    panels[1, 0].set_ylim(0, 0.7)
    return save(figure, stem)


def _draw_branches(upper: Axes, lower: Axes, depth: int, last: float) -> None:
    """Draw the closed forms: the global minimum, the local one that outlives it, their ends."""
    threshold, spinodal = kappa_threshold(depth), kappa_spinodal(depth)
    below = np.linspace(1e-6, min(threshold, last), 400)[:-1]
    learned, rest = shrunken(np.log(below), depth)
    upper.plot(below, learned, color=INK, lw=2)
    lower.plot(below, rest * (1 + (depth - 1) * learned) / 2, color=INK, lw=2)
    for axes, height in ((upper, 0.0), (lower, 0.5)):
        axes.plot([min(threshold, last), last], [height, height], color=INK, lw=2)
        axes.plot([0, min(threshold, last)], [height, height], color=INK, lw=1.5, ls=(0, (1, 2)))
        axes.axvline(threshold, color=GREY, lw=1.2, ls="--")
    note(lower, threshold, 0.05, f" zero wins\n from {threshold:.4f}", GREY)
    if depth > 2:
        x = np.linspace((depth - 2) / (2 * depth - 2), (depth - 2) / (depth - 1), 200)
        kappa = (1 - x) * x ** (1 - 2 / depth)
        upper.plot(kappa, x, color=INK, lw=1.5, ls=(0, (1, 2)))
        lower.plot(kappa, (1 - x) * (1 + (depth - 1) * x) / 2, color=INK, lw=1.5, ls=(0, (1, 2)))
        for axes in (upper, lower):
            axes.axvline(spinodal, color=GREY, lw=1.2, ls=":")
        note(lower, spinodal, 0.16, f" learned survives\n up to {spinodal:.4f}", GREY)


def _colours(signal: Float, common: Float) -> Float:
    """Blue for the ETF, orange for the orthogonal frame, paler the less is learned, grey for nothing."""
    learned = np.clip(signal, 0, 1)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(learned[..., 0] > 1e-4, np.clip(common / signal, 0, 1), 0.0)[..., None]
    full = (1 - share) * np.array(ETF) + share * np.array(FRAME)
    return np.asarray(np.where(learned > 1e-4, full + (1 - full) * 0.75 * (1 - learned), np.array(ZERO)))


def _edges(values: tuple[Any, ...]) -> Float:
    """Borders between cells, halfway on the logarithmic axis."""
    logs = np.log(np.asarray(values, dtype=np.float64))
    inner = (logs[1:] + logs[:-1]) / 2
    ends = 1.5 * logs[0] - 0.5 * logs[1], 1.5 * logs[-1] - 0.5 * logs[-2]
    return np.asarray(np.exp(np.concatenate([ends[:1], inner, ends[1:]])))


def _fine(values: tuple[Any, ...]) -> Any:
    """Values for smooth lines; sizes stay as they are."""
    return _between(values, COARSE) if isinstance(values[0], float) else np.asarray(values)


def _between(values: Any, count: int) -> Float:
    return np.geomspace(values[0], values[-1], count)


def _interpolated(field: Float, places: Any, wanted: Float) -> Float:
    """Interpolate rows on a logarithmic axis, where the logarithm of kappa is linear."""
    return np.array([np.interp(np.log(wanted), np.log(places), row) for row in field])


def _setting(grid: Grid) -> str:
    """Say what does not vary."""
    fixed = {name: getattr(grid, name)[0] for name in NAMES if len(getattr(grid, name)) == 1}
    parts = [f"{NAMES[name].split('  ')[-1]} = {value}" for name, value in fixed.items() if not isinstance(value, str)]
    words = {"none": "no bias", "free": "unregularised bias"}
    parts += [words[fixed["bias"]]] if fixed.get("bias") in words else []
    parts += [r"$\lambda_H = \lambda_W$"] if grid.feature_decay == ("same",) else []
    return ", ".join(parts)
