"""One call from a feature matrix to a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._choices import as_choice
from ._classifier import Classifier, as_classifier, class_count
from ._conventions import as_conventions
from ._features import Features, as_features
from ._findings import findings
from ._labels import as_labels, class_indices
from ._plan import Plan, plan_features, plan_statistics
from ._screen import screen
from ._summary import Subject
from .accumulate import Accumulator
from .metrics._samples import read_samples, sample_mean
from .metrics.class_rank import ranks_of
from .metrics.heads import MarginSums
from .metrics.variability import no_directions, require_two_classes
from .passes import Decisions, Projection
from .report import Report
from .statistics import ClassStatistics

Progress = Callable[[int, int], None]
Int = NDArray[np.int64]


def measure(
    features: object,
    labels: object,
    weights: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    metrics: str | Iterable[str] = "standard",
    num_classes: int | None = None,
    weighting: str = "papyan",
    conventions: str = "ncfast",
    precision: str = "feature",
    nonfinite: str = "raise",
    method: str = "auto",
    errors: bool = False,
    outliers: object = None,
    weight_decay: float | None = None,
    feature_decay: float | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measure neural collapse of labelled features and a linear classifier.

    The features are read block by block, as few times as what is asked for needs: once for class statistics, a
    second time for what needs the class means first; ``report.plan`` says which. Memory beyond the input is
    O(K d) and, with a scatter, O(d^2).

    Parameters
    ----------
    features : array_like, shape (N, d)
        float16, bfloat16, float32 or float64; numpy, memmap, torch on the CPU, DLPack. Rows are samples.
    labels : array_like of int, shape (N,)
        Classes in [0, K). Classes without samples are left out of every metric and listed in the report.
    weights : array_like, shape (K, d), optional
        Rows w_k of the classifier. Without it, NC3, NC4 and the geometry of weights are left out.
    bias : array_like, shape (K,), optional
        Bias of the classifier, zero by default; it matters for ``nc4_disagreement``.
    metrics : str or iterable of str, default "standard"
        ``"standard"``; ``"all"``, which adds what costs more; a group, one of ``"nc1"`` ... ``"nc5"``,
        ``"spectrum"``, ``"mse"``; a key, or a key without ``_means`` or ``_weights``; or several of these. Of
        groups, what does not apply or lacks an argument is left out; what is named must be possible.
    num_classes : int, optional
        K; by default the rows of `weights`, else the largest label plus one.
    weighting : {"papyan", "class", "sample"}, default "papyan"
        How samples and classes count, see `ncfast.metrics.nc1_pinv`.
    conventions : {"ncfast", "papyan", "zhu", "rhubarbwu"}, default "ncfast"
        Whose definitions to follow where codes differ; ``report.conventions`` lists them. ``"papyan"``: of
        Papyan, Han, Donoho (no 1/K in NC1, norms with ddof 1, squared self-duality). ``"zhu"``: of Zhu et al.
        (centred at the mean of all samples). ``"rhubarbwu"``: of the package ``neural_collapse``
        (``nc1_svd_ratio`` is Tr(S_W S_B^+)/K, UNC3 of inner products).
    precision : {"feature", "double"}, default "feature"
        Arithmetic of the large products; sums are float64 either way.
    nonfinite : {"raise", "skip"}, default "raise"
        Whether a row with NaN or infinity is an error or is left out and counted.
    method : {"auto", "projection", "scatter"}, default "auto"
        How ``nc1_pinv`` is computed: through the projection on the span of the class means, 2 N d (K-1)
        operations, or through the d * d scatter, N d^2. ``"auto"`` takes the cheaper.
    errors : bool, default False
        Whether to add jackknife standard errors over classes, ``report.errors``.
    outliers : array_like, shape (n, d), optional
        Features of samples of none of the classes, for ``nc5_orthogonality``.
    weight_decay, feature_decay : float, optional
        Decays of the squared loss: the first for ``mse_*``, zero by default, both for ``nc2_gof_*``.
    progress : callable, optional
        Called with (rows done, rows in all) after each block; both passes count.

    Returns
    -------
    Report

    Raises
    ------
    ValueError, TypeError
        On input that does not fit, naming the argument.

    Examples
    --------
    >>> import numpy, ncfast
    >>> rng = numpy.random.default_rng(0)
    >>> labels = numpy.arange(300) % 3
    >>> features = numpy.eye(3, 8)[labels] + 1e-3 * rng.standard_normal((300, 8))
    >>> report = ncfast.measure(features, labels)
    >>> report["nc1_pinv"] < 1e-5, report["ncc_accuracy"]
    (True, 1.0)
    """
    if progress is not None and not callable(progress):
        raise TypeError(f"progress is {progress!r}; wanted a function of (rows done, rows in all)")
    source = as_features(features)
    if source.rows == 0:
        raise ValueError(f"features has shape {source.array.shape}; wanted at least one sample")
    raw_labels = as_labels(labels, source.rows)
    head = as_classifier(weights, bias, source.cols)
    k = class_count(num_classes, head, raw_labels)
    definitions = as_conventions(conventions, weighting)
    extras = _Extras(outliers, weight_decay, feature_decay, has_weights=head.weights is not None)
    plan = plan_features(
        metrics,
        extras.available,
        num_classes=k,
        num_features=source.cols,
        weighting=weighting,
        method=as_choice("method", method),
        errors=errors,
    )
    job = _Job(
        source, raw_labels, k, plan, as_choice("nonfinite", nonfinite), as_choice("precision", precision), progress
    )
    stats, skipped = job.collect()
    require_two_classes(stats)
    subject = Subject(stats, head, definitions, extras.decays, extras.outlier_mean(source.cols))
    seen = job.second_pass(subject) if plan.second_pass else _Seen()
    if plan.ranks:
        seen.add_ranks(ranks_of(source, job.all_classes(), k))
    return findings(
        subject,
        plan,
        seen.values,
        misses=seen.misses,
        errors=errors,
        skipped_rows=skipped,
        steps=(
            *plan.steps,
            *seen.steps,
            f"products in {'float64' if precision == 'double' else source.native.__name__}",
        ),
    )


