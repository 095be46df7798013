"""NC4: nearest class mean and linear decision, exact, and mostly without computing distances.

Both decisions have one form: the smallest k that maximises ``w_k . (h - c) + b_k``. For the nearest mean
``w_k = mu_k - c`` and ``b_k = -||w_k||^2 / 2``. Features are centred at c, the mean of the class means,
which alone cures float32 distances under a common offset.

A decision is *certified* when the sample lies so near its class mean that no other class can win: within
the smallest margin at the mean over the distance of the two weight vectors. The rest is computed in the
features' precision, and settled in float64 where rounding could matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._features import Block
from ._frame import in_dtype, largest_magnitude, products_with, unit_power
from .metrics._sweep import PairSweep, ScaledFrame
from .statistics import ClassStatistics

Float = NDArray[np.float64]
_MANY_CLASSES = 256
_LEAST = 2.0**-30  # weights down to this need no scaling to keep float32 in range
_BAND_VALUES = 4 << 20  # entries of a band of K x K products held at a time


@dataclass(frozen=True)
class AffineRule:
    """Decide the smallest k of the largest ``weights_k . (scale * (h - centre)) + offsets_k``.

    weights (K, d), of lengths weight_norms (K,); offsets (K,), -inf for a class that cannot win; centre (d,). `scale`
    and the weights carry powers of two that keep float32 in range. `dtype` is that of the blocks.

    Where rounding could matter the decision is made from the numbers the scores stand for: the largest
    ``constants_k + points_k . h``, or with `by_distance` ``constants_k - ||h - points_k||^2``.
    """

    weights: Float
    weight_norms: Float
    offsets: Float
    centre: Float
    scale: float
    points: Float
    constants: Float
    by_distance: bool
    dtype: type[np.floating[Any]]

    @cached_property
    def rounded(self) -> Block:
        """The weights in the dtype of the blocks."""
        return in_dtype(self.weights, self.dtype)

    @cached_property
    def max_weight_norm(self) -> float:
        """Longest weight vector."""
        return float(self.weight_norms.max())

    @cached_property
    def max_abs_offset(self) -> float:
        """Largest offset in magnitude, of the classes that can win."""
        return float(np.abs(self.offsets[np.isfinite(self.offsets)]).max())

    def decide(self, block: Block, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Decisions for the listed rows of a block."""
        return _core.decide(features=block, rows=rows, **self.arguments())[0]

    def arguments(self) -> dict[str, Any]:
        """Return the rule as the kernel takes it."""
        return {
            "centre": self.centre,
            "scale": self.scale,
            "weights": self.rounded,
            "offsets": self.offsets,
            "max_weight_norm": self.max_weight_norm,
            "max_abs_offset": self.max_abs_offset,
            "points": self.points,
            "constants": self.constants,
            "by_distance": self.by_distance,
        }


@dataclass(frozen=True)
class Certificate:
    """Decision at each class mean, and the distance from it within which that decision cannot change."""

    decisions: NDArray[np.int64]
    radii: Float


def nearest_mean_rule(
    stats: ClassStatistics, frame: ScaledFrame, centre: Float, dtype: type[np.floating[Any]]
) -> AffineRule:
    """Nearest class mean among the classes that have samples, `frame` theirs; ties go to the smallest class."""
    scale = _scale_with(frame, stats)
    weights = _for_all_classes(frame.rows if scale == frame.scale else frame.rows * (scale / frame.scale), stats)
    norms = _for_all_classes(frame.lengths * (scale / frame.scale), stats)
    offsets = np.where(stats.present, -0.5 * norms**2, -np.inf)
    constants = np.where(stats.present, 0.0, -np.inf)
    points = _for_all_classes(stats.present_means, stats)
    return AffineRule(weights, norms, offsets, centre, scale, points, constants, by_distance=True, dtype=dtype)


