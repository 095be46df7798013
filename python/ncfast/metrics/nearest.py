"""The exact frame nearest to a given one, by orthogonal Procrustes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._frame import as_frame, unit_power, warn_degenerate
from .._lapack import svd
from ._pairs import frobenius

Float = NDArray[np.float64]


@dataclass(frozen=True)
class NearestFrame:
    """A frame of exact shape and how far from it the given one lies.

    Attributes
    ----------
    frame : ndarray of float64, shape (K, d)
        The nearest one, of all rotations and scales.
    scale : float
        Its Frobenius norm over that of the same shape at singular values 1.
    distance : float
        Frobenius norm of the difference.
    """

    frame: Float
    scale: float
    distance: float


def nearest_etf(vectors: ArrayLike) -> NearestFrame:
    """Return the simplex ETF nearest to a frame: ``min_{s, R} ||V - s C R||_F``.

    C (K, K-1) has orthonormal columns orthogonal to the all-ones vector, and R (K-1, d) orthonormal rows:
    s C R runs through all simplex ETFs of K vectors in d dimensions. The best R is the orthogonal polar
    factor of ``C^T V``, and s the mean of its singular values.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame V, with K <= d+1. Its mean counts as distance: for class means, subtract it first.

    Returns
    -------
    NearestFrame
        When all vectors are equal, with a RuntimeWarning, the frame of scale 0.

    Raises
    ------
    ValueError
        If K > d+1: there is no simplex ETF.

    References
    ----------
    Markou, Ajanthan, Gould, "Guiding neural collapse: optimising towards the nearest simplex equiangular
    tight frame", NeurIPS 2024; Schonemann, "A generalized solution of the orthogonal Procrustes problem",
    Psychometrika 1966.
    """
    frame = as_frame(vectors)
    k, d = frame.shape
    if k > d + 1:
        raise ValueError(f"vectors has shape {frame.shape}; wanted at most d + 1 vectors, as many as a simplex ETF has")
    return _nearest(frame, _simplex_basis(k))


def nearest_of(vectors: ArrayLike) -> NearestFrame:
    """Return the orthogonal frame of equal norms nearest to a frame: ``min_{s, R} ||V - s R||_F``, R R^T = I.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame V, with K <= d. Class means are taken as they are, not centred.

    Returns
    -------
    NearestFrame
        When all vectors are zero, with a RuntimeWarning, the frame of scale 0.

    Raises
    ------
    ValueError
        If K > d: no K vectors are orthogonal.

    References
    ----------
    Schonemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 1966.
    """
    frame = as_frame(vectors)
    k, d = frame.shape
    if k > d:
        raise ValueError(f"vectors has shape {frame.shape}; wanted at most d vectors, as many as can be orthogonal")
    return _nearest(frame, None)


def _nearest(frame: Float, basis: Float | None) -> NearestFrame:
    """Of all ``s basis R``; without a basis of all ``s R``."""
    scale = unit_power(float(np.abs(frame).max()))
    scaled = frame * scale
    factor = scaled if basis is None else _product(np.ascontiguousarray(basis.T), scaled)
    left, values, right = svd(factor, full_matrices=False)
    noise = max(frame.shape) * float(np.finfo(np.float64).eps) * frobenius(scaled)
    size = float(values.mean()) if values[0] > noise else 0.0
    if size == 0:
        warn_degenerate("the vectors leave no direction: every rotation is as near, and the best scale is 0")
    rotation = _product(left, right)
    best = size * (rotation if basis is None else _product(basis, rotation))
    return NearestFrame(best / scale, size / scale, frobenius(scaled - best) / scale)


def _simplex_basis(k: int) -> Float:
    """Orthonormal columns that span what is orthogonal to the all-ones vector: Helmert's matrix."""
    steps = np.arange(1, k)
    basis = np.where(np.arange(k)[:, None] < steps[None, :], 1.0, 0.0)
    basis[steps, steps - 1] = -steps
    return np.asarray(basis / np.sqrt(steps * (steps + 1.0)))


def _product(left: Float, right: Float) -> Float:
    return _core.cross_gram(left, right.T)
