"""Descents of unconstrained-features models against a torch loop with the same metrics; time against n."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ncfast import ufm

from .. import timing
from ..baselines import torch_ufm
from ..results import Table, ratio, seconds

if TYPE_CHECKING:
    from pathlib import Path

    from . import Options

_EVERY = 100
_STEP = 0.1
_DECAY = 5e-3
_OURS, _START, _TORCH, _TORCH_START = "ncfast", "start of ncfast", "torch, in place", "start of torch"
_COUNTS = (50, 500, 5_000, 50_000, 500_000, 5_000_000)
_MOST_TORCH = 500_000 * 4  # samples that torch is asked to hold


@dataclass(frozen=True)
class _Case:
    title: str
    problem: Any
    iterations: int
    step: float
    torch_iterations: int  # fewer where an iteration takes long; times are per iteration


def run(options: Options) -> list[Table]:
    """Time descents, the results checked equal first, then one descent against n."""
    comparison = Table(
        "Descent: time per iteration, metrics every 100 iterations",
        [
            "model",
            "K",
            "d",
            "n",
            "dynamics",
            "start",
            "ncfast",
            "torch",
            "torch / ncfast",
            "noise",
            "largest difference",
        ],
    )
    for case in _cases(options.quick):
        _compare(case, options.repeats, comparison)
    comparison.notes += [
        "torch: all samples, no autograd, every product and update in place (`bench/baselines/torch_ufm.py`)",
        "largest difference: relative, of the loss in the first 10 iterations, checked below 1e-10 (metrics: 1e-8)",
        "start: checks, the reduction of all samples to class means and scatter, one record; once per descent",
    ]
    return [comparison, _whole_descent(options), _against_samples(options)]


def _cases(quick: bool) -> list[_Case]:
    def sizes(k: int, d: int, n: int, decay: float) -> dict[str, Any]:
        return {"num_classes": k, "num_features": d, "samples_per_class": n, "feature_decay": decay}

    small, large, relu = sizes(4, 20, 50, _DECAY), sizes(100, 512, 500, 1e-5), sizes(10, 256, 500, 1e-4)
    few = 1 if quick else 3
    return [
        _Case("plain", ufm.MSE(**small, weight_decay=_DECAY), 20_000 * few, _STEP, 2_000 * few),
        _Case("plain", ufm.MSE(**large, weight_decay=1e-4), 300 * few, _STEP, 10),
        _Case(
            "ReLU", ufm.ExtendedMSE(**relu, weight_decays=(1e-4, 1e-4), nonlinearity="relu"), _EVERY, 1e-3, _EVERY
        ),
    ]  # fmt: skip


def _baseline(problem: Any, state: ufm.State) -> torch_ufm.Linear | torch_ufm.Relu:
    weights = tuple(torch.from_numpy(w) for w in state.weights)
    features = torch.from_numpy(np.ascontiguousarray(state.features.T))
    by_weights, by_features, _ = problem.penalties
    if problem.relu:
        return torch_ufm.Relu((weights[0], weights[1]), features, problem.num_classes, (*by_weights, by_features))
    return torch_ufm.Linear(weights[0], features, problem.num_classes, (*by_weights, by_features))


def _torch_runs(problem: Any, state: ufm.State, step: float, iterations: int) -> dict[str, Callable[[], object]]:
    baseline = _baseline(problem, state)
    return {
        _TORCH: lambda: baseline.descend(step, iterations, _EVERY),
        _TORCH_START: lambda: baseline.descend(step, 0, _EVERY),
    }


def _torch_time(times: dict[str, timing.Timing], iterations: int) -> float:
    """Return the time of an iteration with its share of a record; a start is a record and a pass forwards."""
    record = times[_TORCH_START].median
    records = 1 + -(-iterations // _EVERY)
    return (times[_TORCH].median - records * record) / iterations + record / _EVERY


def _compare(case: _Case, repeats: int, table: Table) -> None:
    problem = case.problem
    state = problem.initial_state(0)
    difference = _require_equal(problem, state, case.step)

    def ours(iterations: int) -> ufm.Trajectory:
        return ufm.descend(problem, initial=state, step=case.step, iterations=iterations, record_every=_EVERY)

    runs: dict[str, Callable[[], object]] = {
        _OURS: lambda: ours(case.iterations),
        _START: lambda: ours(0),
        **_torch_runs(problem, state, case.step, case.torch_iterations),
    }
    times = timing.interleaved(runs, min(repeats, 5), warm_up=False)
    start = times[_START].median
    each, theirs = (times[_OURS].median - start) / case.iterations, _torch_time(times, case.torch_iterations)
    noise = max(t.spread for t in times.values())
    dynamics = "full" if problem.relu else "reduced"
    k, d, n = problem.num_classes, problem.num_features, problem.num_samples // problem.num_classes
    table.rows.append(
        [case.title, str(k), str(d), str(n), dynamics, seconds(start), _each(each), _each(theirs), ratio(theirs / each),
         f"{noise:.0%}", f"{difference:.0e}"]
    )  # fmt: skip
    table.records.append(
        {"model": case.title, "K": k, "d": d, "n": n, "dynamics": dynamics, "start": start, "ncfast": each,
         "torch": theirs, "noise": noise, "difference": difference}
    )  # fmt: skip


def _whole_descent(options: Options) -> Table:
    """Follow one ReLU descent into collapse; torch is timed for a few iterations wherever a stretch begins."""
    n, stretch, stretches = (50, 40, 2) if options.quick else (500, 10_000, 5)
    problem = ufm.ExtendedMSE(
        num_classes=10,
        num_features=256,
        samples_per_class=n,
        feature_decay=2e-3,
        weight_decays=(2e-3, 2e-3),
        nonlinearity="relu",
    )
    table = Table(
        f"A ReLU descent of {stretches * stretch:,} iterations, K = 10, d = 256, n = {n}: time per iteration",
        ["iterations", "loss", "NC1 of h2", "units awake, per class", "ncfast", "torch", "torch / ncfast"],
    )
    state, whole = problem.initial_state(0, scale=0.2), np.zeros(2)
    for first in range(0, stretches * stretch, stretch):
        turns = timing.interleaved(_torch_runs(problem, state, _STEP, 20), min(options.repeats, 5))
        began = time.perf_counter()
        run = ufm.descend(problem, initial=state, step=_STEP, iterations=stretch, record_every=_EVERY)
        ours, theirs = (time.perf_counter() - began) / stretch, _torch_time(turns, 20)
        whole += stretch * np.array([ours, theirs])
        assert isinstance(run.final, ufm.State)
        state = run.final
        reached = (state.features @ state.weights[1].T > 0).reshape(10, n, -1)
        awake = float(reached.any(axis=1).mean())
        cells = [f"{run.loss[-1]:.4g}", f"{run.metrics['h2/nc1_trace_ratio'][-1]:.1g}", f"{awake:.0%}"]
        table.rows.append(
            [f"{first:,} to {first + stretch:,}", *cells, _each(ours), _each(theirs), ratio(theirs / ours)]
        )
        table.records.append({"until": first + stretch, "awake": awake, "ncfast": ours, "torch": theirs})
    table.rows.append(["all, in total", *cells, *(seconds(w) for w in whole), ratio(whole[1] / whole[0])])
    table.notes += [
        "all decays 0.002, step 0.1, metrics every 100 iterations; loss, NC1 and units where the stretch ends",
        "torch: the median of a few times 20 iterations from where the stretch begins, and a record for 100 of them",
    ]
    return table


def _require_equal(problem: Any, state: ufm.State, step: float) -> float:
    """Run both for a few iterations; the largest relative difference of the loss."""
    theirs = _baseline(problem, state).descend(step, 10, 5)
    ours = ufm.descend(problem, initial=state, step=step, iterations=10, record_every=5)
    values = {"loss": ours.loss, **ours.metrics}
    worst = 0.0
    for name, array in values.items():
        wanted = np.array([record[name] for record in theirs])
        error = float(np.max(np.abs(array - wanted) / np.abs(wanted)))
        if not error < 1e-8:
            raise AssertionError(f"{name} differs by {error:.1e}: {array} and {wanted}")
        worst = max(worst, error) if name == "loss" else worst
    if not worst < 1e-10:
        raise AssertionError(f"losses differ by {worst:.1e}")
    return worst


def _each(value: float) -> str:
    return f"{value * 1e6:.3g} us" if value < 1e-3 else seconds(value)


def _against_samples(options: Options) -> Table:
    """Time per iteration of the plain model as n grows; torch as far as it is worth waiting."""
    table = Table("Plain model, K = 4, d = 20: time per iteration against n", ["n", "N", "start", "ncfast", "torch"])
    iterations = 5_000 if options.quick else 20_000
    for n in _COUNTS:
        problem = ufm.MSE(
            num_classes=4, num_features=20, samples_per_class=n, weight_decay=_DECAY, feature_decay=_DECAY * 50 / n
        )
        contenders: dict[str, Callable[[], object]] = {
            _OURS: lambda problem=problem: ufm.descend(problem, iterations=iterations, record_every=_EVERY),
            _START: lambda problem=problem: ufm.descend(problem, iterations=0),
        }
        rounds = max(10, min(1000, 2_000_000 // problem.num_samples))
        if problem.num_samples <= _MOST_TORCH:
            contenders |= _torch_runs(problem, problem.initial_state(0), _STEP, rounds)
        times = timing.interleaved(contenders, min(options.repeats, 3))
        start = times[_START].median
        ours = (times[_OURS].median - start) / iterations
        theirs = _torch_time(times, rounds) if _TORCH in times else None
        table.rows.append([f"{n:,}", f"{4 * n:,}", seconds(start), _each(ours), _each(theirs) if theirs else "-"])
        table.records.append({"n": n, "start": start, "ncfast": ours, "torch": theirs})
    table.notes.append("start: the draw of the initial state, once; a large one is drawn as class means and scatter")
    _plot(table.records, options.output)
    return table


def _plot(records: list[dict[str, Any]], folder: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, key, colour in ((_OURS, "ncfast", "#d1495b"), (_TORCH, "torch", "#2e4057")):
        points = [(r["n"], r[key] * 1e6) for r in records if r[key]]
        axes.loglog(*zip(*points, strict=True), marker="o", color=colour, label=name)
    axes.set_xlabel("samples per class, n")
    axes.set_ylabel("microseconds per iteration")
    axes.set_title("Gradient descent of the plain model, K = 4, d = 20", loc="left", fontsize=11, weight="bold")
    axes.grid(color="#e6e6e6")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "ufm.png", dpi=160)
    figure.savefig(folder / "ufm.svg")
    plt.close(figure)
