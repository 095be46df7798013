"""Single kernels against the library call that bounds them: class means, scatter, projection, NC4.

Whole public calls are timed where there is one, checks of the input included. Features are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

import ncfast
from ncfast import _core
from ncfast._classifier import Classifier, as_classifier
from ncfast._conventions import as_conventions
from ncfast._rules import Rules
from ncfast._subject import Subject
from ncfast.metrics.variability import no_directions
from ncfast.passes import Decisions, Projection

from .. import data, timing
from ..baselines import nearest
from ..results import Table, ratio, seconds

if TYPE_CHECKING:
    from . import Options

Run = Callable[[], object]
_HEADER = ["what", "N", "d", "K", "threads", "ncfast", "against", "its time", "ncfast / its time", "noise"]


def run(options: Options) -> list[Table]:
    """Time all kernels."""
    table = Table("Kernels, float32; a ratio below 1 means that ncfast takes less time", _HEADER)
    _class_means(table, options)
    _scatter(table, options)
    _projection(table, options)
    _nc4_pass(table, options)
    table.notes += [
        "class means: `Accumulator(scatter=False).update`, in float64 sums, with its scan for NaN and its grouping by"
        " class; `numpy.sum` adds all values in one thread, whatever the threads; the ratio of GB/s is one over that"
        " of times",
        "scatter: `Accumulator(scatter=True).update` whole, class means included; numpy takes `X.T @ X` for the"
        " symmetric product it is and computes half of it, torch computes all",
        "projection: `_core.project`, which subtracts class means and sums squares, against the bare product",
        "NC4: lengths of deviations, nearest mean and classifier for each sample, in collapsed features",
        "noise: how far the slowest turn lay above the fastest, the larger of the two",
    ]
    return [table, _nearest_mean(options)]


def _rows(full: int, options: Options) -> int:
    return full // 10 if options.quick else full


def _compare(
    table: Table, what: str, case: data.Data, threads: int, ours: Run, others: Mapping[str, Run], repeats: int
) -> None:
    """Time `ours` and the others in turn; add a row for each of the others."""
    with timing.threads(threads):
        times = timing.interleaved({"ncfast": ours, **others}, repeats)
    n, d, k = *case.features.shape, case.num_classes
    mine = times["ncfast"]
    for name in others:
        other = times[name]
        noise = max(mine.spread, other.spread)
        table.rows.append(
            [
                *(what, f"{n:,}", str(d), f"{k:,}", str(threads), seconds(mine.median), name, seconds(other.median)),
                *(ratio(mine.median / other.median), f"{noise:.0%}"),
            ]
        )
        table.records.append(
            {
                "what": what,
                "N": n,
                "d": d,
                "K": k,
                "dtype": "float32",
                "threads": threads,
                "against": name,
                "seconds": mine.median,
                "its_seconds": other.median,
                "ratio": mine.median / other.median,
                "gigabytes_per_second": case.features.nbytes / mine.median / 1e9,
                "noise": noise,
            }
        )


def _update(case: data.Data, *, scatter: bool) -> Run:
    k, d = case.weights.shape
    return lambda: ncfast.Accumulator(k, d, scatter=scatter).update(case.features, case.labels)


def _class_means(table: Table, options: Options) -> None:
    for n, d, k in ((200_000, 512, 10), (50_000, 2048, 1000)):
        case = data.in_state(_rows(n, options), d, k, data.NOT_COLLAPSED)
        h, ours = case.features, _update(case, scatter=False)
        tensor = torch.from_numpy(h)
        if options.threads > 1:
            _compare(table, "class means", case, 1, ours, {"numpy.sum": h.sum}, options.repeats)
        others: dict[str, Run] = {"numpy.sum": h.sum, "torch.sum": tensor.sum}
        _compare(table, "class means", case, options.threads, ours, others, options.repeats)


def _scatter(table: Table, options: Options) -> None:
    case = data.in_state(_rows(20_000, options), 2048, 100, data.NOT_COLLAPSED)
    h = case.features
    tensor = torch.from_numpy(h)
    others: dict[str, Run] = {"numpy X.T @ X": lambda: h.T @ h, "torch X.T @ X": lambda: tensor.T @ tensor}
    _compare(table, "scatter", case, options.threads, _update(case, scatter=True), others, options.repeats)


def _projection(table: Table, options: Options) -> None:
    for k in (10, 100, 1000):
        case = data.in_state(_rows(20_000, options), 2048, k, data.NOT_COLLAPSED)
        h, r = case.features, k - 1
        rng = np.random.default_rng(0)
        basis = np.ascontiguousarray(np.linalg.qr(rng.standard_normal((2048, r)))[0].T, dtype=np.float32)
        columns = np.ascontiguousarray(basis.T)
        tensors = torch.from_numpy(h), torch.from_numpy(columns)
        squares, lengths = np.zeros(r), np.empty(len(h))
        arguments = (h, case.labels, None, case.weights, 1.0, basis, np.ones(k), squares, lengths, None)
        others = {
            "numpy X @ A": lambda h=h, columns=columns: h @ columns,
            "torch X @ A": lambda tensors=tensors: tensors[0] @ tensors[1],
        }
        ours = lambda arguments=arguments: _core.project(*arguments)  # noqa: E731
        _compare(table, f"projection, {r} directions", case, options.threads, ours, others, options.repeats)


def _nc4_pass(table: Table, options: Options) -> None:
    for n, d, k in ((200_000, 512, 10), (50_000, 2048, 1000)):
        case = data.in_state(_rows(n, options), d, k, data.COLLAPSED)
        stats = _statistics(case)
        others = {"class means": _update(case, scatter=False)}
        prepared = _prepare(case, stats)
        ours = lambda case=case, prepared=prepared: _decide(case, *prepared)  # noqa: E731
        _compare(table, "NC4 pass", case, options.threads, ours, others, options.repeats)
        ours = lambda case=case, stats=stats: _decide(case, *_prepare(case, stats))  # noqa: E731
        _compare(table, "NC4 pass and its certificates", case, options.threads, ours, others, options.repeats)


def _statistics(case: data.Data) -> ncfast.ClassStatistics:
    k, d = case.weights.shape
    accumulator = ncfast.Accumulator(k, d, scatter=False)
    accumulator.update(case.features, case.labels)
    return accumulator.statistics()


def _prepare(case: data.Data, stats: ncfast.ClassStatistics) -> tuple[Projection, Decisions]:
    return _rules(stats, as_classifier(case.weights, case.bias, stats.num_features))


def _rules(stats: ncfast.ClassStatistics, head: Classifier) -> tuple[Projection, Decisions]:
    """Nearest mean and, if the head has weights, the classifier, with their certificates."""
    projection = Projection(stats, no_directions(stats.num_features), "papyan", np.float32)
    subject = Subject(stats, head, as_conventions("ncfast", "papyan"), products=np.float32)
    return projection, Decisions(Rules.of(subject, np.float32), projection)


def _decide(case: data.Data, projection: Projection, decisions: Decisions) -> None:
    decisions.add(case.features, case.labels, projection.add(case.features, case.labels))


def _nearest_mean(options: Options) -> Table:
    """Time the nearest class mean of every sample, beside what libraries have for it."""
    searches = nearest.available()
    table = Table(
        "Nearest class mean of every sample: seconds, and times that of ncfast",
        ["N", "d", "K", "state", "ncfast", *searches, "noise", "decided otherwise"],
    )
    for n, d, k in ((50_000, 512, 100), (20_000, 768, 5000)):
        for state in data.STATES:
            case = data.in_state(max(_rows(n, options), 2 * k), d, k, state)
            stats = _statistics(case)
            means = stats.means.astype(np.float32)
            head = as_classifier(None, None, d)

            def ours(case: data.Data = case, stats: ncfast.ClassStatistics = stats, head: Classifier = head) -> float:
                projection, decisions = _rules(stats, head)
                _decide(case, projection, decisions)
                return decisions.nearest_is_label

            runs = {name: lambda s=search, c=case, m=means: s(c.features, m) for name, search in searches.items()}
            times = timing.interleaved({"ncfast": ours, **runs}, options.repeats)
            right = ours()
            apart = {name: abs(int(np.sum(run() == case.labels)) - right) for name, run in runs.items()}
            base = times["ncfast"].median
            cells = [f"{seconds(times[name].median)} ({ratio(times[name].median / base)}x)" for name in runs]
            noise = f"{max(timing.spread for timing in times.values()):.0%}"
            table.rows.append(
                [
                    f"{len(case.labels):,}",
                    str(d),
                    f"{k:,}",
                    state,
                    seconds(base),
                    *cells,
                    noise,
                    str(max(apart.values())),
                ]
            )
            table.records.append(
                {
                    "N": len(case.labels),
                    "d": d,
                    "K": k,
                    "state": state,
                    "threads": options.threads,
                    "seconds": {name: timing.median for name, timing in times.items()},
                    "apart": apart,
                }
            )
    table.notes += [
        "ncfast: certificates, lengths and search, given the class statistics; the answer is that of exact arithmetic",
        "decided otherwise: largest difference in the number of samples nearest to their own mean, see `apart`"
        " in the JSON",
    ]
    return table
