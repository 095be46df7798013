"""Grids of unconstrained-features problems: where their minima are zero, an orthogonal frame or a simplex ETF."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._choices import as_count
from .._measurement import Progress
from ._cell import RESULTS, Cell, solve
from ._checks import as_one_of
from ._sweep_table import Table

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Values along each axis; a sweep visits all combinations, the last axis fastest.

    Attributes
    ----------
    loss : "mse", "cross-entropy"
    layers : int
        L, factors including the features: 2 for the plain model, 3 for the extended one, and so on.
    nonlinearity : "none", "relu"
        After the inner layers.
    num_classes, num_features, samples_per_class : int
        K, d and n.
    weight_decay : float
        Of every weight matrix.
    feature_decay : float or "same"
        "same" as that of the weights.
    bias : "none", "free" or float
        The float is its decay.
    start : "random", "small", "learned"
        Where the minimisation starts: the best of some random states, one of them scaled by 0.01, or the minimum at a
        thousandth of the decays.
    """

    loss: tuple[str, ...] = ("mse",)
    layers: tuple[int, ...] = (2,)
    nonlinearity: tuple[str, ...] = ("none",)
    num_classes: tuple[int, ...] = (4,)
    num_features: tuple[int, ...] = (20,)
    samples_per_class: tuple[int, ...] = (50,)
    weight_decay: tuple[float, ...] = (5e-3,)
    feature_decay: tuple[float | str, ...] = (5e-3,)
    bias: tuple[float | str, ...] = ("none",)
    start: tuple[str, ...] = ("random",)

    def __post_init__(self) -> None:
        for name in AXES:
            values = getattr(self, name)
            if not isinstance(values, tuple) or not values:
                raise ValueError(f"{name} is {values!r}; wanted a tuple of at least one value")
            if len(set(values)) < len(values):
                raise ValueError(f"{name} is {values!r}; wanted each value once")
        for cell in self.cells():
            cell.problem()  # which checks its numbers

    def cells(self) -> Iterator[Cell]:
        """All combinations, in order."""
        return itertools.starmap(Cell, itertools.product(*(getattr(self, name) for name in AXES)))

    @property
    def varying(self) -> tuple[str, ...]:
        """Axes with more than one value."""
        return tuple(name for name in AXES if len(getattr(self, name)) > 1)


AXES = tuple(field.name for field in fields(Grid))


def _around(low: float, high: float, count: int) -> tuple[float, ...]:
    """Values evenly spaced on a logarithmic axis, rounded so that they print short."""
    return tuple(float(f"{value:.6g}") for value in np.geomspace(low, high, count))


def diagram(name: str, **axes: Any) -> Grid:
    """Return the grid of a phase diagram, "decays", "bias" or "jump"; `axes` replace its own."""
    grids: dict[str, dict[str, Any]] = {
        "decays": {"weight_decay": _around(1e-4, 1, 25), "feature_decay": _around(1e-4, 1, 25)},
        "bias": {"feature_decay": _around(1e-4, 1, 25), "bias": _around(1e-3, 10, 25)},
        "jump": {
            "layers": (2, 3, 4),
            "weight_decay": tuple(round(1e-3 * step, 6) for step in range(1, 51)),
            "feature_decay": ("same",),
            "start": ("learned", "small"),
        },
    }
    return Grid(**{**grids[as_one_of("name", name, tuple(grids))], **axes})


@dataclass(frozen=True)
class Sweep:
    """The results of a grid.

    Attributes
    ----------
    grid : Grid
    table : Path
        The file, CSV after one comment line.
    rows : tuple of dict
        A row per cell in the order of the grid: its place, and

        - ``kappa``, strength of the decay as in `Thresholds`, of the first direction;
        - ``minimum``, the closed form of the least value, nan where there is none;
        - ``value`` found and ``gradient_norm`` there;
        - ``signal``, how much of the targets is learned along directions between classes, and ``common``, along the
          direction all classes share: eigenvalues of the logits at the class means, without the bias;
        - ``phase``: "zero", "etf" where nothing is common, "of" where all is alike, "between" else.
    """

    grid: Grid
    table: Path
    rows: tuple[dict[str, Any], ...]

    def to_frame(self) -> pandas.DataFrame:
        """Return the rows as a pandas DataFrame."""
        try:
            import pandas
        except ImportError:
            raise ImportError('to_frame needs pandas: pip install "ncfast[frame]"') from None
        return pandas.DataFrame(list(self.rows))

    def __str__(self) -> str:
        """Count the phases, and compare the minima found with the closed forms."""
        phases = Counter(row["phase"] for row in self.rows)
        known = [row["value"] - row["minimum"] for row in self.rows if not np.isnan(row["minimum"])]
        lines = [
            f"{len(self.rows):,} cells: " + ", ".join(f"{count:,} {phase}" for phase, count in sorted(phases.items()))
        ]
        if known:
            lines.append(f"value found less the closed form: {min(known):.1e} to {max(known):.1e}")
        return "\n".join(lines)


def sweep(
    grid: Grid,
    table: Path,
    *,
    seed: int = 0,
    starts: int = 1,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Minimise every problem of a grid, in parallel processes of one thread each.

    Each finished cell is appended to the table and synced. The same call goes on after a kill; the table is the same
    as without one, byte for byte.

    Parameters
    ----------
    grid : Grid
    table : Path
        Created, or continued if the settings are the same.
    seed : int, default 0
        Of the starts, the same in each cell.
    starts : int, default 1
        Random states to start from.
    processes : int, optional
        By default as many as processors are available.
    progress : callable, optional
        Called with (cells done, cells in all).

    Raises
    ------
    ImportError
        If SciPy is missing.
    ValueError
        If the table is one of other settings.
    """
    try:
        import scipy.optimize  # noqa: F401 - here rather than in a worker
    except ImportError as error:
        raise ImportError('ufm.sweep needs SciPy: pip install "ncfast[ufm]"') from error
    starts, seed = as_count("starts", starts, 1), as_count("seed", seed, 0)
    processes = len(os.sched_getaffinity(0)) if processes is None else as_count("processes", processes, 1)
    cells = list(grid.cells())
    file = Table(Path(table), {"version": 1, "seed": seed, "starts": starts, **asdict(grid)}, (*AXES, *RESULTS))
    try:
        rows = [_typed(cell, row) for cell, row in zip(cells, file.rows, strict=False)]
        if progress is not None:
            progress(len(rows), len(cells))
        with _mapping(min(processes, len(cells) - len(rows))) as run:
            for row in run(partial(solve, seed=seed, starts=starts), cells[len(rows) :]):
                file.append(row)
                rows.append(row)
                if progress is not None:
                    progress(len(rows), len(cells))
    finally:
        file.close()
    return Sweep(grid, Path(table), tuple(rows))


def _typed(cell: Cell, row: dict[str, str]) -> dict[str, Any]:
    """Read the results of a row back."""
    results = {name: row[name] if name == "phase" else float(row[name]) for name in RESULTS}
    return {**cell._asdict(), **results}


@contextmanager
def _mapping(processes: int) -> Iterator[Any]:
    """Yield a `map` that keeps the order, over so many processes."""
    if processes < 1:
        yield map  # of nothing
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    before = {name: os.environ.get(name) for name in single}
    os.environ.update(single)  # libraries read it when a process begins
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _die_with_parent)
    try:
        yield partial(pool.map, chunksize=1)
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _die_with_parent() -> None:
    """Leave interrupts to the parent, and end when it is gone: its pipes would not tell a killed one."""
    import signal
    import threading
    from multiprocessing import parent_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
