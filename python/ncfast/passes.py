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
from ._confusion import Confusion
from ._features import Block
from ._frame import in_dtype, unit_power
from ._in_span import Projected, Reach, in_span
from ._labels import SKIPPED
from ._rules import Rules
from .decisions import Certificate
from .metrics._within import sample_shares
from .metrics.variability import Directions, nc1_of_spread
from .statistics import ClassStatistics

Float = NDArray[np.float64]
_UNFELT = 0.25


@dataclass
class Projection:
    """Within-class spread along the directions of S_B, summed block by block.

    Deviations are taken from the class means rounded to the precision of the products, which makes the
    subtraction nearly exact; `spread` settles the difference where it can be felt.
    """

    stats: ClassStatistics
    directions: Directions
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
        self.basis = in_dtype(self.directions.rows, self.dtype)
        self.class_weights = sample_shares(self.stats, self.weighting)
        self.column_squares = np.zeros(self.directions.rows.shape[0])
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

    def spread(self) -> Float:
        """``b_j^T S_W b_j`` of all rows added, by direction."""
        spread: Float = self.column_squares / self.scale / self.scale
        if self._rounding_of_means_is_felt(spread):
            off = np.where(self.stats.present[:, None], self.stats.means - self.pivots, 0.0)
            spread = np.maximum(spread - self.spread_of(off), 0.0)
        return spread

    def _rounding_of_means_is_felt(self, spread: Float) -> bool:
        """Whether that pivots are rounded means could add more to NC1 than the rounding of its products."""
        eps = float(np.finfo(self.dtype).eps)
        off = 0.5 * eps * self.stats.longest_mean * float(np.sqrt(self.class_weights @ self.stats.counts))
        measured = float(np.sum((np.sqrt(spread) / self.directions.values) ** 2))
        return (off * self.directions.inverse_norm) ** 2 > _UNFELT * eps * measured

    def spread_of(self, shifts: Float) -> Float:
        """Return what moving each class by its row of `shifts` (K, d) adds to the spread, by direction."""
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
        return nc1_of_spread(self.spread(), self.directions, int(self.stats.present.sum()), total)


def _largest_scale(dtype: type[np.floating[Any]]) -> float:
    """Power of two that still leaves room in the range of a dtype."""
    return float(2.0 ** (np.finfo(dtype).maxexp - 8))


class Decisions:
    """Nearest class mean, and the classifier's decision if there is one, counted over blocks."""

    def __init__(self, rules: Rules, projection: Projection, confusion: Confusion | None = None) -> None:
        stats = rules.stats
        self._rules = rules
        self._reach = Reach.of(stats, rules.nearest, projection)
        self._in_span = in_span(rules.nearest, projection) if rules.leaves_many_open else None
        projection.keeps_coordinates = self._in_span is not None
        # What the samples of each kind weigh, and how many decisions were certified.
        self.samples = 0.0
        self.nearest_is_label = 0.0
        self.right_by_class = np.zeros(stats.num_classes)
        self.disagreements = 0.0
        self.rows = 0
        self.certified = 0
        self.confusion = confusion

    def add(self, block: Block, labels: NDArray[np.int64], seen: Projected, weights: Float | None = None) -> None:
        """Decide a block."""
        kept = labels != SKIPPED
        distances = self._reach.distances(seen, labels)
        nearest, nearest_open = self._certified(self._rules.nearest_certificate, labels, kept, distances)
        chosen, chosen_open = nearest, np.zeros_like(kept)
        if self._rules.linear is not None:
            chosen, chosen_open = self._certified(self._rules.linear_certificate, labels, kept, distances)
        self._search(block, labels, seen, nearest, nearest_open, chosen, chosen_open)
        if self._rules.linear is not None and chosen_open.any():
            rows = np.flatnonzero(chosen_open)
            chosen[rows] = self._rules.linear.decide(block, rows)
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
        if self._rules.linear is not None:
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
        companion = self._rules.companion if chosen_open.any() else None
        rows = np.flatnonzero(nearest_open if companion is None else nearest_open | chosen_open)
        if rows.size == 0:
            return
        deviations, norms = self._reach.bounds(seen, labels, rows)
        arguments = self._rules.nearest.arguments()
        if self._in_span is not None:
            arguments |= self._in_span.arguments(seen, self._reach.shifts(labels[rows]), deviations, norms)
        if companion is not None:
            arguments |= companion.arguments(self._reach.centres, deviations, norms)
        nearest[rows], told = _core.decide(features=block, rows=rows, labels=labels, **arguments)
        if told is not None:
            found = rows[told >= 0]
            chosen[found] = told[told >= 0]
            chosen_open[found] = False


def _weight_of(rows: NDArray[np.bool_], weights: Float | None) -> float:
    """Sum of the weights of these rows."""
    return float(np.count_nonzero(rows) if weights is None else weights[rows].sum())
