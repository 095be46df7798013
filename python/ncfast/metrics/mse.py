"""The squared loss in parts: within classes, between classes, and off the best classifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._classifier import as_classifier
from .._lapack import svd
from ..accumulate import Accumulator
from ..statistics import ClassStatistics
from ._pairs import bands, frobenius
from ._samples import read_samples
from ._within import within_factor
from .variability import global_mean, require_two_classes

Float = NDArray[np.float64]


@dataclass(frozen=True)
class MseSplit:
    """Squared loss of a linear classifier, ``nc1 + nc23 + off_path``.

    Attributes
    ----------
    nc1 : float
        What the least-squares classifier loses to the spread within classes, its decay included.
    nc23 : float
        What it loses on the class means: 0 when they can be told apart perfectly.
    off_path : float
        What the given classifier loses on top, for not being the least-squares one.
    """

    nc1: float
    nc23: float
    off_path: float

    @property
    def total(self) -> float:
        """The loss itself."""
        return self.nc1 + self.nc23 + self.off_path


def mse_split(
    features: object,
    labels: object,
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    weight_decay: float = 0.0,
) -> MseSplit:
    """Split ``mean_i ||W h_i + b - e_y||^2 / 2 + weight_decay (||W||^2 + ||b||^2) / 2`` in three parts.

    With ``W_LS, b_LS`` the classifier that minimises it, and all samples counting 1/N: ``nc1 =
    (Tr(W_LS S_W W_LS^T) + weight_decay (||W_LS||^2 + ||b_LS||^2)) / 2``, ``nc23`` the mean of
    ``||W_LS mu_y + b_LS - e_y||^2 / 2``, and ``off_path`` what is left of the given classifier's loss.
    Each is computed as a sum of squares, none as a difference.

    Parameters
    ----------
    features : array_like, shape (N, d)
        float16, bfloat16, float32 or float64.
    labels : array_like of int, shape (N,)
        Classes in [0, K).
    weights : array_like, shape (K, d)
        W.
    bias : array_like, shape (K,), optional
        b, zero by default.
    weight_decay : float, default 0.0
        At least 0. Without it W_LS is the limit of small decay: the smallest of the minimisers.

    Returns
    -------
    MseSplit

    References
    ----------
    Han, Papyan, Donoho, "Neural collapse under MSE loss: proximity to and dynamics on the central path",
    ICLR 2022, for equal counts.
    """
    source = read_samples(features)
    head = as_classifier(weights, bias, source.cols)
    assert head.weights is not None
    accumulator = Accumulator(head.weights.shape[0], source.cols, precision="double")
    accumulator.update(features, labels)
    return mse_split_statistics(accumulator.statistics(), weights, bias, weight_decay=weight_decay)


def mse_split_statistics(
    stats: ClassStatistics, weights: ArrayLike, bias: ArrayLike | None = None, *, weight_decay: float = 0.0
) -> MseSplit:
    """`mse_split` from class statistics with a scatter, which determine it.

    Parameters
    ----------
    stats : ClassStatistics
        With a scatter; of float32 features collected with ``precision="double"`` if the eigenvalues of the
        scatter span more than six decades.
    weights, bias, weight_decay
        As in `mse_split`.

    Returns
    -------
    MseSplit
    """
    if not (np.isfinite(weight_decay) and weight_decay >= 0):
        raise ValueError(f"weight_decay is {weight_decay}; wanted a number of at least 0")
    require_two_classes(stats)
    head = as_classifier(weights, bias, stats.num_features)
    w = head.weights
    assert w is not None
    if w.shape[0] != stats.num_classes:
        raise ValueError(f"weights has {w.shape[0]} rows; wanted {stats.num_classes}, one per class")
    b = np.zeros(w.shape[0]) if head.bias is None else head.bias
    problem = _least_squares(stats, weight_decay)
    best, best_bias = problem.solve()
    spread = frobenius(_core.cross_gram(best, problem.within)) ** 2 if problem.within.size else 0.0
    decay = weight_decay * (frobenius(best) ** 2 + float(np.sum(best_bias**2)))
    # Of the quadratic loss, only the second-order term is left at its minimum.
    change = w - best
    tilt = np.einsum("kd,d->k", change, problem.mean) + (b - best_bias)
    off = sum(frobenius(band) ** 2 for _, band in bands(change, problem.spread)) + float(np.sum(tilt**2))
    off += weight_decay * (frobenius(change) ** 2 + float(np.sum((b - best_bias) ** 2)))
    return MseSplit((spread + decay) / 2, problem.loss_on_means(best, best_bias) / 2, off / 2)


@dataclass(frozen=True)
class _LeastSquares:
    """The loss as rows of a least-squares problem; `spread` and `within` are factors of S_T and S_W."""

    shares: Float  # (K,), n_k / N
    mean: Float  # (d,), of all samples
    centred: Float  # (K, d), class means minus it; zero rows for classes without samples
    within: Float  # (r, d)
    decay: float

    @property
    def spread(self) -> Float:
        return np.concatenate([self.centred * np.sqrt(self.shares)[:, None], self.within])

    def solve(self) -> tuple[Float, Float]:
        """Return W_LS and b_LS."""
        rows = [self.spread]
        lift = np.sqrt(self.decay / (1.0 + self.decay))
        if self.decay > 0:  # the bias is not free then: what it leaves of the mean is one more row
            rows += [lift * self.mean[None, :], np.sqrt(self.decay) * np.eye(self.mean.size)]
        left, values, axes = svd(np.concatenate(rows), full_matrices=False)
        noise = sum(part.shape[0] for part in rows) * float(np.finfo(np.float64).eps) * values[0]
        rank = int(np.count_nonzero(values > noise))
        k = self.shares.size
        roots = np.sqrt(self.shares)
        # Left^T times the rows' targets, sqrt(p_k) (e_k - p) and lift p, without forming K x K of them.
        top = left[:k, :rank]
        sides = (top * roots[:, None]).T - np.outer(np.einsum("kr,k->r", top, roots), self.shares)
        if self.decay > 0:
            sides += lift * np.outer(left[k + self.within.shape[0], :rank], self.shares)
        weights = _core.cross_gram(sides.T / values[:rank], axes[:rank].T)
        return weights, (self.shares - np.einsum("kd,d->k", weights, self.mean)) / (1.0 + self.decay)

    def loss_on_means(self, weights: Float, bias: Float) -> float:
        """``sum_k p_k ||W mu_k + b - e_k||^2``."""
        common = np.einsum("kd,d->k", weights, self.mean) + bias
        total = 0.0
        for first, band in bands(self.centred, weights):
            rows = np.arange(band.shape[0])
            band += common
            band[rows, first + rows] -= 1.0
            total += float(np.sum(np.einsum("kl,kl->k", band, band) * self.shares[first + rows]))
        return total


def _least_squares(stats: ClassStatistics, decay: float) -> _LeastSquares:
    mean = global_mean(stats, "sample")
    centred = np.where(stats.present[:, None], stats.means - mean, 0.0)
    values, axes = within_factor(stats)
    return _LeastSquares(stats.counts / stats.num_samples, mean, centred, axes * values[:, None], decay)
