"""Measuring on a Dask cluster: features in chunks of a Dask array, or in files that the workers read.

Each part is reduced to class statistics where it lies; those are merged in a binary tree that the parts alone
determine. So the bits of a result depend on no scheduler, worker or order of events: they are those of the same tree
evaluated in one thread, also when workers die and their parts are computed again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._choices import as_choice
from ._features import STORED, Block, Features
from ._labelled import Labelled, as_samples
from ._measurement import Measurement, Options, side_by_side
from ._second_pass import SecondPass, Seen, State, add_states
from ._source import FeatureFile
from .metrics.variability import require_two_classes
from .report import Report
from .sources._errors import require
from .sources._files import expand
from .sources._open import open_features
from .statistics import ClassStatistics

T = TypeVar("T")
First = tuple[ClassStatistics, int]


@dataclass(frozen=True)
class Facts:
    """What is known of a part before it is measured."""

    rows: int
    cols: int
    dtype: str
    largest_label: int


@dataclass(frozen=True)
class FilePart:
    """Files that whoever needs them opens."""

    features: str
    labels: str | None
    reading: dict[str, Any]

    def open(self) -> FeatureFile:
        """Open them here."""
        return open_features(self.features, self.labels, **self.reading)


Part = FilePart | tuple[NDArray[Any], NDArray[Any]]


class Elsewhere(Features):
    """Features that are planned for here and read elsewhere."""

    def __init__(self, rows: int, cols: int, dtype: str) -> None:
        self.shape, self.dtype = (rows, cols), dtype

    def block(self, start: int, stop: int) -> Block:
        """Refuse: no row is here."""
        raise ValueError(f"rows {start} to {stop} are on the workers; wanted rows in memory or files")

    def take(self, rows: NDArray[np.int64]) -> Block:
        """Refuse too."""
        return self.block(int(rows[0]), int(rows[-1]) + 1)

    def identity(self) -> Iterator[bytes]:
        """Tell nothing."""
        return iter(())


def measure(
    features: Any,
    labels: Any = None,
    weights: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    reading: dict[str, Any] | None = None,
    **options: Any,
) -> Report:
    """Measure neural collapse of features that Dask holds, or that its workers read from files.

    Parameters
    ----------
    features : dask.array.Array of shape (N, d), or path, or iterable of paths
        Each chunk of rows, or each file, is a part; a path may be a pattern or a folder of shards, listed here and
        opened by the workers. The parts decide the tree and with it the last bits. Those of 100 MB or more cost
        little overhead.
    labels : array_like or dask.array.Array of int, shape (N,), or as many paths, optional
        Classes in [0, K); for paths, by default those in the same files.
    weights, bias : optional
        As in `ncfast.measure`.
    reading : dict, optional
        For paths: keywords of `ncfast.open_features`.
    **options
        Further keywords of `ncfast.measure`, but `sample_weights`, `progress`, `checkpoint` and `details`.
        ``class_rank``, which reads features class by class, is left out.

    Returns
    -------
    Report
        Statistics are one pass over the parts, NC4 and what else needs the class means a second one.

    Raises
    ------
    ValueError, TypeError
        As `ncfast.measure`, the message led by the number of the part.

    Notes
    -----
    Runs on the current Dask client if there is one, else on Dask's default scheduler. Have workers compute with as
    many threads as they have processors (``OMP_NUM_THREADS``); results do not depend on it.
    """
    dask = require("dask", "dask")
    refused = {"sample_weights", "progress", "checkpoint", "details"} & options.keys()
    if refused:
        raise TypeError(f"{min(refused)} is given; wanted none: a cluster measures without it")
    parts, facts = _of_paths(features, labels, reading or {}) if _are_paths(features) else _of_arrays(features, labels)
    planned = _planned(facts, weights, bias, Options(**options))
    shared = dask.delayed(planned, traverse=False)
    first = dask.delayed(first_pass)
    stats, skipped = dask.compute(tree([first(shared, *part) for part in enumerate(parts)], dask.delayed(merge)))[0]
    require_two_classes(stats)
    subject = planned.subject(stats)
    if not planned.plan.second_pass:
        return planned.report(subject, Seen(), skipped)
    sums = planned.second_pass(subject)
    empty, second = dask.delayed(sums, traverse=False), dask.delayed(second_pass)
    partial = [second(shared, empty, *part) for part in enumerate(parts)]
    sums.restore(dask.compute(tree(partial, dask.delayed(add_states)))[0])
    return planned.report(subject, sums.found(), skipped)


def tree(leaves: Sequence[T], combine: Callable[[T, T], T]) -> T:
    """Combine neighbours, then neighbours of what comes out, until one is left."""
    level = list(leaves)
    while len(level) > 1:
        pairs = [combine(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) // 2 * 2 :]
    return level[0]


def first_pass(planned: Measurement, number: int, part: Part) -> First:
    """Class statistics of one part, and how many of its rows were skipped."""
    with _naming(number):
        samples = _samples(planned, part)
        rows = samples.source.block_rows()
        reading = samples.collect(rows, scatter=planned.plan.scatter, precision=planned.precision)
        return side_by_side([reading], 0, None)[0]


def merge(ours: First, theirs: First) -> First:
    """Put together what the first pass found of two neighbours."""
    return ours[0].merge(theirs[0]), ours[1] + theirs[1]


def second_pass(planned: Measurement, empty: SecondPass, number: int, part: Part) -> State:
    """Return the sums of the second pass over one part."""
    with _naming(number):
        samples, sums = _samples(planned, part), empty.fresh()
        for start, stop in samples.source.ranges(samples.source.block_rows()):
            sums.add(samples.source.block(start, stop), *samples.usable(start, stop))
        return sums.state()


def _samples(planned: Measurement, part: Part) -> Labelled:
    features, labels = (part.open(), None) if isinstance(part, FilePart) else part
    of = planned.samples
    return as_samples(features, labels, None, of.nonfinite, of.source.cols).among(of.num_classes, of.chosen)


def _planned(
    facts: Sequence[Facts], weights: ArrayLike | None, bias: ArrayLike | None, options: Options
) -> Measurement:
    """Check and plan, knowing what the parts are like."""
    for number, fact in enumerate(facts):
        if (fact.cols, fact.dtype) != (facts[0].cols, facts[0].dtype):
            raise ValueError(
                f"part {number} has {fact.cols} features of {fact.dtype}, part 0 {facts[0].cols} of {facts[0].dtype};"
                " wanted the same in all parts"
            )
    if facts[0].dtype not in STORED:
        raise TypeError(f"features has dtype {facts[0].dtype}; wanted one of {', '.join(STORED)}")
    source = Elsewhere(sum(fact.rows for fact in facts), facts[0].cols, facts[0].dtype)
    largest = np.array([max(fact.largest_label for fact in facts)])
    samples = Labelled(source, largest, 0, as_choice("nonfinite", options.nonfinite), None, None)
    planned = Measurement.about(samples, weights, bias, options)
    return replace(planned, plan=planned.plan.without_ranks())


def _are_paths(features: Any) -> bool:
    return isinstance(features, str | os.PathLike | list | tuple)


def _of_paths(features: Any, labels: Any, reading: dict[str, Any]) -> tuple[list[Part], list[Facts]]:
    dask = require("dask", "dask")
    files = expand(features)
    beside = [None] * len(files) if labels is None else expand(labels)
    if len(files) != len(beside):
        raise ValueError(f"labels are {len(beside)} files; wanted {len(files)}, one per file of features")
    parts: list[Part] = [FilePart(*names, reading) for names in zip(files, beside, strict=True)]
    describing = dask.delayed(_describe)
    return parts, list(dask.compute(*(describing(*part) for part in enumerate(parts))))


def _describe(number: int, part: FilePart) -> Facts:
    with _naming(number):
        opened = part.open()
        if opened.labels is None:
            raise ValueError(f"{opened.path}: has no labels beside the features; wanted labels")
        return Facts(*opened.shape, opened.dtype, int(opened.labels.max(initial=0)))


def _of_arrays(features: Any, labels: Any) -> tuple[list[Any], list[Facts]]:
    dask, array = require("dask", "dask"), require("dask.array", "dask")
    if not isinstance(features, array.Array):
        raise TypeError(f"features is a {type(features).__name__}; wanted a dask array, a path or paths")
    if features.ndim != 2 or np.isnan(features.shape[0]) or 0 in features.shape:
        raise ValueError(f"features has shape {features.shape}; wanted (N, d), known (features.compute_chunk_sizes())")
    if labels is None or (shape := tuple(np.shape(labels))) != features.shape[:1]:
        got = "missing" if labels is None else f"of shape {shape}"
        raise ValueError(f"labels is {got}; wanted ({features.shape[0]},), one per row of features")
    rows = features.rechunk({1: -1})
    classes = array.asarray(labels).rechunk((rows.chunks[0],))
    if classes.dtype.kind not in "iu":
        raise TypeError(f"labels has dtype {classes.dtype}; wanted integers in [0, num_classes)")
    pairs = zip(rows.to_delayed().ravel(), classes.to_delayed().ravel(), strict=True)
    paired = dask.delayed(lambda *pair: pair)
    return [paired(*pair) for pair in pairs], [
        Facts(rows.shape[0], rows.shape[1], rows.dtype.name, int(classes.max().compute()))
    ]


@contextmanager
def _naming(number: int) -> Iterator[None]:
    """Lead the message of an error by the part it is about, whose first row is row 0."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise type(error)(f"part {number}: {error}") from error
