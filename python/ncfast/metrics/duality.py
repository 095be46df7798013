"""NC3: how close the classifier's weights are to the class means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._frame import as_pair, products_with, warn_degenerate
from ._pairs import bands
from ._sweep import ScaledFrame, scaled_frame
from ._targets import TargetDistance, etf_target, of_target

Float = NDArray[np.float64]
_MANY_MORE = 1.1
_LEAST_SQUARES = 1e-10


@dataclass(frozen=True)
class FramePair:
    """Weights w and class means m, each at a scale of its own."""

    w: ScaledFrame
    m: ScaledFrame

    @cached_property
    def products(self) -> Float:
        """``<w_k, m_k>``, shape (K,)."""
        return _core.row_products(self.w.rows, self.m.rows)

    def is_degenerate(self, name: str) -> bool:
        """Whether a frame is zero; warns if so."""
        for frame, what in ((self.w, "weights"), (self.m, name)):
            if frame.norm == 0:
                warn_degenerate(f"{what} are all zero: NC3 is undefined")
                return True
        return False


def self_duality(weights: ArrayLike, centred_means: ArrayLike) -> float:
    """Distance of normalised weights to normalised centred means: ``|| W/||W||_F - M/||M||_F ||_F``.

    Parameters
    ----------
    weights : array_like, shape (K, d)
        W, rows w_k.
    centred_means : array_like, shape (K, d)
        M, class means minus the global mean.

    References
    ----------
    Papyan, Han, Donoho, PNAS 2020, who report its square.
    """
    return difference(_scaled_pair(weights, centred_means, "centred_means"))


def alignment_etf(weights: ArrayLike, centred_means: ArrayLike) -> float:
    """``|| A/||A||_F - P/sqrt(K-1) ||_F`` with ``A = W M^T`` and ``P = I - 11^T/K``.

    Parameters
    ----------
    weights : array_like, shape (K, d)
        W, rows w_k.
    centred_means : array_like, shape (K, d)
        M, class means minus the global mean.

    References
    ----------
    Zhu et al., NeurIPS 2021.
    """
    pair = _scaled_pair(weights, centred_means, "centred_means")
    return _distances(pair, [_Alignment(pair, etf_target)], "centred_means")[0]


def alignment_of(weights: ArrayLike, means: ArrayLike) -> float:
    """``|| A/||A||_F - I/sqrt(K) ||_F`` with ``A = W Hbar^T``.

    Parameters
    ----------
    weights : array_like, shape (K, d)
        W, rows w_k.
    means : array_like, shape (K, d)
        Class means Hbar as they are, not centred.

    References
    ----------
    Tirer, Bruna, ICML 2022.
    """
    pair = _scaled_pair(weights, means, "means")
    return _distances(pair, [_Alignment(pair, of_target)], "means")[0]


def unc3(weights: ArrayLike, centred_means: ArrayLike) -> tuple[float, float]:
    """Mean and variance (ddof 0) over classes of ``cos(w_k, mu_k - mu_G)``.

    Parameters
    ----------
    weights : array_like, shape (K, d)
        W, rows w_k.
    centred_means : array_like, shape (K, d)
        M, class means minus the global mean.

    References
    ----------
    Wu, Papyan, "Linguistic collapse: neural collapse in (large) language models", NeurIPS 2024.
    """
    return cosines_of_pairs(_scaled_pair(weights, centred_means, "centred_means"))


def _scaled_pair(weights: ArrayLike, means: ArrayLike, name: str) -> FramePair:
    w, m = as_pair(weights, "weights", means, name)
    return FramePair(scaled_frame(w), scaled_frame(m))


def difference(pair: FramePair) -> float:
    """`self_duality` of scaled frames."""
    if pair.is_degenerate("centred_means"):
        return np.nan
    squares = _core.row_distances(pair.w.rows, pair.m.rows, pair.w.norm / pair.m.norm)
    return float(np.sqrt(squares.sum())) / pair.w.norm


def cosines_of_pairs(pair: FramePair) -> tuple[float, float]:
    """`unc3` of scaled frames."""
    if pair.is_degenerate("centred_means"):
        return np.nan, np.nan
    w, m = pair.w, pair.m
    if not (w.lengths.all() and m.lengths.all()):
        cls = int(np.argmin(w.lengths * m.lengths))
        warn_degenerate(f"the weights or the centred mean of class {cls} are zero: UNC3 is undefined")
        return np.nan, np.nan
    plain = w.directions is w.rows and m.directions is m.rows
    products = pair.products if plain else _core.row_products(w.directions, m.directions)
    cosines = products * w.inverses * m.inverses
    return float(cosines.mean()), float(cosines.var())


def alignments(pair: FramePair, centre: Float) -> tuple[float, float]:
    """`alignment_etf` of centred means and `alignment_of` of the means, which are ``m + centre``."""
    etf, of = _distances(pair, [_Alignment(pair, etf_target), _Alignment(pair, of_target, centre)], "centred_means")
    return etf, of


class _Alignment:
    """``A/||A||_F`` against a target, with ``A = W (M + 1 c^T)^T`` up to a factor."""

    def __init__(
        self, pair: FramePair, target_of: Callable[[int, float], TargetDistance], centre: Float | None = None
    ) -> None:
        w, m = pair.w, pair.m
        k, d = m.rows.shape
        c = np.zeros(d) if centre is None else centre
        self.centre, self.target_of = centre, target_of
        norm = float(np.sqrt(max(m.norm**2 + 2.0 * float(c @ m.sums) + k * float(c @ c), 0.0)))
        self.factor = 1.0 / (w.norm * norm) if w.norm * norm > 0 else np.inf
        self.shifts = np.zeros(k) if centre is None else products_with(w.rows, c)
        trace = (float(pair.products.sum()) + float(self.shifts.sum())) * self.factor
        # Where the two are far from aligned, the trace may be far too small for a trial norm, or negative.
        self.trace = max(trace, 1e-6)
        self.exact_trace = trace
        self.value: float | None = None

    def begin(self) -> None:
        self.distance = self.target_of(self.shifts.size, self.trace)

    def add(self, first: int, products: Float) -> None:
        """Add a band of rows of ``W M^T``."""
        rows = np.arange(products.shape[0])
        band = (products + self.shifts[first : first + rows.size, None]) * self.factor
        self.distance.add_diagonal(band[rows, first + rows])
        band[rows, first + rows] = self.distance.off_diagonal * self.distance.trial_norm  # adds nothing below
        self.distance.add_off_diagonal(band)

    def end(self) -> None:
        """Take the distance, unless the trial norm was too far off."""
        if self.distance.norm_ratio > 1e-3:
            self.value = self.distance.value
        self.trace *= self.distance.norm_ratio

    def by_features(self, w: ScaledFrame, m: ScaledFrame) -> None:
        """Take the distance from d x d matrices, in place of the K x K matrix A, unless its norm would lose digits.

        ``||A||_F^2 = <W^T W, H^T H>``, H = M + 1 c^T, and the product with the target needs the trace and the sum of A
        alone. Where there are more classes than features, A has not the rank to come near the target, and 1 - cos
        loses no digits.
        """
        k = self.shifts.size
        gram = m.by_features
        if self.centre is not None:
            half = np.outer(m.sums + 0.5 * k * self.centre, self.centre)
            gram = gram + half + half.T
        squares = float(np.sum(w.by_features * gram)) * self.factor**2
        if squares < _LEAST_SQUARES:
            return
        total = (float(w.sums @ m.sums) + k * float(self.shifts.sum())) * self.factor
        target = self.target_of(k, 1.0)
        product = target.diagonal * self.exact_trace + target.off_diagonal * (total - self.exact_trace)
        self.value = float(np.sqrt(max(2.0 - 2.0 * product / np.sqrt(squares), 0.0)))


def _distances(pair: FramePair, asked: list[_Alignment], name: str) -> list[float]:
    """Distances of alignments of the same frames, from the same products."""
    if pair.is_degenerate(name):
        return [np.nan] * len(asked)
    w, m = pair.w, pair.m
    k, d = w.rows.shape
    if k > _MANY_MORE * d:
        for alignment in asked:
            alignment.by_features(w, m)
    for _ in range(2):
        left = [alignment for alignment in asked if alignment.value is None and alignment.trace > 0]
        if not left:
            break
        for alignment in left:
            alignment.begin()
        for first, products in bands(w.rows, m.rows):
            for alignment in left:
                alignment.add(first, products)
        for alignment in left:
            alignment.end()
    for alignment in asked:
        if alignment.value is None:
            warn_degenerate(f"weights and {name} are orthogonal: their alignment is undefined")
    return [np.nan if alignment.value is None else alignment.value for alignment in asked]
