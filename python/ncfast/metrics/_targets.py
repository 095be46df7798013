"""Distance of a normalised K x K matrix to one whose entries have two values, in one sweep over its entries.

The norm that normalises is not known before the sweep ends. So entries are compared at a trial norm n near it,
``E = A/n - T`` with ``||T||_F = 1``, and the distance at the true norm follows from ``<T, E>`` and ``||E||^2``:
with ``v^2 = 1 + 2 <T, E> + ||E||^2`` it is ``|| E/v + (1/v - 1) T ||_F``. Near the target every term is small, so
none of its digits is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


@dataclass
class TargetDistance:
    """Sums of ``E`` over the diagonal and the other entries added so far."""

    diagonal: float
    off_diagonal: float
    trial_norm: float
    product: float = 0.0
    squares: float = 0.0

    def add_diagonal(self, entries: Float) -> None:
        """Add entries of the diagonal."""
        self._add(entries, self.diagonal)

    def add_off_diagonal(self, entries: Float) -> None:
        """Add other entries."""
        self._add(entries, self.off_diagonal)

    def add_pairs(self, errors: float, squares: float) -> None:
        """Add all other entries of a symmetric matrix, given the sums of E and E^2 over those above the diagonal."""
        self.product += 2.0 * self.off_diagonal * errors
        self.squares += 2.0 * squares

    def _add(self, entries: Float, target: float) -> None:
        errors = entries / self.trial_norm
        errors -= target
        self.product += target * float(np.sum(errors))
        self.squares += float(np.sum(np.square(errors, out=errors)))

    @property
    def norm_ratio(self) -> float:
        """True norm over trial norm."""
        return float(np.sqrt(max(1.0 + 2.0 * self.product + self.squares, 0.0)))

    @property
    def value(self) -> float:
        """The distance."""
        v = self.norm_ratio
        shift = -(2.0 * self.product + self.squares) / (v * (1.0 + v))
        return float(np.sqrt(max(self.squares / v**2 + 2.0 * shift * self.product / v + shift * shift, 0.0)))


def etf_target(k: int, trace: float) -> TargetDistance:
    """``P / sqrt(K-1)``, the Gram matrix of a simplex ETF; the trial norm is that of an ETF with this trace."""
    root = np.sqrt(k - 1)
    return TargetDistance((1.0 - 1.0 / k) / root, -1.0 / k / root, trace / root)


def of_target(k: int, trace: float) -> TargetDistance:
    """``I / sqrt(K)``, the Gram matrix of an orthogonal frame; the trial norm is that of one with this trace."""
    return TargetDistance(1.0 / np.sqrt(k), 0.0, trace / np.sqrt(k))