def linear_rule(weights: Float, bias: Float, nearest: AffineRule, norms: Float | None = None) -> AffineRule:
    """Largest logit ``W h + b``, at the scale and centre of another rule; ties go to the smallest class.

    The lengths of the weights may be given.
    """
    scaled, weight_scale = weights, 1.0
    norms = np.sqrt(_core.row_products(weights, weights)) if norms is None else norms
    if not _LEAST < norms.max() < 1.0 / _LEAST:  # some squares may be out of range
        weight_scale = unit_power(largest_magnitude(weights))
        scaled = weights * weight_scale
        norms = np.sqrt(_core.row_products(scaled, scaled))
    offsets = (products_with(weights, nearest.centre) + bias) * (weight_scale * nearest.scale)
    # Relative to the largest, which leaves no overflow and keeps what decides.
    return AffineRule(
        scaled,
        norms,
        offsets - offsets.max(),
        nearest.centre,
        nearest.scale,
        weights,
        bias,
        by_distance=False,
        dtype=nearest.dtype,
    )


def _scale_with(frame: ScaledFrame, stats: ClassStatistics) -> float:
    """Power of two that brings samples about the centre near unit length: the larger of means and deviations."""
    deviation = float(np.sqrt(stats.squared_deviations.sum() / stats.num_samples))
    if not frame.lengths.any():
        return unit_power(deviation)
    return frame.scale if deviation == 0 else min(frame.scale, unit_power(deviation))


def _for_all_classes(rows: Float, stats: ClassStatistics) -> Float:
    """Rows of the classes with samples, among zeros for the others."""
    if stats.present.all():
        return rows
    every = np.zeros((stats.num_classes, *rows.shape[1:]))
    every[stats.present] = rows
    return every


def certify_nearest(stats: ClassStatistics, pairs: PairSweep) -> Certificate:
    """Certify the nearest mean within half the distance to the next one, lowered by a bound on its rounding."""
    frame = pairs.frame
    squared = pairs.found["nearest"] - pairs.unit * (frame.squares + frame.squares.max())
    radii = np.zeros(stats.num_classes)
    radii[stats.present] = 0.5 * np.sqrt(np.maximum(squared, 0.0)) / frame.scale
    return Certificate(np.arange(stats.num_classes), radii)


def certify(rule: AffineRule, stats: ClassStatistics) -> Certificate:
    """Certify any rule around each class mean, by its scores there; classes without samples get radius 0.

    Margins are lowered and distances raised by bounds on their rounding errors, so that a certified
    decision is the exact one. Many classes are certified in float32: its bounds are still far below the
    margins that matter.
    """
    k, d = rule.weights.shape
    real = np.float32 if k >= _MANY_CLASSES else np.float64
    points = np.where(stats.present[:, None], np.nan_to_num(stats.means) - rule.centre, 0.0) * rule.scale
    unit = (d + 16) * float(np.finfo(real).eps)
    margin_error = 2 * unit * (np.linalg.norm(points, axis=1) * rule.max_weight_norm + rule.max_abs_offset)
    gap_error = 4 * unit * rule.max_weight_norm**2
    decisions = np.zeros(k, dtype=np.int64)
    radii = np.zeros(k)
    with np.errstate(over="ignore", invalid="ignore"):  # offsets beyond float32 certify nothing
        weights, points, offsets = (_as(real, array) for array in (rule.weights, points, rule.offsets))
        squares = np.einsum("kd,kd->k", weights, weights)
        for rows in np.array_split(np.arange(k), -(-k * k // _BAND_VALUES)):
            scores = _products(points[rows], weights) + offsets
            winners = np.argmax(scores, axis=1)
            within = np.arange(rows.size)
            margins = scores[within, winners][:, None] - scores - margin_error[rows, None].astype(real)
            gaps = squares[winners][:, None] + squares - 2 * _products(weights[winners], weights)
            distances = np.sqrt(np.maximum(gaps, 0) + real(gap_error))
            # Weights that are all zero leave the decision to the offsets, wherever the sample lies.
            reach = np.divide(margins, distances, out=np.copysign(real(np.inf), margins), where=distances > 0)
            reach[within, winners] = np.inf
            decisions[rows] = winners
            radii[rows] = reach.min(axis=1).astype(np.float64) / rule.scale
    # A margin that is not positive, or not a number, certifies nothing.
    radii[~(stats.present & (radii > 0))] = 0.0
    return Certificate(decisions, radii)


def _as(real: type[np.floating[Any]], array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(real)


def _products(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """``left @ right.T``; by our own kernel where it is float64, whose bits do not depend on threads."""
    if left.dtype == np.float64:
        return _core.cross_gram(left, right)
    products: NDArray[Any] = left @ right.T
    return products
