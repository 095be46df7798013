"""NC3: how close the classifier's weights are to the class means."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._frame import as_pair, unit_power, warn_degenerate
from ._pairs import bands, frobenius
from ._targets import TargetDistance, etf_target, of_target

Float = NDArray[np.float64]
_MANY_MORE = 1.1
_LEAST_SQUARES = 1e-10


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
    pair = _normalised(weights, centred_means, "centred_means")
    return np.nan if pair is None else frobenius(pair[0] - pair[1])


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
    return _alignment(weights, centred_means, "centred_means", etf_target)


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
    return _alignment(weights, means, "means", of_target)


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
    pair = _normalised(weights, centred_means, "centred_means")
    if pair is None:
        return np.nan, np.nan
    w, m = pair
    norms = np.linalg.norm(w, axis=1) * np.linalg.norm(m, axis=1)
    if norms.min() == 0:
        warn_degenerate(f"the weights or the centred mean of class {int(np.argmin(norms))} are zero: UNC3 is undefined")
        return np.nan, np.nan
    cosines = np.einsum("kd,kd->k", w, m) / norms
    return float(cosines.mean()), float(cosines.var())


def _alignment(
    weights: ArrayLike, means: ArrayLike, name: str, target_of: Callable[[int, float], TargetDistance]
) -> float:
    pair = _normalised(weights, means, name)
    if pair is None:
        return np.nan
    w, m = pair
    k, d = w.shape
    if k > _MANY_MORE * d:
        by_features = _distance_by_features(w, m, target_of(k, 1.0))
        if by_features is not None:
            return by_features
    # Where the two are far from aligned, the trace may be far too small for a trial norm, or negative.
    trace = max(float(np.einsum("kd,kd->", w, m)), 1e-6)
    for _ in range(2):
        distance = target_of(k, trace)
        for first, band in bands(w, m):
            rows = np.arange(band.shape[0])
            distance.add_diagonal(band[rows, first + rows])
            band[rows, first + rows] = distance.off_diagonal * distance.trial_norm  # adds nothing below
            distance.add_off_diagonal(band)
        if distance.norm_ratio > 1e-3:
            return distance.value
        trace *= distance.norm_ratio
        if trace == 0:
            break
    warn_degenerate(f"weights and {name} are orthogonal: their alignment is undefined")
    return np.nan


def _distance_by_features(w: Float, m: Float, target: TargetDistance) -> float | None:
    """Distance of ``A/||A||_F`` to a target from d x d matrices, in place of the K x K matrix ``A = W M^T``.

    ``||A||_F^2 = <W^T W, M^T M>``, and the product with the target needs the trace and the sum of A alone. Where there
    are more classes than features, A has not the rank to come near the target, and 1 - cos loses no digits. None where
    A is so small that its norm would.
    """
    squares = float(np.sum(_core.gram(np.ascontiguousarray(w.T)) * _core.gram(np.ascontiguousarray(m.T))))
    if squares < _LEAST_SQUARES:
        return None
    trace = float(np.einsum("kd,kd->", w, m))
    total = float(w.sum(axis=0) @ m.sum(axis=0))
    product = target.diagonal * trace + target.off_diagonal * (total - trace)
    return float(np.sqrt(max(2.0 - 2.0 * product / np.sqrt(squares), 0.0)))


def _normalised(weights: ArrayLike, means: ArrayLike, name: str) -> tuple[Float, Float] | None:
    """Both at unit Frobenius norm; None, with a warning, when one is zero."""
    normalised = []
    for frame, what in zip(as_pair(weights, "weights", means, name), ("weights", name), strict=True):
        scaled = frame * unit_power(float(np.abs(frame).max()))
        norm = frobenius(scaled)
        if norm == 0:
            warn_degenerate(f"{what} are all zero: NC3 is undefined")
            return None
        normalised.append(scaled / norm)
    return normalised[0], normalised[1]
