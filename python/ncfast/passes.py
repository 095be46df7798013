"""The pass over the features that needs the class means first.

For each block of rows, in one reading: deviations from the class means, their squares along the directions
of S_B (NC1 by projection), their norms, and with these the NC4 decisions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._companion import Companion, companion_of
from ._confusion import Confusion
from ._features import Block
from ._frame import in_dtype, unit_power
from ._in_span import Projected, Reach, in_span
from ._labels import SKIPPED
from ._subject import Subject
from .decisions import AffineRule, Certificate, certify, certify_nearest, linear_rule, nearest_mean_rule
from .metrics._within import sample_shares
from .metrics.variability import BetweenClass, nc1_of_spread
from .statistics import ClassStatistics

Float = NDArray[np.float64]
_FEW = 0.05
_WITHIN = 1.25


@dataclass
class Projection:
    """Within-class spread along the directions of S_B, summed block by block.

    Deviations are taken from the class means rounded to the precision of the products, which makes the
    subtraction nearly exact; `finish` settles the difference in float64.
    """

    stats: ClassStatistics
    between: BetweenClass
    weighting: str
    dtype: type[np.floating[Any]]
    pivots: Block = field(init=False)
    basis: Block = field(init=False)
    class_weights: Float = field(init=False)
    column_squares: Float = field(init=False)
    scale: float = field(init=False)
    keeps_coordinates: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        means = self.stats.means
        self.pivots = in_dtype(means if self.stats.present.all() else np.nan_to_num(means, nan=0.0), self.dtype)
        self.basis = np.ascontiguousarray(self.between.basis.T, dtype=self.dtype)
        self.class_weights = sample_shares(self.stats, self.weighting)
        self.column_squares = np.zeros(self.between.values.size)
        deviation = float(np.sqrt(self.stats.squared_deviations.sum() / self.stats.num_samples))
        self.scale = min(unit_power(deviation), _largest_scale(self.dtype))

    def add(self, block: Block, labels: NDArray[np.int64], weights: Float | None = None) -> Projected:
        """Add a block, rows counted as often as they weigh; return how its rows lie about their pivots."""
        norms = np.empty(block.shape[0])
        coordinates = np.empty((norms.size, self.column_squares.size), self.dtype) if self.keeps_coordinates else None
        _core.project(
            block,
            labels,
            weights,
            self.pivots,
            self.scale,
            self.basis,
            self.class_weights,
            self.column_squares,
            norms,
            coordinates,
        )
        norms /= self.scale
        return Projected(norms, coordinates)

    def rounding_of_means(self) -> Float:
        """``mu_k - pivot_k`` (K, d); zero for classes without samples."""
        difference: Float = np.where(self.stats.present[:, None], self.stats.means - self.pivots, 0.0)
        return difference

    def spread(self) -> Float:
        """``v_j^T S_W v_j`` of all rows added, by direction of S_B."""
        excess = self.spread_of(self.rounding_of_means())
        return np.maximum(self.column_squares / self.scale / self.scale - excess, 0.0)

    def spread_of(self, shifts: Float) -> Float:
        """Return what moving each class by its row of `shifts` (K, d) adds to the spread, by direction of S_B."""
        scale = min(unit_power(float(np.abs(shifts).max())), _largest_scale(self.dtype))
        moved = np.ascontiguousarray(shifts * scale, dtype=self.dtype)
        origin = np.zeros((1, moved.shape[1]), self.dtype)
        first = np.zeros(moved.shape[0], np.int64)
        spread = np.zeros(self.column_squares.size)
        masses = self.class_weights * self.stats.counts
        _core.project(moved, first, masses, origin, 1.0, self.basis, np.ones(1), spread, np.empty(first.size), None)
        return spread / scale / scale

    def nc1(self) -> float:
        """``Tr(S_W S_B^+)/K`` of all rows added."""
        total = float(self.stats.squared_deviations.sum())
        return nc1_of_spread(self.spread(), self.between, int(self.stats.present.sum()), total)


def _largest_scale(dtype: type[np.floating[Any]]) -> float:
    """Power of two that still leaves room in the range of a dtype."""
    return float(2.0 ** (np.finfo(dtype).maxexp - 8))


class Decisions:
    """Nearest class mean, and the classifier's decision if there is one, counted over blocks."""

    def __init__(
        self,
        subject: Subject,
        projection: Projection,
        dtype: type[np.floating[Any]],
        confusion: Confusion | None = None,
    ) -> None:
        stats, head = subject.stats, subject.head
        self._nearest = nearest_mean_rule(stats, subject.scaled_means, subject.centre, dtype)
        self._linear: AffineRule | None = None
        self._companion: Companion | None = None
        if head.weights is not None:
            bias = np.zeros(head.weights.shape[0]) if head.bias is None else head.bias
            self._linear = linear_rule(head.weights, bias, self._nearest)
            self._companion = companion_of(self._nearest, self._linear)
        self._certify(subject)
        self._reach = Reach.of(stats, self._nearest, projection)
        few_certified = _open_share(stats, self._nearest_certificate) > _FEW
        self._in_span = in_span(self._nearest, projection) if few_certified else None
        projection.keeps_coordinates = self._in_span is not None
        # What the samples of each kind weigh, and how many decisions were certified.
        self.samples = 0.0
        self.nearest_is_label = 0.0
        self.right_by_class = np.zeros(stats.num_classes)
        self.disagreements = 0.0
        self.rows = 0
        self.certified = 0
        self.confusion = confusion

    def _certify(self, subject: Subject) -> None:
        """Certify both rules: from the sweep over the means, and if that says little of the classifier, by itself."""
        stats, companion = subject.stats, self._companion
        rivals = None if companion is None else companion.rivals(stats.present, subject.scaled_means.scale)
        pairs = subject.sweep_means(rivals)
        self._nearest_certificate = certify_nearest(stats, pairs)
        if self._linear is None:
            return
        nothing = Certificate(np.arange(stats.num_classes), np.zeros(stats.num_classes))
        self._linear_certificate = nothing if companion is None else companion.certificate(stats.present, pairs)
        is_open = _open_share(stats, self._linear_certificate)
        # Judging each class against all others pays if it spares many more samples the same.
        if is_open > 2 * _open_share(stats, self._nearest_certificate) and is_open * stats.num_rows > stats.num_classes:
            self._linear_certificate = certify(self._linear, stats)

    def add(self, block: Block, labels: NDArray[np.int64], seen: Projected, weights: Float | None = None) -> None:
        """Decide a block."""
        kept = labels != SKIPPED
        distances = self._reach.distances(seen, labels)
        nearest, nearest_open = self._certified(self._nearest_certificate, labels, kept, distances)
        chosen, chosen_open = nearest, np.zeros_like(kept)
        if self._linear is not None:
            chosen, chosen_open = self._certified(self._linear_certificate, labels, kept, distances)
        self._search(block, labels, seen, nearest, nearest_open, chosen, chosen_open)
        if self._linear is not None and chosen_open.any():
            rows = np.flatnonzero(chosen_open)
            chosen[rows] = self._linear.decide(block, rows)
        self.rows += int(np.count_nonzero(kept))
        self.samples += _weight_of(kept, weights)
        right = (nearest == labels) & kept
        self.nearest_is_label += _weight_of(right, weights)
        self.right_by_class += np.bincount(
            labels[right], None if weights is None else weights[right], minlength=self.right_by_class.size
        )
        if self.confusion is not None:
            wrong = (nearest != labels) & kept
            self.confusion.add(labels[wrong], nearest[wrong], None if weights is None else weights[wrong])
        if self._linear is not None:
            self.disagreements += _weight_of((nearest != chosen) & kept, weights)

    def _certified(
        self, certificate: Certificate, labels: NDArray[np.int64], kept: NDArray[np.bool_], distances: Float
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Decisions as certified, and which rows are open."""
        certified = kept & (distances < certificate.radii[labels])
        self.certified += int(np.count_nonzero(certified))
        return certificate.decisions[labels], kept & ~certified

    def _search(
        self,
        block: Block,
        labels: NDArray[np.int64],
        seen: Projected,
        nearest: NDArray[np.int64],
        nearest_open: NDArray[np.bool_],
        chosen: NDArray[np.int64],
        chosen_open: NDArray[np.bool_],
    ) -> None:
        """Settle the nearest mean where open, and on the way the classifier's decisions that it can tell."""
        companion = self._companion if chosen_open.any() else None
        rows = np.flatnonzero(nearest_open if companion is None else nearest_open | chosen_open)
        if rows.size == 0:
            return
        deviations, norms = self._reach.bounds(seen, labels, rows)
        arguments = self._nearest.arguments()
        if self._in_span is not None:
            arguments |= self._in_span.arguments(seen, self._reach.shifts(labels[rows]), deviations, norms)
        if companion is not None:
            arguments |= companion.arguments(self._reach.centres, deviations, norms)
        nearest[rows], told = _core.decide(features=block, rows=rows, labels=labels, **arguments)
        if told is not None:
            found = rows[told >= 0]
            chosen[found] = told[told >= 0]
            chosen_open[found] = False


def _open_share(stats: ClassStatistics, certificate: Certificate) -> float:
    """Guess which share of the samples a certificate leaves open: those of classes whose spread reaches beyond it."""
    counts = np.maximum(stats.counts, 1)
    wide = np.sqrt(stats.squared_deviations / counts) * _WITHIN > certificate.radii
    return float(stats.counts[wide].sum()) / stats.num_samples


def _weight_of(rows: NDArray[np.bool_], weights: Float | None) -> float:
    """Sum of the weights of these rows."""
    return float(np.count_nonzero(rows) if weights is None else weights[rows].sum())