def measure_statistics(
    stats: ClassStatistics,
    weights: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    metrics: str | Iterable[str] = "standard",
    weighting: str = "papyan",
    conventions: str = "ncfast",
    errors: bool = False,
    outliers: object = None,
    weight_decay: float | None = None,
    feature_decay: float | None = None,
) -> Report:
    """Measure what class statistics alone can tell: everything but NC4.

    Parameters
    ----------
    stats : ClassStatistics
        Without a scatter, ``nc1_pinv`` and what else needs one is left out too.
    weights, bias, metrics, weighting, conventions, errors, outliers, weight_decay, feature_decay
        As in `measure`.

    Returns
    -------
    Report
    """
    if not isinstance(stats, ClassStatistics):
        raise TypeError(f"stats is a {type(stats).__name__}; wanted ClassStatistics")
    head = as_classifier(weights, bias, stats.num_features)
    class_count(stats.num_classes, head, None)
    definitions = as_conventions(conventions, weighting)
    extras = _Extras(outliers, weight_decay, feature_decay, has_weights=head.weights is not None)
    plan = plan_statistics(metrics, extras.available | ({"scatter"} if stats.pooled is not None else set()))
    require_two_classes(stats)
    subject = Subject(stats, head, definitions, extras.decays, extras.outlier_mean(stats.num_features))
    return findings(subject, plan, {}, errors=errors, steps=("metrics of given class statistics",))


@dataclass(frozen=True)
class _Extras:
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
    steps: tuple[str, ...] = ()

    def add_ranks(self, ranks: NDArray[np.float64]) -> None:
        """Add the numerical ranks of classes; nan for those without samples or spread."""
        known = ranks[~np.isnan(ranks)]
        self.values["class_rank_mean"] = float(known.mean()) if known.size else np.nan
        self.values["class_rank_max"] = float(known.max()) if known.size else np.nan
        self.steps += ("last pass: features class by class, for class_rank",)


@dataclass(frozen=True)
class _Job:
    """The features of one measurement and how to read them."""

    source: Features
    labels: NDArray[np.integer[Any]]
    num_classes: int
    plan: Plan
    nonfinite: str
    precision: str
    progress: Progress | None

    def collect(self) -> tuple[ClassStatistics, int]:
        """First pass: class statistics, and how many rows were skipped."""
        accumulator = Accumulator(
            self.num_classes,
            self.source.cols,
            scatter=self.plan.scatter,
            precision=self.precision,
            nonfinite=self.nonfinite,
        )
        # Where classes are many, blocks grow so that each class has several rows in one.
        block_rows = max(self.source.block_rows(), 32 * self.num_classes)
        for start, stop in self.source.ranges(block_rows):
            classes = class_indices(self.labels[start:stop], self.num_classes, start)
            accumulator.add_block(self.source, start, stop, classes)
            self._report(stop)
        return accumulator.statistics(), accumulator.skipped_rows

    def second_pass(self, subject: Subject) -> _Seen:
        """Second pass: NC1 by projection, decisions and margins, as planned."""
        plan, stats, head = self.plan, subject.stats, subject.head
        double = self.precision == "double" or self.source.native is np.float64
        directions = subject.between if plan.projection else no_directions(stats.num_features)
        projection = Projection(stats, directions, subject.weighting, np.float64 if double else np.float32)
        decisions = Decisions(stats, head, projection, self.source.native) if plan.decisions else None
        margins = MarginSums.of(head.weights, subject.centre) if plan.margins and head.weights is not None else None
        for start, stop in self.source.ranges(self.source.block_rows()):
            block = self.source.block(start, stop)
            classes = self._screened(start, stop)
            if plan.projection or decisions is not None:
                distances = projection.add(block, classes)
                if decisions is not None:
                    decisions.add(block, classes, distances)
            if margins is not None:
                margins.add(block, classes)
            self._report(self.source.rows + stop)
        seen = _Seen(steps=(f"pass 2: {', '.join(_uses(plan, head, decisions))}",))
        if plan.projection:
            seen.values["nc1_pinv"] = subject.nc1_scaled(projection.nc1())
        if decisions is not None:
            seen.values["ncc_accuracy"] = decisions.nearest_is_label / decisions.samples
            if head.weights is not None:
                seen.values["nc4_disagreement"] = decisions.disagreements / decisions.samples
            seen.misses = 1.0 - decisions.right_by_class / np.where(stats.present, stats.counts, 1)
        if margins is not None:
            seen.values["cosine_margin_mean"], seen.values["cosine_margin_min"] = margins.summary()
        seen.values = {key: value for key, value in seen.values.items() if key in plan.keys}
        return seen

    def all_classes(self) -> Int:
        """Class of every row, `SKIPPED` where it is left out."""
        return np.concatenate([self._screened(*part) for part in self.source.ranges(self.source.block_rows())])

    def _screened(self, start: int, stop: int) -> Int:
        """Classes of rows that have been accepted once."""
        classes = class_indices(self.labels[start:stop], self.num_classes, start)
        if self.nonfinite == "skip":
            classes = screen(self.source.block(start, stop), classes, "skip", start)
        return classes

    def _report(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, (1 + self.plan.second_pass) * self.source.rows)


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
