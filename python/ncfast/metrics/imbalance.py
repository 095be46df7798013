"""Frames that unequal class counts ask for: general orthogonal frames and the SELI geometry."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._choices import as_count
from .._frame import as_frame, as_pair, unit_power, warn_degenerate
from .._lapack import svd
from ._pairs import bands, frobenius
from ._shrinkage import shrunken

Float = NDArray[np.float64]
Rows = Callable[[slice], Float]
_SIDES = ("weights", "means")


def gof_distance(
    vectors: ArrayLike, counts: ArrayLike, side: str, *, weight_decay: float, feature_decay: float, depth: int = 1
) -> float:
    """Distance of the normalised Gram matrix to that of the general orthogonal frame of these counts.

    ``|| G/||G||_F - T/||T||_F ||_F`` with ``G = V V^T`` and T diagonal: the vectors stay orthogonal when
    classes are unequal, and their norms do not stay equal. With the optimal logit ``x_k`` of class k
    (`gof_logits`), ``T_kk = x_k / (1 - x_k)`` for the weights and ``x_k (1 - x_k)`` for the class means.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        V: the weights, the product of all of them if linear layers follow the features; or the class
        means, as they are, not centred.
    counts : array_like, shape (K,)
        Samples per class.
    side : {"weights", "means"}
        Which of the two `vectors` are.
    weight_decay, feature_decay, depth
        As in `gof_logits`.

    Returns
    -------
    float
        0 for that frame; `of_distance` for equal counts. nan, with a RuntimeWarning, if all vectors are
        zero, or if no class is worth learning at such decay.

    References
    ----------
    Dang et al., "Neural collapse in deep linear networks: from balanced to imbalanced data", ICML 2023.
    """
    frame = as_frame(vectors)
    n = _as_counts(counts, frame.shape[0])
    logits, rests = _gof(n, weight_decay, feature_decay, depth)
    return _distance(frame, frame, _diagonal(logits / rests if _is_weights(side) else logits * rests))


def gof_alignment(
    weights: ArrayLike,
    means: ArrayLike,
    counts: ArrayLike,
    *,
    weight_decay: float,
    feature_decay: float,
    depth: int = 1,
) -> float:
    """``|| A/||A||_F - X/||X||_F ||_F`` with ``A = W Hbar^T`` and X the diagonal of optimal logits.

    Parameters
    ----------
    weights : array_like, shape (K, d)
        W, or the product of all linear layers after the features.
    means : array_like, shape (K, d)
        Class means Hbar as they are, not centred.
    counts : array_like, shape (K,)
        Samples per class.
    weight_decay, feature_decay, depth
        As in `gof_logits`.

    Returns
    -------
    float
        `alignment_of` for equal counts. nan, with a RuntimeWarning, if A is zero, or if no class is worth
        learning at such decay.

    References
    ----------
    Dang et al., "Neural collapse in deep linear networks: from balanced to imbalanced data", ICML 2023.
    """
    w, m = as_pair(weights, "weights", means, "means")
    n = _as_counts(counts, w.shape[0])
    return _distance(w, m, _diagonal(_gof(n, weight_decay, feature_decay, depth)[0]))


def gof_logits(counts: ArrayLike, *, weight_decay: float, feature_decay: float, depth: int = 1) -> Float:
    """Logit of each class for its own samples at the optimum of the bias-free squared loss.

    The minimum of ``||W_M ... W_1 H - Y||^2 / (2N) + weight_decay/2 sum_l ||W_l||^2 + feature_decay/2 ||H||^2``
    over all factors. With L = M + 1 and ``kappa_k = N (weight_decay^M feature_decay)^(1/L) n_k^(1/L - 1)``,
    the logit is the largest root of ``1 - x = kappa_k x^(2/L - 1)``, and 0 from
    ``kappa_k = (L-1)^(2/L - 2) (L-2)^(1 - 2/L)`` on: there the class is not worth its decay.

    Parameters
    ----------
    counts : array_like, shape (K,)
        Samples per class.
    weight_decay : float
        Of each weight matrix, positive.
    feature_decay : float
        Of the features, positive.
    depth : int, default 1
        M, the linear layers after the features.

    Returns
    -------
    ndarray of float64, shape (K,)
        In [0, 1), larger for larger classes.

    References
    ----------
    Dang et al., "Neural collapse in deep linear networks: from balanced to imbalanced data", ICML 2023.
    """
    return _gof(_as_counts(counts, None), weight_decay, feature_decay, depth)[0]


def seli_distance(vectors: ArrayLike, counts: ArrayLike, side: str) -> float:
    """Distance of the normalised Gram matrix to the SELI geometry of these counts.

    ``|| G/||G||_F - T/||T||_F ||_F`` with ``G = V V^T``. With the simplex-encoded labels ``Z = (I - 11^T/K) Y``
    of all samples and their singular value decomposition ``Z = U S R^T``: ``T = U S U^T`` for the weights, and
    for the class means the K x K matrix that ``R S R^T`` repeats over the samples of each class.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        V: the weights; or the class means minus the mean of the class means.
    counts : array_like, shape (K,)
        Samples per class.
    side : {"weights", "means"}
        Which of the two `vectors` are.

    Returns
    -------
    float
        0 for that geometry; `etf_distance` for equal counts. nan, with a RuntimeWarning, if all vectors
        are zero.

    Notes
    -----
    The product of weights and means is ``I - 11^T/K`` for any counts: that is `alignment_etf`. Memory is
    O(g^2) for g different counts.

    References
    ----------
    Thrampoulidis et al., "Imbalance trouble: revisiting neural-collapse geometry", NeurIPS 2022.
    """
    frame = as_frame(vectors)
    n = _as_counts(counts, frame.shape[0])
    return _distance(frame, frame, _seli(n, weights=_is_weights(side)))


def _gof(counts: Float, weight_decay: float, feature_decay: float, depth: int) -> tuple[Float, Float]:
    """Optimal logits x and ``1 - x``, each with all its digits."""
    for name, value in (("weight_decay", weight_decay), ("feature_decay", feature_decay)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}; wanted a positive number")
    layers = as_count("depth", depth, 1) + 1
    log_decay = ((layers - 1) * np.log(weight_decay) + np.log(feature_decay)) / layers
    log_kappa = np.log(counts.sum()) + log_decay + (1.0 / layers - 1.0) * np.log(counts)
    return shrunken(log_kappa, layers)


def _seli(counts: Float, *, weights: bool) -> Rows:
    """Rows of the SELI target. Classes of equal count are alike, which leaves a matrix over the counts."""
    values, groups, sizes = np.unique(counts, return_inverse=True, return_counts=True)
    roots = np.sqrt(values)
    shares = np.sqrt(sizes / counts.size)
    # On vectors constant within groups Z Z^T is F F^T; on the others it is the count itself.
    factor = (np.eye(values.size) - np.outer(shares, shares)) * roots
    left, singular, right = svd(factor)
    if weights:
        reduced, alone = _core.cross_gram(left * singular, left), roots
    else:
        right = np.ascontiguousarray(right.T)
        reduced, alone = _core.cross_gram(right * singular, right) / np.outer(roots, roots), 1.0 / roots
    reduced[np.diag_indices(values.size)] -= alone
    reduced /= np.sqrt(np.outer(sizes, sizes))

    def rows(part: slice) -> Float:
        block: Float = reduced[groups[part]][:, groups]
        numbers = np.arange(counts.size)[part]
        block[np.arange(numbers.size), numbers] += alone[groups[part]]
        return block

    return rows


def _diagonal(values: Float) -> Rows:
    def rows(part: slice) -> Float:
        numbers = np.arange(values.size)[part]
        block = np.zeros((numbers.size, values.size))
        block[np.arange(numbers.size), numbers] = values[part]
        return block

    return rows


def _distance(left: Float, right: Float, target: Rows) -> float:
    """``|| A/||A||_F - T/||T||_F ||_F`` with ``A = left right^T`` and T given by bands of rows."""
    left = left * unit_power(float(np.abs(left).max()))
    right = right * unit_power(float(np.abs(right).max()))
    squares, target_squares = 0.0, 0.0
    for first, band in bands(left, right):
        squares += frobenius(band) ** 2
        target_squares += frobenius(target(slice(first, first + band.shape[0]))) ** 2
    if squares == 0 or target_squares == 0:
        cause = "all products of the vectors are zero" if squares == 0 else "no class is worth learning at this decay"
        warn_degenerate(f"{cause}: the distance is undefined")
        return np.nan
    total = 0.0
    for first, band in bands(left, right):
        wanted = target(slice(first, first + band.shape[0]))
        total += frobenius(band / np.sqrt(squares) - wanted / np.sqrt(target_squares)) ** 2
    return float(np.sqrt(total))


def _is_weights(side: str) -> bool:
    if side not in _SIDES:
        raise ValueError(f"side is {side!r}; wanted one of {', '.join(map(repr, _SIDES))}")
    return side == "weights"


def _as_counts(counts: ArrayLike, classes: int | None) -> Float:
    values = np.asarray(counts)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"counts has dtype {values.dtype}; wanted samples per class, or sums of their weights")
    if values.ndim != 1 or values.size < 2 or classes not in (None, values.size):
        raise ValueError(f"counts has shape {values.shape}; wanted ({classes or 'K'},), one per class")
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"counts holds {values.min()}; wanted positive numbers (leave out missing classes)")
    return values.astype(np.float64)
