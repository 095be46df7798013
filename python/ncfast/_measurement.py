"""One measurement of features: what is asked for, the passes it takes, and several of them side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._choices import as_choice
from ._classifier import Classifier
from ._confusion import Confusion
from ._conventions import Conventions, as_conventions
from ._findings import findings
from ._labelled import Labelled, as_samples, with_head
from ._plan import Plan, plan_features
from ._subject import Subject
from .details import describe_inputs, details_of
from .metrics._samples import read_samples, sample_mean
from .metrics.class_rank import mean_and_max, ranks_of
from .metrics.heads import MarginSums
from .metrics.variability import no_directions, require_two_classes
from .passes import Decisions, Projection
from .report import Report

Progress = Callable[[int, int], None]
Run = Generator[int, None, Report]


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


@dataclass
class _Seen:
    """What passes after the first found."""

    values: dict[str, float] = field(default_factory=dict)
    misses: NDArray[np.float64] | None = None
    confusion: Confusion | None = None
    steps: tuple[str, ...] = ()

    def add_ranks(self, ranks: NDArray[np.float64]) -> None:
        """Add the numerical ranks of classes; nan for those without samples or spread."""
        self.values["class_rank_mean"], self.values["class_rank_max"] = mean_and_max(ranks)
        self.steps += ("last pass: features class by class, for class_rank",)


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
    inputs: dict[str, str] | None  # in words, if details are wanted

    @classmethod
    def of(
        cls, features: object, labels: object, weights: ArrayLike | None, bias: ArrayLike | None, options: Options
    ) -> Measurement:
        """Check all arguments and plan."""
        o = options
        samples = as_samples(features, labels, o.sample_weights, o.nonfinite)
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
        inputs = None
        if o.details:
            given = {"sample_weights": o.sample_weights, "outliers": o.outliers}
            inputs = describe_inputs(features=features, labels=labels, weights=weights, bias=bias, **given)
        return cls(samples, head, plan, definitions, extras, as_choice("precision", o.precision), o.errors, inputs)

    @property
    def rows_to_read(self) -> int:
        """Rows that `run` reads, both passes together."""
        return (1 + self.plan.second_pass) * self.samples.source.rows

    @property
    def products(self) -> type[np.float32] | type[np.float64]:
        """Precision of large products."""
        return np.float64 if self.precision == "double" else self.samples.source.native

    def run(self, block_rows: int) -> Run:
        """Measure, about this many rows a step, yielding how many were read."""
        begin = time.perf_counter()
        stats, skipped = yield from self.samples.collect(
            block_rows, scatter=self.plan.scatter, precision=self.precision
        )
        require_two_classes(stats)
        outlier_mean = self.extras.outlier_mean(stats.num_features)
        subject = Subject(stats, self.head, self.definitions, self.extras.decays, outlier_mean, self.products)
        seen = (yield from self._second_pass(subject, block_rows)) if self.plan.second_pass else _Seen()
        if self.plan.ranks:
            classes, weights = self.samples.all_usable()
            seen.add_ranks(ranks_of(self.samples.source, classes, stats.num_classes, weights=weights))
        weighed = (f"samples counted by their weights, {stats.num_samples:.6g} in all",) if stats.weighted else ()

        report = findings(
            subject,
            self.plan,
            seen.values,
            misses=seen.misses,
            errors=self.errors,
            skipped_rows=skipped,
            steps=(*self.plan.steps, *seen.steps, *weighed, f"products in {self.products.__name__}"),
        )
        if self.inputs is None:
            return report
        seconds = time.perf_counter() - begin
        details = details_of(subject, misses=seen.misses, confusion=seen.confusion, inputs=self.inputs, seconds=seconds)
        return replace(report, details=details)

    def _second_pass(self, subject: Subject, block_rows: int) -> Generator[int, None, _Seen]:
        """NC1 by projection, decisions and margins, as planned."""
        plan, stats, head, source = self.plan, subject.stats, subject.head, self.samples.source
        directions = subject.between if plan.projection else no_directions(stats.num_features)
        projection = Projection(stats, directions, subject.weighting, self.products)
        confusion = None if self.inputs is None else Confusion(stats.num_classes)
        decisions = Decisions(subject, projection, source.native, confusion) if plan.decisions else None
        margins = MarginSums.of(head.weights, subject.centre) if plan.margins and head.weights is not None else None
        for start, stop in source.ranges(block_rows):
            block = source.block(start, stop)
            classes, weights = self.samples.usable(start, stop)
            if plan.projection or decisions is not None:
                projected = projection.add(block, classes, weights)
                if decisions is not None:
                    decisions.add(block, classes, projected, weights)
            if margins is not None:
                margins.add(block, classes, weights)
            yield stop - start
        seen = _Seen(steps=(f"pass 2: {', '.join(_uses(plan, head, decisions))}",))
        if plan.projection:
            seen.values["nc1_pinv"] = subject.nc1_scaled(projection.nc1())
        if decisions is not None:
            seen.values["ncc_accuracy"] = decisions.nearest_is_label / decisions.samples
            if head.weights is not None:
                seen.values["nc4_disagreement"] = decisions.disagreements / decisions.samples
            seen.confusion = confusion
            seen.misses = 1.0 - decisions.right_by_class / np.where(stats.present, stats.counts, 1)
        if margins is not None:
            seen.values["cosine_margin_mean"], seen.values["cosine_margin_min"] = margins.summary()
        seen.values = {key: value for key, value in seen.values.items() if key in plan.keys}
        return seen


def _uses(plan: Plan, head: Classifier, decisions: Decisions | None) -> list[str]:
    """Say what the second pass was for."""
    uses = ["projection"] if plan.projection else []
    if decisions is not None:
        rules = 1 if head.weights is None else 2
        share = decisions.certified / (rules * decisions.rows)
        uses.append(
            f"nearest mean{' and classifier' if rules == 2 else ''} ({share:.1%} certified without computing them)"
        )
    return uses + (["cosine margins"] if plan.margins else [])


def side_by_side(runs: Sequence[Run], total: int, progress: Progress | None) -> list[Report]:
    """Take a step of each run in turn until all are done; return their reports."""
    reports: dict[int, Report] = {}
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
