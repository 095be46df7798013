"""Time of a whole report against N, d and K, as a table and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import baselines, data, timing
from ..results import Table, ratio, seconds

if TYPE_CHECKING:
    from . import Options

_BASE = {"N": 20_000, "d": 512, "K": 100}
_AXES: dict[str, tuple[int, ...]] = {
    "N": (2_000, 6_000, 20_000, 60_000, 200_000),
    "d": (64, 128, 256, 512, 1024, 2048),
    "K": (10, 30, 100, 300, 1000, 3000),
}
_COLOURS = {
    baselines.OURS: "#d1495b",
    baselines.TORCH: "#2e4057",
    baselines.TORCH_BEST: "#00798c",
    baselines.TORCH_CERTIFIED: "#66a182",
    baselines.NUMPY: "#8d96a3",
    baselines.PEER: "#edae49",
}


def run(options: Options) -> list[Table]:
    """Time along each axis, the other two at their base; plot and tabulate."""
    contenders = baselines.available()
    table = Table(
        "Whole report along N, d and K: median time, and multiples of that of ncfast",
        ["N", "d", "K", "state", *contenders],
    )
    points: list[dict[str, Any]] = table.records
    repeats = min(options.repeats, 3)
    for axis, values in _AXES.items():
        for value in values[:-1] if options.quick else values:
            size = {**_BASE, axis: value}
            for state in data.STATES:
                case = data.in_state(size["N"], size["d"], size["K"], state)
                runs = {name: lambda run=run, case=case: run(case) for name, run in contenders.items()}
                took = {name: t.median for name, t in timing.interleaved(runs, repeats).items()}
                points.append({**size, "axis": axis, "state": state, "threads": options.threads, "seconds": took})
                base = took[baselines.OURS]
                others = [f"{seconds(t)} ({ratio(t / base)}x)" for name, t in took.items() if name != baselines.OURS]
                table.rows.append([f"{size['N']:,}", str(size["d"]), str(size["K"]), state, seconds(base), *others])
    table.notes.append(f"{repeats} turns each; one axis at a time, the others at {_BASE}")
    _plot(points, options.output, options.threads)
    return [table]


def _plot(points: list[dict[str, Any]], folder: Path, threads: int) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter

    style: dict[Any, Any] = {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.grid": True,
        "grid.color": "#e6e6e6",
        "axes.edgecolor": "#888888",
        "svg.fonttype": "none",
    }
    with plt.rc_context(style):
        figure, panels = plt.subplots(2, 3, figsize=(11, 6.4), sharex="col", sharey=True, layout="constrained")
        for row, state in zip(panels, data.STATES, strict=True):
            for panel, axis in zip(row, _AXES, strict=True):
                _panel(panel, [p for p in points if p["axis"] == axis and p["state"] == state], axis)
            row[0].set_ylabel(f"{state}\nseconds")
        for panel, axis in zip(panels[0], _AXES, strict=True):
            fixed = ", ".join(f"{name} = {value:,}" for name, value in _BASE.items() if name != axis)
            panel.set_title(fixed, fontsize=9, color="#555555")
        for panel, axis in zip(panels[1], _AXES, strict=True):
            panel.set_xlabel({"N": "samples N", "d": "features d", "K": "classes K"}[axis])
            panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        figure.suptitle(f"Time of a whole neural-collapse report, {threads} threads", x=0.01, ha="left", weight="bold")
        handles, names = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / "scaling.png", dpi=160)
        figure.savefig(folder / "scaling.svg")
        plt.close(figure)


def _panel(panel: Any, points: list[dict[str, Any]], axis: str) -> None:
    values = [point[axis] for point in points]
    for name in points[0]["seconds"]:
        ours = name == baselines.OURS
        panel.loglog(
            values,
            [point["seconds"][name] for point in points],
            label=name,
            color=_COLOURS[name],
            linewidth=2.4 if ours else 1.4,
            marker="o",
            markersize=5 if ours else 3.5,
            zorder=3 if ours else 2,
        )
    panel.set_xticks(values)
    panel.minorticks_off()
