"""The commands ``ncfast ufm reproduce`` and ``ncfast ufm sweep``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

Number = TypeVar("Number", int, float)
ShowProgress = Callable[[str, bool], AbstractContextManager[Any]]  # of a unit, quiet or not

FIGURES = ("plain", "linear", "relu", "networks")
# Options of the axes of a grid: name, axis, kind, help.
AXES: tuple[tuple[str, str, type, str], ...] = (
    ("--loss", "loss", str, "mse, cross-entropy"),
    ("--layers", "layers", int, "factors, features included: 2 plain, 3 extended, ..."),
    ("--nonlinearity", "nonlinearity", str, "none, relu: after the inner layers"),
    ("--classes", "num_classes", int, "K"),
    ("--features", "num_features", int, "d"),
    ("--samples", "samples_per_class", int, "n per class"),
    ("--weight-decay", "weight_decay", float, "of each weight matrix"),
    ("--feature-decay", "feature_decay", float, "or 'same' as that of the weights"),
    ("--bias", "bias", float, "none, free, or its decay"),
    ("--start", "start", str, "random, small, learned"),
)


def add_commands(ufm: argparse.ArgumentParser, show_progress: ShowProgress) -> None:
    """Add the commands to the parser of ``ncfast ufm``."""
    inner = ufm.add_subparsers(title="commands", metavar="COMMAND", required=True)

    reproduce = inner.add_parser(
        "reproduce",
        help="draw descents against the closed forms, and networks beside them",
        description="Run gradient descent on the models in the setting of Tirer and Bruna (ICML 2022), train networks"
        " on real images, and write figures (PNG, SVG) and a table (Markdown, JSON, CSV).",
    )
    reproduce.add_argument("--output", type=Path, default=Path("ufm-reproduction"), help="folder (%(default)s)")
    reproduce.add_argument("--only", nargs="+", choices=FIGURES, help="these figures; default: all")
    reproduce.add_argument("--seed", type=int, default=0)
    reproduce.add_argument("--iterations", type=int, help="of the linear models (default: 50000)")
    reproduce.add_argument("--relu-iterations", type=int, help="of the ReLU model (default: 300000)")
    reproduce.add_argument("--epochs", type=int, help="of the networks (default: 2000)")
    reproduce.add_argument("--images", type=Path, metavar="DIR", help="IDX files to train on; default: digits")

    sweep = inner.add_parser(
        "sweep",
        help="minimise over a grid and draw the phases",
        description="Minimise the models over a grid in parallel and draw where minima are zero, orthogonal frames or"
        " simplex ETFs. After a kill the same command goes on. Axes take a list, 1,2,5, or a logarithmic range,"
        " low:high:count.",
    )
    sweep.add_argument("diagram", nargs="?", choices=("decays", "bias", "jump"), default="decays",
                       help="grid to begin with (%(default)s); axes given below replace its own")  # fmt: skip
    sweep.add_argument("--output", type=Path, default=Path(), help="folder (the current one)")
    axes = sweep.add_argument_group("axes")
    for option, axis, kind, text in AXES:
        axes.add_argument(option, dest=axis, type=_axis(kind), metavar="VALUES", help=text)
    sweep.add_argument("--seed", type=int, default=0)
    sweep.add_argument("--starts", type=int, default=1, help="random states to start from (%(default)s)")
    sweep.add_argument("--processes", type=int, metavar="N", help="default: all processors")
    sweep.add_argument("--parquet", type=Path, metavar="OUT", help="also write the finished table there")

    for parser, run in ((reproduce, _reproduce), (sweep, _sweep)):
        parser.add_argument("--quiet", action="store_true", help="no progress bar")
        parser.set_defaults(run=lambda options, run=run: run(options, show_progress))


def _reproduce(options: argparse.Namespace, show_progress: ShowProgress) -> None:
    from .reproduce import reproduce

    counts = {name: getattr(options, name) for name in ("iterations", "relu_iterations", "epochs")}
    with show_progress("steps", options.quiet) as progress:
        result = reproduce(
            options.output,
            only=options.only or FIGURES,
            seed=options.seed,
            images=options.images,
            progress=progress,
            **{name: count for name, count in counts.items() if count is not None},
        )
    print(result)


def _sweep(options: argparse.Namespace, show_progress: ShowProgress) -> None:
    from . import _sweep_figures
    from ._drawing import require_matplotlib
    from .sweep import diagram, sweep

    given = {axis: getattr(options, axis) for _, axis, _, _ in AXES if getattr(options, axis) is not None}
    grid = diagram(options.diagram, **given)
    draws = _sweep_figures.drawable(grid)
    if draws:
        require_matplotlib()
    options.output.mkdir(parents=True, exist_ok=True)
    stem = options.output / f"ufm-sweep-{options.diagram}"
    with show_progress("cells", options.quiet) as progress:
        result = sweep(grid, stem.with_suffix(".csv"), seed=options.seed, starts=options.starts,
                       processes=options.processes, progress=progress)  # fmt: skip
    files = [result.table, *(_sweep_figures.draw(result, stem) if draws else ())]
    if options.parquet is not None:
        result.to_frame().astype({"feature_decay": str, "bias": str}).to_parquet(options.parquet)
        files.append(options.parquet)
    print(result)
    print("\n".join(f"written: {file}" for file in files))
    if not draws:
        print("not drawn: that takes two axes of numbers, or weight decays without bias over layers and starts")


def _axis(kind: type) -> Callable[[str], tuple[Any, ...]]:
    """Return a reader of ``a,b,c`` and ``low:high:count``."""

    def read(text: str) -> tuple[Any, ...]:
        try:
            if kind is not str and ":" in text:
                return _range(text, kind)
            return tuple(_value(part.strip(), kind) for part in text.split(","))
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is neither a list 1,2,5 nor low:high:count ({error})") from None

    return read


def _value(text: str, kind: type) -> Any:
    return text if kind is float and text in ("none", "free", "same") else kind(text)


def _range(text: str, kind: type) -> tuple[Any, ...]:
    import numpy as np

    low, high, count = text.split(":")
    if not (0 < float(low) < float(high) and int(count) >= 2):
        raise ValueError("wanted 0 < low < high and at least two values")
    values = np.geomspace(float(low), float(high), int(count))
    rounded = values.round() if kind is int else [f"{value:.6g}" for value in values]
    return tuple(dict.fromkeys(kind(value) for value in rounded))
