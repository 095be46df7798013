"""The figures of a reproduction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._drawing import BLUE, GOLD, GREEN, GREY, INK, PURPLE, RED, SHADE, dress, new_figure, note, save, spread
from .networks import DECAY as NETWORK_DECAY
from .networks import NetworkRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .reproduce import Descent

Float = NDArray[np.float64]

SETTING = "K = 4 classes, d = 20 features, n = 50 samples per class, all decays 0.005, gradient descent with step 0.1"
# Colours say which features: before the last layer, before the ReLU, the last ones; and the weights.
FIRST, BEFORE, LAST, WEIGHTS = GOLD, PURPLE, BLUE, GREEN


RELU = r"$W_2\,\mathrm{ReLU}(W_1 H_1)$"
GRAMS = "distance of Gram matrices"
FRAMES = {"of": "an orthogonal frame", "etf": "a simplex ETF"}
# Rows of the figure with the networks: names of the axes, and where they begin, which is as far as networks come.
LOWEST = {r"$\mathrm{Tr}(S_W S_B^{+})/K$": 1e-6, GRAMS: 1e-3, "distance": 1e-5}


class Curve(NamedTuple):
    """A curve with its label at the end."""

    label: str
    values: Sequence[float] | Float
    colour: str
    style: str = "-"


def draw(name: str, descents: Mapping[str, Descent], networks: Sequence[NetworkRun], stem: Path) -> tuple[Path, Path]:
    """Draw the figure of that name; return the files, PNG and SVG."""
    figures: dict[str, Callable[[], Any]] = {
        "plain": lambda: _plain(descents["plain"], descents["plain, free bias"]),
        "linear": lambda: _linear(descents["linear"]),
        "relu": lambda: _relu(descents["relu"]),
        "networks": lambda: _networks(descents["relu"], descents["linear, free bias"], *networks),
    }
    return save(figures[name](), stem)


def _plain(without: Descent, free: Descent) -> Any:
    figure = new_figure("The bias decides the frame: orthogonal without one, a simplex ETF with a free one",
                        f"Unconstrained features, squared loss. {SETTING}.", (19, 9.2))  # fmt: skip
    for row, (descent, frame, name) in zip(
        figure.subplots(2, 4), ((without, "of", "No bias"), (free, "etf", "Free bias")), strict=True
    ):
        metrics = descent.metrics
        duality = metrics["nc3_self_duality_of" if frame == "of" else "nc3_self_duality"]
        _draw_loss(row[0], descent, f"{name}: down to the closed form")
        nc1 = [
            Curve(r"$\mathrm{Tr}\,S_W/\mathrm{Tr}\,S_B$", metrics["nc1_trace_ratio"], RED),
            Curve(r"$\mathrm{Tr}(S_W S_B^{+})/K$", metrics["nc1_pinv"], LAST),
        ]
        _draw_nc1(row[1], descent, "NC1: samples fall onto their means", nc1)
        nc2 = [
            Curve("means", metrics[f"nc2_{frame}_means"], LAST),
            Curve("weights", metrics[f"nc2_{frame}_weights"], WEIGHTS),
        ]
        _draw(row[2], descent.iterations, f"NC2: towards {FRAMES[frame]}", GRAMS, nc2)
        nc3 = [Curve("normalised W, H", duality, RED), Curve("W H from frame", metrics[f"nc3_alignment_{frame}"], LAST)]
        _draw(row[3], descent.iterations, "NC3: weights align with means", "distance", nc3)
        if frame == "etf":  # which an orthogonal frame, its means not centred, is so far from
            k = descent.problem.num_classes
            far = float(np.sqrt(2 - 2 * np.sqrt((k - 1) / k)))
            row[2].plot(descent.iterations / 1000, metrics["nc2_of_means"], color=GREY, lw=1.5)
            text = f"from an orthogonal frame: {far:.4f}"
            note(row[2], descent.iterations[-1] / 1000, 0.5 * far, text, GREY, ha="right", va="top")
    return figure


def _linear(descent: Descent) -> Any:
    figure = new_figure("Two linear layers: every level becomes an orthogonal frame",
                        f"Extended model, $W_2 W_1 H_1$, no bias. {SETTING}.", (19, 5.2))  # fmt: skip
    loss, nc1, nc2, nc3 = figure.subplots(1, 4)
    metrics = descent.metrics
    _draw_loss(loss, descent, "Down to the closed form")
    _draw_nc1(nc1, descent, "NC1: depth collapses faster",
              [Curve("$H_1$ (traces)", metrics["nc1_trace_ratio"], FIRST, "--"),
               Curve("$H_1$", metrics["nc1_pinv"], FIRST),
               Curve("$W_1H_1$", metrics["h2/nc1_pinv"], LAST)])  # fmt: skip
    frames = [
        Curve("$H_1$", metrics["nc2_of_means"], FIRST),
        Curve("$W_1H_1$", metrics["h2/nc2_of_means"], LAST),
        Curve("$W_2W_1$", metrics["nc2_of_weights"], FIRST, "--"),
        Curve("$W_2$", metrics["h2/nc2_of_weights"], WEIGHTS),
    ]
    _draw(nc2, descent.iterations, "NC2: frames at both levels", GRAMS, frames)
    _draw(nc3, descent.iterations, "NC3: weights align with means", "distance from the frame",
          [Curve("$W_2W_1$ and $H_1$", metrics["nc3_self_duality_of"], FIRST),
           Curve("$W_2$ and $W_1H_1$", metrics["h2/nc3_self_duality_of"], LAST),
           Curve("$W_2W_1H_1$", metrics["nc3_alignment_of"], RED)])  # fmt: skip
    return figure


def _relu(descent: Descent) -> Any:
    figure = new_figure("With a ReLU, a frame is sure only after it",
                        f"Extended model, {RELU}, no bias. {SETTING}.", (15.5, 9.2))  # fmt: skip
    (loss, nc1, nc2), (nc3, nuclear, ratio) = figure.subplots(2, 3)
    metrics = descent.metrics
    _draw_loss(loss, descent, "Down to the linear closed form")
    levels = (("$H_1$", "", FIRST), ("before ReLU", "pre2/", BEFORE), ("after ReLU", "h2/", LAST))
    _draw(nc1, descent.iterations, "NC1: all levels collapse", r"$\mathrm{Tr}(S_W S_B^{+})/K$",
          [Curve(name, metrics[f"{prefix}nc1_pinv"], colour) for name, prefix, colour in levels], log=True)  # fmt: skip
    _draw(nc2, descent.iterations, "NC2: a frame after the ReLU only", GRAMS,
          [*(Curve(name, metrics[f"{prefix}nc2_of_means"], colour) for name, prefix, colour in levels),
           Curve("$W_2$", metrics["h2/nc2_of_weights"], WEIGHTS)], log=True)  # fmt: skip
    _draw(nc3, descent.iterations, "NC3: last weights align with what they see", "distance",
          [Curve("$W_2$ and $H_2$", metrics["h2/nc3_self_duality_of"], RED),
           Curve("$W_2H_2$", metrics["h2/nc3_alignment_of"], LAST)], log=True)  # fmt: skip
    norms = metrics["pre2/nuclear_norm"], metrics["h2/nuclear_norm"]
    known = float(np.sqrt(descent.best.counts[0] * np.diag(descent.best.grams[0].means)).sum())
    _draw(nuclear, descent.iterations, "Nuclear norms meet at the closed form", "sum of singular values",
          [Curve("before ReLU", norms[0], BEFORE), Curve("after ReLU", norms[1], LAST)], log=True)  # fmt: skip
    nuclear.axhline(known, color=INK, lw=1.5, ls="--")
    note(nuclear, descent.iterations[0], known, f"closed form {known:.4f}", INK, va="bottom")
    _draw(ratio, descent.iterations, "The ReLU leaves the nuclear norm alone", "before over after, less 1",
          [Curve("", np.abs(norms[0] / norms[1] - 1), INK)], log=True)  # fmt: skip
    return figure


def _networks(relu: Descent, linear: Descent, without: NetworkRun, with_bias: NetworkRun) -> Any:
    figure = new_figure(
        "Networks on real images collapse as the extended model says",
        f"Models: {SETTING}.\nNetworks: 3 layers with batch normalisation, then {RELU}; 64 units, "
        f"{without.last[-1].num_samples:,} images ({without.images}), squared loss, weight decay {NETWORK_DECAY}; "
        "shaded: no training error left.",
        (19, 12.5),
    )
    panels = figure.subplots(3, 4, sharey="row")
    columns: tuple[tuple[Any, str, str, str], ...] = (
        (relu, "of", "h2/", "Model with ReLU, no bias"),
        (without, "of", "", "Network, no bias in the last layer"),
        (linear, "etf", "h2/", "Linear model, free bias"),
        (with_bias, "etf", "", "Network, bias in the last layer"),
    )
    ends = np.array([[None] * 4] * 3)
    for place in np.ndindex(ends.shape):
        ends[place] = []
    for index, (run, frame, prefix, name) in enumerate(columns):
        network = isinstance(run, NetworkRun)
        x = np.array(run.epochs) if network else run.iterations

        def series(
            key: str, *, last: bool = True, run: Any = run, prefix: str = prefix, network: bool = network
        ) -> Float:
            if network:
                return np.array([report[key] for report in (run.last if last else run.before)])
            return np.asarray(run.metrics[(prefix if last else "") + key])

        rows: tuple[tuple[tuple[str, str, bool, str], ...], ...] = (
            (("$H_1$", "nc1_pinv", False, FIRST), ("$H_2$", "nc1_pinv", True, LAST)),
            (
                ("$H_1$", f"nc2_{frame}_means", False, FIRST),
                ("$H_2$", f"nc2_{frame}_means", True, LAST),
                ("$W_2$", f"nc2_{frame}_weights", True, WEIGHTS),
            ),
            (("$W_2H_2$", f"nc3_alignment_{frame}", True, RED),),
        )
        titles = f"{name}: NC1", f"NC2: distance from {FRAMES[frame]}", "NC3: weights align with means"
        for axes, curves, title, labels in zip(panels[:, index], rows, titles, ends[:, index], strict=True):
            labels += [Curve(label, series(key, last=last), colour) for label, key, last, colour in curves]
            _draw(axes, x, title, "", labels, log=True, unit="epoch" if network else "iteration", label=False)
            if network and run.terminal_epoch is not None:
                axes.axvspan(run.terminal_epoch, x[-1], color=SHADE, zorder=0)
    for row, row_ends, (name, lowest) in zip(panels, ends, LOWEST.items(), strict=True):
        row[0].set_ylim(bottom=lowest)  # of all: they share it
        row[0].set_ylabel(name, color=GREY)
        for axes, labels in zip(row, row_ends, strict=True):
            _label_ends(axes, labels)
    return figure


def _draw_loss(axes: Axes, descent: Descent, title: str) -> None:
    """Draw the loss on its way to the closed form."""
    kept = descent.iterations > 0
    axes.loglog(descent.iterations[kept], descent.loss[kept], color=INK, lw=2)
    axes.axhline(descent.best.value, color=RED, lw=1.5, ls="--")
    axes.margins(x=0.01)
    note(
        axes,
        float(descent.iterations[kept][0]),
        descent.best.value,
        f"closed form {descent.best.value:.6f}",
        RED,
        va="bottom",
    )
    dress(axes, title, "iteration", "objective")
    _few_ticks(axes)


def _draw_nc1(axes: Axes, descent: Descent, title: str, curves: list[Curve]) -> None:
    """Draw NC1 on a linear axis of iterations, where it falls along straight lines, with the slopes theory knows."""
    _draw(axes, descent.iterations, title, "variability within over between classes", curves)
    for key, slope in descent.slopes.items():
        values = descent.metrics[key]
        usable = np.flatnonzero(values > 1e-30)
        if not usable.size:
            continue
        anchor = usable[-1] * 2 // 3
        x = descent.iterations[[anchor // 2, usable[-1]]]
        line = np.log(values[anchor]) + slope * (x - descent.iterations[anchor])
        axes.plot(x / 1000, np.exp(line) * 30, color=GREY, lw=1.2, ls="--")
    if descent.slopes:
        axes.text(
            0.98, 0.97, "dashed: slopes of the theory", transform=axes.transAxes, ha="right", va="top", color=GREY
        )


def _draw(
    axes: Axes,
    x: NDArray[np.int64],
    title: str,
    y: str,
    curves: Sequence[Curve],
    *,
    log: bool = False,
    unit: str = "iteration",
    label: bool = True,
) -> None:
    """Draw curves on a logarithmic axis, each with its label at its right end."""
    shown = np.asarray(x) if log else np.asarray(x) / 1000
    for curve in curves:
        values = np.asarray(curve.values, dtype=np.float64)
        kept = (values > 0) & (shown > 0 if log else True)
        axes.plot(shown[kept], values[kept], curve.style, color=curve.colour, lw=2)
    axes.set_yscale("log")
    if log:
        axes.set_xscale("log")
    axes.margins(x=0)
    dress(axes, title, unit if log else f"thousand {unit}s", y)
    _few_ticks(axes)
    if label:
        _label_ends(axes, curves)


def _label_ends(axes: Axes, curves: Sequence[Curve]) -> None:
    """Write labels to the right of the axes, at the heights where curves end, moved apart."""
    low, high = np.log10(axes.get_ylim())
    ends = [float(np.clip((np.log10(max(curve.values[-1], 1e-300)) - low) / (high - low), 0, 1)) for curve in curves]
    heights = spread(ends, 0.075)
    for curve, height in zip(curves, (height - min([0.0, *heights]) for height in heights), strict=True):
        axes.annotate(curve.label, (1.015, height), xycoords="axes fraction", color=curve.colour, va="center",
                      fontsize=10.5, fontweight="bold")  # fmt: skip


def _few_ticks(axes: Axes) -> None:
    """At most about eight powers of ten, no labels between."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.yaxis.set_major_locator(LogLocator(numticks=8))
    axes.yaxis.set_minor_formatter(NullFormatter())
