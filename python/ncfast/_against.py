"""Samples of one set about the class means of another: whether collapse holds beyond the training data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import metrics
from ._choices import as_choice
from ._classifier import Classifier, as_classifier, class_count
from ._conventions import as_conventions
from ._frame import warn_degenerate
from ._labelled import Labelled, as_samples
from ._labels import SKIPPED, positions_of
from ._measurement import Progress, Run, require_progress, side_by_side
from ._rules import Rules
from ._subject import Subject
from .metrics._within import sample_shares
from .metrics.variability import BetweenClass, between_class, centred_means, nc1_of_spread, require_two_classes
from .passes import Decisions, Projection
from .report import Report
from .statistics import ClassStatistics

Float = NDArray[np.float64]


def measure_against(
    reference: ClassStatistics,
    features: object,
    labels: object,
    weights: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    classes: ArrayLike | None = None,
    sample_weights: object = None,
    weighting: str = "papyan",
    precision: str = "feature",
    nonfinite: str = "raise",
    progress: Progress | None = None,
) -> Report:
    """Measure samples about the class means of other samples: test data about the means of training data.

    With ``mu_k``, ``mu_G``, ``S_B`` and the number of classes K those of `reference`, and ``n_k`` samples ``h_i`` of
    means ``m_k`` here:

    - ``nc1_pinv``: ``Tr(S S_B^+) / K``, and ``nc1_trace_ratio``: ``Tr S / Tr S_B``, with
      ``S = sum_i w_i (h_i - mu_{y_i})(h_i - mu_{y_i})^T``, w_i being 1/N, or 1/(K' n_k) under ``"class"``, K' the
      classes met here. Both are infinite, with a RuntimeWarning, if ``S_B = 0``.
    - ``cdnv``: mean over pairs of the K' classes of ``(v_k + v_l) / (2 ||mu_k - mu_l||^2)``, v_k the mean of
      ``||h_i - mu_k||^2`` over the samples of class k. Infinite, with a RuntimeWarning, if two means coincide; of one
      class there are no pairs, and it is left out.
    - ``ncc_accuracy``: share of samples nearest to the mean ``mu_k`` of their own class, among all K classes;
      ``nc4_disagreement``: share of those whose nearest ``mu_k`` is not the class of the largest logit.
    - ``nc1_mean_shift``: root of the mean over the K' classes of ``||m_k - mu_k||^2``, over the root of the mean over
      the K classes of ``||mu_k - mu_G||^2`` with mu_G the mean of class means; ``nc1_mean_shift_max``: the same of the
      class that moved most. Infinite, or nan without any shift, with a RuntimeWarning, if ``S_B = 0``.

    Parameters
    ----------
    reference : ClassStatistics
        Of the other samples; a scatter is not needed.
    features, labels, sample_weights
        Samples, as in `measure`. Classes without samples here are left out where a formula says so, and listed.
    weights : array_like, shape (K, d), optional
        Rows of the classifier, one per class of `reference`.
    bias : array_like, shape (K,), optional
        Its bias, zero by default.
    classes, weighting, precision, nonfinite, progress
        As in `measure`; with `classes`, the others are left out of `reference` too.

    Returns
    -------
    Report

    Raises
    ------
    ValueError, TypeError
        On input that does not fit, naming the argument; also for a sample of a class that `reference` has no
        samples of.

    References
    ----------
    Galanti, Gyorgy, Hutter, "On the role of neural collapse in transfer learning", ICLR 2022; Hui, Belkin, Nakkiran,
    "Limitations of neural collapse for understanding generalization in deep learning", 2022.
    """
    require_progress(progress)
    if not isinstance(reference, ClassStatistics):
        raise TypeError(f"reference is a {type(reference).__name__}; wanted ClassStatistics")
    as_choice("weighting", weighting)
    as_choice("precision", precision)
    samples = as_samples(features, labels, sample_weights, nonfinite, reference.num_features)
    head = as_classifier(weights, bias, reference.num_features)
    class_count(reference.num_classes, head, None)
    if classes is not None:
        chosen = reference.select(classes, scatter=False)
        head = head.of(positions_of(chosen.labels, reference.labels))
        reference = chosen
    elif reference.chosen is not None:
        _require_among(samples.labels, reference.chosen)
    require_two_classes(reference)
    samples = samples.among(reference.num_classes, reference.chosen)
    run = _run(reference, samples, head, weighting, precision)
    return side_by_side([run], 2 * samples.source.rows, progress)[0]


def _run(reference: ClassStatistics, samples: Labelled, head: Classifier, weighting: str, precision: str) -> Run:
    source, block_rows = samples.source, samples.source.block_rows()
    stats, skipped = yield from samples.collect(block_rows, scatter=False, precision=precision)
    _require_known(reference, stats)
    between = between_class(reference, weighting)
    double = precision == "double" or source.native is np.float64
    projection = Projection(stats, between.directions, weighting, np.float64 if double else np.float32)
    rules = Rules.of(Subject(reference, head, as_conventions("ncfast", weighting)), source.native)
    decisions = Decisions(rules, projection)
    for start, stop in source.ranges(block_rows):
        block = source.block(start, stop)
        classes, weights = samples.usable(start, stop)
        decisions.add(block, classes, projection.add(block, classes, weights), weights)
        yield stop - start
    # Pivots first: they differ exactly where a large common offset would round the means.
    moved = (stats.pivots - reference.pivots) + (stats.mean_offsets - reference.mean_offsets)
    shifts = np.where(stats.present[:, None], moved, 0.0)
    values = _variability(reference, stats, shifts, between, projection, weighting)
    values |= _mean_shift(reference, stats, shifts)
    if head.weights is not None:
        values["nc4_disagreement"] = decisions.disagreements / decisions.samples
    values["ncc_accuracy"] = decisions.nearest_is_label / decisions.samples
    return Report(
        metrics=values,
        spectra={},
        num_samples=stats.num_rows,
        num_features=stats.num_features,
        num_classes=stats.num_classes,
        classes=None if stats.chosen is None else tuple(stats.chosen.tolist()),
        missing_classes=stats.missing_classes,
        skipped_rows=skipped,
        feature_dtype=stats.feature_dtype,
        weighting=weighting,
        plan=(
            f"class means, S_B and decisions from {reference.num_rows:,} other samples",
            "pass 1: class statistics; pass 2: spread along the directions of S_B, nearest mean"
            f"{'' if head.weights is None else ' and classifier'}",
        ),
    )


def _require_among(labels: NDArray[np.integer[Any]], chosen: NDArray[np.int64]) -> None:
    """Refuse labels of other classes than `reference` was cut down to."""
    others = np.flatnonzero(positions_of(labels, chosen) == SKIPPED)
    if others.size:
        raise ValueError(
            f"labels holds {labels[others[0]]} at row {others[0]}; wanted labels of reference (classes=... leaves out"
            " all others)"
        )


def _require_known(reference: ClassStatistics, stats: ClassStatistics) -> None:
    """Refuse samples that have no mean to be compared with."""
    unknown = stats.labels[stats.present & ~reference.present]
    if unknown.size:
        raise ValueError(
            f"labels holds class {unknown[0]}, of which reference has no samples; wanted classes that it has"
        )
    if not stats.present.any():
        raise ValueError("labels holds no class of reference that counts; wanted at least one sample")


def _variability(
    reference: ClassStatistics,
    stats: ClassStatistics,
    shifts: Float,
    between: BetweenClass,
    projection: Projection,
    weighting: str,
) -> dict[str, float]:
    """NC1 and CDNV. About other means, spread is that about the own ones plus the shift: nothing cancels."""
    squares = stats.squared_deviations + stats.counts * np.einsum("kd,kd->k", shifts, shifts)
    spread = projection.spread() + projection.spread_of(shifts)
    within = float(squares @ sample_shares(stats, weighting))
    values = {"nc1_pinv": nc1_of_spread(spread, between.directions, int(reference.present.sum()), within)}
    size = float(between.factor_values[0])
    apart = float(np.sum((between.factor_values / size) ** 2)) if size > 0 else 0.0
    values["nc1_trace_ratio"] = within / size / size / apart if apart > 0 else values["nc1_pinv"]
    if stats.present.sum() > 1:
        means = np.where(stats.present[:, None], reference.means, 0.0)
        values["cdnv"] = metrics.cdnv(ClassStatistics(stats.counts, means, np.zeros_like(means), squares))
    return values


def _mean_shift(reference: ClassStatistics, stats: ClassStatistics, shifts: Float) -> dict[str, float]:
    centred = centred_means(reference, "class")
    scale = float(np.sqrt(np.mean(np.sum(centred**2, axis=1))))
    moved = np.linalg.norm(shifts[stats.present], axis=1)
    found = np.array([np.sqrt(np.mean(moved**2)), moved.max()])
    if scale == 0:
        warn_degenerate("the class means of reference coincide: the shift of means is infinite, or undefined if zero")
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, most = found / scale
    return {"nc1_mean_shift": float(mean), "nc1_mean_shift_max": float(most)}
