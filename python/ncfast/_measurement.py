"""One measurement of features: what is asked for, the passes it takes, and several of them side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checkpoint import Checkpoint, array_bytes, digest_of
from ._choices import as_choice
from ._classifier import Classifier
from ._confusion import Confusion
from ._conventions import Conventions, as_conventions
from ._features import as_features
from ._findings import findings
from ._labelled import Labelled, as_samples, with_head
from ._plan import Plan, plan_features
from ._runtime import info
from ._second_pass import SecondPass, Seen
from ._subject import Subject
from ._version import __version__
from .details import describe_inputs, details_of
from .metrics._samples import read_samples, sample_mean
from .metrics.class_rank import ranks_of
from .metrics.variability import require_two_classes
from .report import Report
from .statistics import ClassStatistics

Progress = Callable[[int, int], None]
Run = Generator[int, None, Report]
T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """Keyword arguments of `ncfast.measure`, which see."""

    metrics: str | Iterable[str] = "standard"
    num_classes: int | None = None
    classes: ArrayLike | None = None
    sample_weights: object = None
    weighting: str = "papyan"
    conventions: str = "ncfast"
    precision: str = "feature"
    nonfinite: str = "raise"
    method: str = "auto"
    errors: bool = False
    outliers: object = None
    weight_decay: float | None = None
    feature_decay: float | None = None
    details: bool = False


@dataclass(frozen=True)
class Extras:
    """Arguments that some metrics need."""

    outliers: object
    weight_decay: float | None
    feature_decay: float | None
    has_weights: bool

    @property
    def available(self) -> frozenset[str]:
        """What there is of them, as the catalogue calls it."""
        given = {"weights": self.has_weights, "outliers": self.outliers is not None, "decays": len(self.decays) == 2}
        return frozenset(name for name, there in given.items() if there)

    @property
    def decays(self) -> dict[str, float]:
        """Decays that are given."""
        given = {"weight_decay": self.weight_decay, "feature_decay": self.feature_decay}
        return {name: value for name, value in given.items() if value is not None}

    def outlier_mean(self, num_features: int) -> NDArray[np.float64] | None:
        """Mean of the outliers."""
        return None if self.outliers is None else sample_mean(read_samples(self.outliers, num_features))


@dataclass(frozen=True)
class Measurement:
    """Checked samples and classifier, and what to measure of them."""

    samples: Labelled
    head: Classifier
    plan: Plan
    definitions: Conventions
    extras: Extras
    precision: str
    errors: bool
    inputs: dict[str, str] | None = None  # in words, if details are wanted

    @classmethod
    def of(
        cls, features: object, labels: object, weights: ArrayLike | None, bias: ArrayLike | None, options: Options
    ) -> Measurement:
        """Check all arguments and plan."""
        samples = as_samples(features, labels, options.sample_weights, options.nonfinite)
        measurement = cls.about(samples, weights, bias, options)
        if not options.details:
            return measurement
        given = {"sample_weights": options.sample_weights, "outliers": options.outliers}
        held = getattr(features, "labels", None) if labels is None else labels
        inputs = describe_inputs(features=features, labels=held, weights=weights, bias=bias, **given)
        return replace(measurement, inputs=inputs)

    @classmethod
    def about(
        cls, samples: Labelled, weights: ArrayLike | None, bias: ArrayLike | None, options: Options
    ) -> Measurement:
        """Plan for checked samples."""
        o = options
        samples, head = with_head(samples, weights, bias, o.num_classes, o.classes)
        definitions = as_conventions(o.conventions, o.weighting)
        extras = Extras(o.outliers, o.weight_decay, o.feature_decay, has_weights=head.weights is not None)
        plan = plan_features(
            o.metrics,
            extras.available,
            num_classes=samples.num_classes,
            num_features=samples.source.cols,
            weighting=o.weighting,
            method=as_choice("method", o.method),
            errors=o.errors,
        )
        return cls(samples, head, plan, definitions, extras, as_choice("precision", o.precision), o.errors)

    @property
    def rows_to_read(self) -> int:
        """Rows that `run` reads, both passes together."""
        return (1 + self.plan.second_pass) * self.samples.source.rows

    @property
    def products(self) -> type[np.float32] | type[np.float64]:
        """Precision of large products."""
        return np.float64 if self.precision == "double" else self.samples.source.native

    def fingerprint(self) -> str:
        """Return what is the same for two measurements only if all their numbers are."""
        samples, plan, extras = self.samples, self.plan, self.extras
        outliers = None if extras.outliers is None else as_features(extras.outliers)
        keys = sorted(plan.keys), sorted(plan.named)
        chosen = (
            *keys,
            plan.scatter,
            plan.projection,
            self.definitions,
            self.precision,
            self.errors,
            self.inputs is None,
        )
        how = (__version__, info()["isa"], samples.source.block_rows(), samples.nonfinite, samples.num_classes)
        arrays = (samples.labels, samples.chosen, samples.weights, self.head.weights, self.head.bias)
        return digest_of(
            chain(
                [repr((*chosen, *how, extras.decays)).encode()],
                samples.source.identity(),
                () if outliers is None else outliers.identity(),
                chain.from_iterable(map(array_bytes, arrays)),
            )
        )

    def run(self, block_rows: int, checkpoint: Checkpoint | None = None) -> Run:
        """Measure, about this many rows a step, yielding how many were read."""
        begin = time.perf_counter()
        stats, skipped = yield from self.samples.collect(
            block_rows, scatter=self.plan.scatter, precision=self.precision, checkpoint=checkpoint
        )
        require_two_classes(stats)
        subject = self.subject(stats)
        seen = (yield from self._take_second_pass(subject, block_rows, checkpoint)) if self.plan.second_pass else Seen()
        if self.plan.ranks:
            classes, weights = self.samples.all_usable()
            seen.add_ranks(ranks_of(self.samples.source, classes, stats.num_classes, weights=weights))
        report = self.report(subject, seen, skipped)
        if self.inputs is None:
            return report
        seconds = time.perf_counter() - begin
        details = details_of(subject, misses=seen.misses, confusion=seen.confusion, inputs=self.inputs, seconds=seconds)
        return replace(report, details=details)

    def subject(self, stats: ClassStatistics) -> Subject:
        """Return what metrics share, once the statistics are there."""
        extras, wanted = self.extras, self.plan.keys
        outlier_mean = extras.outlier_mean(stats.num_features)
        return Subject(stats, self.head, self.definitions, extras.decays, outlier_mean, self.products, wanted)

    def second_pass(self, subject: Subject) -> SecondPass:
        """Return the pass that needs the class means, before its first row."""
        confusion = None if self.inputs is None else Confusion(subject.stats.num_classes)
        return SecondPass(subject, self.plan, self.products, self.samples.source.native, confusion)

    def report(self, subject: Subject, seen: Seen, skipped: int) -> Report:
        """Return what all passes come to."""
        stats = subject.stats
        weighed = (f"samples counted by their weights, {stats.num_samples:.6g} in all",) if stats.weighted else ()
        return findings(
            subject,
            self.plan,
            seen.values,
            misses=seen.misses,
            errors=self.errors,
            skipped_rows=skipped,
            steps=(*self.plan.steps, *seen.steps, *weighed, f"products in {self.products.__name__}"),
        )

    def _take_second_pass(
        self, subject: Subject, block_rows: int, checkpoint: Checkpoint | None
    ) -> Generator[int, None, Seen]:
        source = self.samples.source
        sums = self.second_pass(subject)
        first = 0 if checkpoint is None else checkpoint.restore("second pass", sums)
        yield first
        for start, stop in source.ranges(block_rows, first):
            sums.add(source.block(start, stop), *self.samples.usable(start, stop))
            if checkpoint is not None:
                checkpoint.keep("second pass", stop, sums)
            yield stop - start
        return sums.found()


def side_by_side(runs: Sequence[Generator[int, None, T]], total: int, progress: Progress | None) -> list[T]:
    """Take a step of each run in turn until all are done; return their reports."""
    reports: dict[int, T] = {}
    done = told = 0
    while len(reports) < len(runs):
        for i, run in enumerate(runs):
            if i not in reports:
                try:
                    done += next(run)
                except StopIteration as end:
                    reports[i] = end.value
        if progress is not None and done > told:
            progress(done, total)
            told = done
    return [reports[i] for i in range(len(runs))]


def require_progress(progress: object) -> None:
    """Refuse what cannot be called."""
    if progress is not None and not callable(progress):
        raise TypeError(f"progress is {progress!r}; wanted a function of (rows done, rows in all)")
