"""A classifier judged through the class means that its weights are nearly aligned with.

Neural collapse makes each weight vector a multiple of its centred class mean, up to a small rest:
``w_k = slope_k m_k + e_k``. The logit of a sample x, centred, is then ``slope_k <m_k, x> + b_k`` up to
``||e_k|| ||x||``: what the search for the nearest mean computes anyway tells which few classes can have the largest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._features import Block
from .decisions import AffineRule, Certificate
from .metrics._sweep import PairSweep, Rivals
from .metrics.duality import FramePair

Float = NDArray[np.float64]
_MANY_CLASSES = 2048
_ALIGNED = 0.5


@dataclass(frozen=True)
class Companion:
    """The rule `linear` told from products with the weights of the rule `nearest`, which has the same scale and centre.

    slopes, levels, slacks (K,): ``|score_k - (slopes_k p_k + levels_k)| <= slacks_k ||x||``.
    """

    nearest: AffineRule
    linear: AffineRule
    slopes: Float
    levels: Float
    slacks: Float
    _tables: list[Block] = field(default_factory=list, repr=False)

    def arguments(self, centres: Float, deviations: Float, norms: Float) -> dict[str, Any]:
        """Return the rule as the search for the nearest mean takes it along.

        Samples lie within `deviations` of the `centres` of their classes, within `norms` of the origin.
        """
        shifts = self._shifts(centres)
        return {
            "slopes": self.slopes,
            "levels": self.levels,
            "slacks": self.slacks,
            "shifts": shifts,
            "lengths": norms if shifts is None else deviations + self._rounding * norms,
            "companion_points": self.linear.points,
            "companion_constants": self.linear.constants,
        }

    def _shifts(self, centres: Float) -> Block | None:
        """``<e_k, centre_l>`` (K, K) by l, in the precision of the search: what is left is about deviations alone."""
        if self.slopes.size > _MANY_CLASSES:
            return None
        if not self._tables:
            rests = self.linear.weights - self.slopes[:, None] * self.nearest.weights
            shifts = _core.cross_gram(centres, rests)
            single = self.nearest.rounded.dtype == np.float32
            self._tables.append(shifts.astype(np.float32) if single else shifts)
        return self._tables[0]

    @property
    def _rounding(self) -> float:
        return 4.0 * float(np.finfo(self.nearest.rounded.dtype).eps)

    def rivals(self, present: NDArray[np.bool_], frame_scale: float) -> Rivals:
        """Scores of the classes with samples, for a sweep over their means at another scale."""
        factor = frame_scale / self.nearest.scale
        return Rivals(self.slopes[present] / factor, self.levels[present] * factor, self.slacks[present])

    def certificate(self, present: NDArray[np.bool_], pairs: PairSweep) -> Certificate:
        """Certify that a class wins near its own mean, given the strongest rivals there.

        The margin at the mean, over the largest distance of its weights to another's, is how far that holds.
        """
        lengths, scale = pairs.frame.lengths, pairs.frame.scale
        factor = scale / self.nearest.scale
        norms = self.linear.weight_norms
        # <w, m> = slope ||m||^2, in whatever scale.
        own = self.slopes[present] / factor * lengths**2 + self.levels[present] * factor
        rivals = pairs.found["rivals"]
        gaps = np.sqrt(pairs.found["gaps"]) + self.slacks[present] + self.slacks[present].max()
        if not present.all():  # classes without samples can win too
            rivals = np.maximum(rivals, self.levels[~present].max() * factor + norms[~present].max() * lengths)
            gaps = np.maximum(gaps, norms[present] + norms[~present].max())
        unit = pairs.unit
        error = unit * (lengths * norms.max() + float(np.abs(self.levels).max()) * factor)
        radii = np.zeros(present.size)
        with np.errstate(invalid="ignore", over="ignore"):
            reach = (own - rivals - error) / (gaps + np.sqrt(unit) * norms.max()) / scale
        radii[present] = np.where(reach > 0, reach, 0.0)
        return Certificate(np.arange(present.size), radii)


def companion_of(nearest: AffineRule, linear: AffineRule, pair: FramePair) -> Companion | None:
    """Fit each weight vector by its class mean; None if too much is left to tell anything.

    `pair` knows the products of both, if both are at its scales.
    """
    weights, norms, squares = linear.weights, linear.weight_norms, nearest.weight_norms**2
    at_hand = weights is pair.w.rows and nearest.weights is pair.m.rows
    products = pair.products if at_hand else _core.row_products(weights, nearest.weights)
    slopes = products / np.where(squares > 0, squares, 1.0)
    # ||e||^2 = ||w||^2 - slope <w, m>, plus a bound on what the subtraction loses.
    rounding = 8 * (weights.shape[1] + 16) * float(np.finfo(np.float64).eps)
    slacks = np.sqrt(np.maximum(norms**2 - slopes * products, 0.0) + rounding * norms**2)
    if np.median(slacks) >= _ALIGNED * np.median(norms):
        return None
    return Companion(nearest, linear, slopes, linear.offsets, slacks)
