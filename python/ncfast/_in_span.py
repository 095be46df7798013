"""The search for the nearest mean among projected samples: K-1 coordinates instead of d features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._features import Block
from .decisions import AffineRule
from .statistics import ClassStatistics

if TYPE_CHECKING:
    from .passes import Projection

Float = NDArray[np.float64]
_MUCH_LESS = 0.75


@dataclass(frozen=True)
class Projected:
    """Distance of each row of a block to its pivot, and its coordinates along the directions of S_B, if kept.

    Coordinates are scaled as the projection is.
    """

    norms: Float
    coordinates: Block | None


@dataclass(frozen=True)
class Reach:
    """How far samples can lie from where: all bounds are from above.

    Attributes
    ----------
    projection, rule
        Whose pivots and scale these are about.
    widening : ndarray of float64, shape (K,)
        How far pivots are off the means that certificates are about.
    """

    projection: Projection
    rule: AffineRule
    widening: Float

    @classmethod
    def of(cls, stats: ClassStatistics, rule: AffineRule, projection: Projection) -> Reach:
        """Of the samples of a projection."""
        if projection.stats is stats:  # pivots are the means, rounded
            kind = np.finfo(projection.dtype)
            off = float(kind.eps) * np.sqrt(stats.mean_squares)
            off += np.sqrt(stats.num_features) * float(kind.smallest_subnormal)
        else:
            pivots = projection.pivots.astype(np.float64)
            off = np.sqrt(_core.row_distances(rule.points, pivots, 1.0))[stats.present]
        widening = np.zeros(stats.num_classes)
        widening[stats.present] = off
        return cls(projection, rule, widening)

    @cached_property
    def centres(self) -> Float:
        """Pivots relative to the centre of the rule, at its scale, shape (K, d)."""
        centres: Float = (self.projection.pivots - self.rule.centre) * self.rule.scale
        return centres

    @cached_property
    def _lengths(self) -> Float:
        lengths: Float = np.sqrt(_core.row_products(self.centres, self.centres))
        return lengths

    def distances(self, seen: Projected, labels: NDArray[np.int64]) -> Float:
        """From the class mean, in units of the features."""
        sums = self.projection.stats.num_features * float(np.finfo(np.float64).eps)
        slack = 1.0 + 4.0 * float(np.finfo(self.projection.dtype).eps) + sums
        distances: Float = seen.norms * slack + self.widening[labels]
        return distances

    def shifts(self, labels: NDArray[np.int64]) -> Float:
        """How far the pivot of each row is off its class mean, at the scale of the rule."""
        shifts: Float = 1.001 * self.rule.scale * self.widening[labels]
        return shifts

    def bounds(self, seen: Projected, labels: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[Float, Float]:
        """Distance of listed rows from their pivot, and from the centre, at the scale of the rule."""
        deviations = 1.001 * seen.norms[rows] * self.rule.scale
        return deviations, deviations + 1.001 * self._lengths[labels[rows]]


@dataclass(frozen=True)
class InSpan:
    """The rule of the nearest mean in the coordinates of a projection.

    weights (K, r): class means, centred, along the directions of S_B at the rule's scale. Coordinates are off by at
    most `error_of_deviation` times the length of the deviation, what else is left out by `error_of_sample` times that
    of the sample, and by how far the pivot is off the mean, which stands for it.
    """

    weights: Block
    factor: float
    error_of_deviation: float
    error_of_sample: float

    def arguments(self, seen: Projected, shifts: Float, deviations: Float, norms: Float) -> dict[str, Any]:
        """Return what the kernel takes instead of the features, for rows of these lengths."""
        assert seen.coordinates is not None
        return {
            "coordinates": np.ascontiguousarray(seen.coordinates, dtype=self.weights.dtype),
            "factor": self.factor,
            "anchors": self.weights,
            "errors": self.error_of_deviation * deviations + self.error_of_sample * norms + shifts,
            "norms": norms,
            "weights": self.weights,
        }


def spares_much(rank: int, num_features: int) -> bool:
    """Whether that many coordinates are many fewer than the features."""
    return 0 < rank <= _MUCH_LESS * num_features


def in_span(rule: AffineRule, projection: Projection) -> InSpan | None:
    """Take a rule to the coordinates of a projection, if there are many fewer than features."""
    single = rule.rounded.dtype == np.float32
    rows = projection.directions.rows
    rank, d = rows.shape
    if not projection.directions.orthonormal or not spares_much(rank, d):
        return None
    weights = _core.cross_gram(rule.weights, rows)
    # The directions are orthonormal up to rounding, for which a bound is added.
    rounding = 8 * (d + 16) * float(np.finfo(np.float64).eps)
    rests = (1 + rounding) * rule.weight_norms**2 - np.einsum("kr,kr->k", weights, weights)
    left_out = float(np.sqrt(max(rests.max(), 0.0)))
    # Products on the tile unit are off by the largest entries instead, at most 12.5 / 2 times as much as by rounding.
    spikes = max(1.0, 8.0 * float(np.abs(rows).max()))
    return InSpan(
        weights=weights.astype(np.float32) if single else weights,
        factor=rule.scale / projection.scale,
        error_of_deviation=spikes * float(np.sqrt(rank)) * (d + 10) * float(np.finfo(projection.dtype).eps),
        error_of_sample=4.0 * float(np.finfo(rule.rounded.dtype).eps) + left_out / rule.max_weight_norm,
    )
