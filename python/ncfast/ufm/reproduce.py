"""One command for the figures: gradient descent on the models against their closed forms, and networks beside them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._choices import as_count
from .._measurement import Progress
from .._runtime import get_num_threads, set_num_threads
from . import _chain, _reproduction_figures, _reproduction_table
from ._checks import as_one_of
from ._drawing import require_matplotlib
from ._problem import State
from ._regularised import Squared
from ._reproduction_table import Entry
from .descend import descend
from .minimizer import Minimizer, minimizer
from .networks import NetworkRun, train_network
from .problems import MSE, ExtendedMSE

Float = NDArray[np.float64]

FIGURES = ("plain", "linear", "relu", "networks")
DECAY, STEP = 5e-3, 0.1
SIZES: dict[str, Any] = {"num_classes": 4, "num_features": 20, "samples_per_class": 50, "feature_decay": DECAY}
TRIAL = 300
RECORDS = 500
MARKS = 60  # where the ReLU model is looked at, evenly spaced on a logarithmic axis
EPOCH = 100  # an epoch of a network takes about as long as so many iterations


@dataclass(frozen=True, eq=False)
class Descent:
    """A descent of a model beside the closed form of its minimum.

    Attributes
    ----------
    problem : Problem
    seed : int
        Of the start.
    iterations, loss : ndarray, shape (records,)
    metrics : dict of str to ndarray
        As of `Trajectory`, and for a ReLU ``pre2/nuclear_norm`` and ``h2/nuclear_norm``.
    slopes : dict of str to float
        Asymptotic slopes of logarithms, where theory knows them.
    best : Minimizer
    reached : Minimizer
        The end of the descent in the same shape.
    """

    problem: Squared
    seed: int
    iterations: NDArray[np.int64]
    loss: Float
    metrics: dict[str, Float]
    slopes: dict[str, float]
    best: Minimizer
    reached: Minimizer


@dataclass(frozen=True, eq=False)
class Reproduction:
    """What a reproduction found.

    Attributes
    ----------
    descents : dict of str to Descent
        "plain", "plain, free bias", "linear", "linear, free bias", "relu"; those that were asked for.
    networks : tuple of NetworkRun
        Without and with bias, if asked for.
    entries : tuple of Entry
        The rows of the table: what was found, and what theory says.
    files : tuple of Path
        All that was written.
    """

    descents: dict[str, Descent]
    networks: tuple[NetworkRun, ...]
    entries: tuple[Entry, ...]
    files: tuple[Path, ...]

    def __str__(self) -> str:
        return "\n".join([_reproduction_table.text(self.entries), "", *(f"written: {file}" for file in self.files)])


def reproduce(
    output: Path,
    *,
    only: Sequence[str] = FIGURES,
    seed: int = 0,
    iterations: int = 50_000,
    relu_iterations: int = 300_000,
    epochs: int = 2000,
    images: Path | None = None,
    progress: Progress | None = None,
) -> Reproduction:
    """Draw gradient descent on the models against the closed forms, train networks, and write figures and a table.

    The setting is that of the paper as we understand it: 4 classes, 20 features, 50 samples per class, all decays
    0.005, step 0.1, standard normal start (W1 over the root of 20). It reproduces the setting, not the paper's figures.

    Parameters
    ----------
    output : Path
        Folder for the files; created.
    only : sequence of {"plain", "linear", "relu", "networks"}
        Figures to make, all by default.
    seed : int, default 0
        Of the networks, and the first that is tried for the models: with this step, half of the starts of the linear
        extended model diverge, and the next seed takes their place. On one machine it decides every byte written.
    iterations : int, default 50000
        Of the linear models.
    relu_iterations : int, default 300000
        Of the ReLU model, which is slower to become a frame.
    epochs : int, default 2000
        Of each network.
    images : Path, optional
        As in `train_network`.
    progress : callable, optional
        Called with (work done, work in all).

    Raises
    ------
    ImportError
        If matplotlib is missing, or torch or scikit-learn for the networks; it names the extra.
    ValueError, OSError
        On bad arguments, or files that cannot be read or written.

    References
    ----------
    Tirer, Bruna, "Extended unconstrained features model for exploring deep neural collapse", ICML 2022,
    arXiv:2202.08087.
    """
    for name in only:
        as_one_of("only", name, FIGURES)
    seed = as_count("seed", seed, 0)
    iterations, relu_iterations = as_count("iterations", iterations, 1), as_count("relu_iterations", relu_iterations, 1)
    epochs = as_count("epochs", epochs, 1)
    require_matplotlib()
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)

    networks = "networks" in only
    wanted = {name: kind for name, kind in _models().items() if kind[1] in only or (networks and kind[2])}
    work = {name: relu_iterations if problem.relu else iterations for name, (problem, *_) in wanted.items()}
    meter = _Meter(progress, sum(work.values()) + 2 * networks * epochs * EPOCH)
    trained = []
    for bias in (False, True)[: 2 * networks]:  # first, as they may miss what they need
        trained.append(train_network(bias=bias, images=images, epochs=epochs, seed=seed, progress=meter.part(EPOCH)))
        meter.finish(epochs * EPOCH)
    descents = {}
    threads = get_num_threads()
    set_num_threads(1)  # problems this small only lose time to a second thread
    try:
        for name, (problem, *_) in wanted.items():
            run = _descend_relu if problem.relu else _descend
            descents[name] = run(problem, work[name], _bounded_start(problem, seed), meter)
            meter.finish(work[name])
    finally:
        set_num_threads(threads)

    entries = _reproduction_table.entries(descents, trained)
    settings = {"seed": seed, "iterations": iterations, "relu_iterations": relu_iterations, "epochs": epochs,
                "images": trained[0].images if trained else None}  # fmt: skip
    files = [*_reproduction_table.write(entries, settings, output)]
    for name in FIGURES:
        if name in only:
            files += _reproduction_figures.draw(name, descents, trained, output / name)
    return Reproduction(descents, tuple(trained), entries, tuple(files))


def _models() -> dict[str, tuple[Squared, str, bool]]:
    """Problems by name, the figure each belongs to, and whether networks are compared with it."""
    deep = {**SIZES, "weight_decays": (DECAY, DECAY)}
    return {
        "plain": (MSE(**SIZES, weight_decay=DECAY), "plain", False),
        "plain, free bias": (MSE(**SIZES, weight_decay=DECAY, bias="free"), "plain", False),
        "linear": (ExtendedMSE(**deep), "linear", False),
        "linear, free bias": (ExtendedMSE(**deep, bias="free"), "linear", True),
        "relu": (ExtendedMSE(**deep, nonlinearity="relu"), "relu", True),
    }


def _descend(problem: Squared, iterations: int, seed: int, meter: _Meter) -> Descent:
    """Descend a linear model, in one go: its reduced state keeps digits that no other has."""
    run = descend(problem, step=STEP, iterations=iterations, record_every=max(iterations // RECORDS, 1), seed=seed,
                  progress=lambda done, total, _: meter.part(1)(done, total))  # fmt: skip
    best = minimizer(problem)
    reached = _reached(best, run.final.weights, run.final.means, run.final.bias, run.loss)  # type: ignore[union-attr]
    return Descent(problem, seed, run.iterations, run.loss, run.metrics, run.slopes, best, reached)


def _descend_relu(problem: Squared, iterations: int, seed: int, meter: _Meter) -> Descent:
    """Descend from mark to mark, and measure the nuclear norms at each; gradient descent remembers nothing else."""
    marks = np.unique(np.geomspace(1, iterations, MARKS).round().astype(np.int64))
    state, rows = problem.initial_state(seed), []
    for before, mark in zip([0, *marks], marks, strict=False):
        run = descend(problem, step=STEP, iterations=int(mark - before), record_every=iterations, initial=state)
        assert isinstance(run.final, State)
        state = run.final
        hidden = state.features @ state.weights[1].T
        norms = {"pre2/": hidden, "h2/": np.maximum(hidden, 0.0)}
        nuclear = {f"{level}nuclear_norm": np.linalg.norm(values, "nuc") for level, values in norms.items()}
        rows.append({"loss": run.loss[-1], **{name: values[-1] for name, values in run.metrics.items()}, **nuclear})
        meter.part(1)(int(mark), iterations)
    metrics = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    loss, best = metrics.pop("loss"), minimizer(problem)
    reached = _reached(best, state.weights, state.features, None, loss)
    return Descent(problem, seed, marks, loss, metrics, {}, best, reached)


def _reached(best: Minimizer, weights: Any, rows: Float, bias: Float | None, loss: Float) -> Minimizer:
    """Describe the end of a descent as the minimum is described."""
    levels = _chain.forward(weights, rows)[:-1]
    spectra = tuple(np.linalg.svd(matrix, compute_uv=False) for matrix in (*weights, levels[0]))
    return Minimizer(float(loss[-1]), weights, rows, bias, spectra, best.counts, best.relu)


def _bounded_start(problem: Squared, seed: int) -> int:
    """Return the first seed from which the descent does not diverge; those that do so do within a few iterations."""
    for candidate in range(seed, seed + 100):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of the divergence
            trial = descend(problem, step=STEP, iterations=TRIAL, record_every=TRIAL, seed=candidate)
        if trial.diverged_at is None:
            return candidate
    raise ValueError(f"descents diverge from each of the seeds {seed} to {seed + 99}; wanted another seed")


class _Meter:
    """Adds up the work of all parts."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def part(self, unit: int) -> Callable[[int, int], None]:
        """Return what a part of the work reports to, in units of its own."""

        def report(done: int, _: int) -> None:
            if self._progress is not None:
                self._progress(min(self._done + unit * done, self._total), self._total)

        return report

    def finish(self, work: int) -> None:
        """Count a part as done."""
        self._done += work
        self.part(1)(0, 0)
