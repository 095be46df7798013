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
from ._classifier import Classifier
from ._features import Block
from ._labels import SKIPPED
from .decisions import AffineRule, Certificate, certify, linear_rule, nearest_mean_rule
from .metrics._checks import unit_power
from .metrics._within import sample_shares
from .metrics.variability import BetweenClass, global_mean, nc1_of_spread
from .statistics import ClassStatistics

Float = NDArray[np.float64]


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

    def __post_init__(self) -> None:
        self.pivots = np.ascontiguousarray(np.nan_to_num(self.stats.means), dtype=self.dtype)
        self.basis = np.ascontiguousarray(self.between.basis, dtype=self.dtype)
        self.class_weights = sample_shares(self.stats, self.weighting)
        self.column_squares = np.zeros(self.between.values.size)
        deviation = float(np.sqrt(self.stats.squared_deviations.sum() / self.stats.num_samples))
        self.scale = min(unit_power(deviation), float(2.0 ** (np.finfo(self.dtype).maxexp - 8)))

    def add(self, block: Block, labels: NDArray[np.int64], weights: Float | None = None) -> Float:
        """Add a block, rows counted as often as they weigh; return the distance of each row to its pivot."""
        norms = np.empty(block.shape[0])
        _core.project(
            block, labels, weights, self.pivots, self.scale, self.basis, self.class_weights, self.column_squares, norms
        )
        norms /= self.scale
        return norms

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
        along = _core.cross_gram(shifts, np.ascontiguousarray(self.between.basis.T))
        spread: Float = (self.class_weights * self.stats.counts) @ (along * along)
        return spread

    def nc1(self) -> float:
        """``Tr(S_W S_B^+)/K`` of all rows added."""
        total = float(self.stats.squared_deviations.sum())
        return nc1_of_spread(self.spread(), self.between, int(self.stats.present.sum()), total)


class Decisions:
    """Nearest class mean, and the classifier's decision if there is one, counted over blocks."""

    def __init__(
        self, stats: ClassStatistics, head: Classifier, projection: Projection, dtype: type[np.floating[Any]]
    ) -> None:
        centre = global_mean(stats, "class")
        self._nearest = nearest_mean_rule(stats, centre, dtype)
        self._linear: AffineRule | None = None
        if head.weights is not None:
            bias = np.zeros(head.weights.shape[0]) if head.bias is None else head.bias
            self._linear = linear_rule(head.weights, bias, stats, centre, dtype)
        self._nearest_certificate = certify(self._nearest, stats)
        self._linear_certificate = certify(self._linear, stats) if self._linear is not None else None
        # Distances arrive relative to pivots: widened by what those are off the means, and by their own rounding.
        off = np.where(stats.present[:, None], stats.means - projection.pivots, 0.0)
        self._widening = np.sqrt(np.einsum("kd,kd->k", off, off))
        self._slack = 1.0 + 4.0 * float(np.finfo(projection.dtype).eps)
        # What the samples of each kind weigh, and how many decisions were certified.
        self.samples = 0.0
        self.nearest_is_label = 0.0
        self.right_by_class = np.zeros(stats.num_classes)
        self.disagreements = 0.0
        self.rows = 0
        self.certified = 0

    def add(self, block: Block, labels: NDArray[np.int64], norms: Float, weights: Float | None = None) -> None:
        """Decide a block."""
        kept = labels != SKIPPED
        distances = norms * self._slack + self._widening[labels]
        nearest = self._decide(self._nearest, self._nearest_certificate, block, labels, kept, distances)
        self.rows += int(np.count_nonzero(kept))
        self.samples += _weight_of(kept, weights)
        right = (nearest == labels) & kept
        self.nearest_is_label += _weight_of(right, weights)
        self.right_by_class += np.bincount(
            labels[right], None if weights is None else weights[right], minlength=self.right_by_class.size
        )
        if self._linear is not None and self._linear_certificate is not None:
            chosen = self._decide(self._linear, self._linear_certificate, block, labels, kept, distances)
            self.disagreements += _weight_of((nearest != chosen) & kept, weights)

    def _decide(
        self,
        rule: AffineRule,
        certificate: Certificate,
        block: Block,
        labels: NDArray[np.int64],
        kept: NDArray[np.bool_],
        distances: Float,
    ) -> NDArray[np.int64]:
        certified = kept & (distances < certificate.radii[labels])
        self.certified += int(np.count_nonzero(certified))
        decisions: NDArray[np.int64] = certificate.decisions[labels]
        open_rows = np.flatnonzero(kept & ~certified)
        if open_rows.size:
            decisions[open_rows] = rule.decide(block, open_rows)
        return decisions


def _weight_of(rows: NDArray[np.bool_], weights: Float | None) -> float:
    """Sum of the weights of these rows."""
    return float(np.count_nonzero(rows) if weights is None else weights[rows].sum())
