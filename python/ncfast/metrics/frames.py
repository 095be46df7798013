"""Frame theory: coherence and its lower bound, frame potential, tightness."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._choices import as_count
from .._frame import as_frame, unit_power
from .._lapack import singular_values
from ._pairs import frobenius
from ._points import unit_rows
from .geometry import sweep_of
from .spectrum import tightness_of

Float = NDArray[np.float64]


def coherence(vectors: ArrayLike) -> float:
    """Return the coherence of a frame, the largest ``|cos|`` of any two of its vectors.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame. For class means, subtract the global mean first.

    Returns
    -------
    float
        Between 0 and 1; ``1/(K-1)`` for a simplex ETF. nan, with a RuntimeWarning, if a vector is zero.

    References
    ----------
    Welch, "Lower bounds on the maximum cross correlation of signals", IEEE Trans. Inf. Theory 1974.
    """
    return sweep_of(vectors).coherence


def welch_ratio(vectors: ArrayLike) -> float:
    """Coherence over the least that K vectors in d dimensions can have, ``sqrt((K-d) / (d (K-1)))``.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame, with K > d.

    Returns
    -------
    float
        At least 1, and 1 for an equiangular tight frame. nan, with a RuntimeWarning, if a vector is zero.

    Raises
    ------
    ValueError
        If K <= d: up to d vectors can be orthogonal, and there is no such bound.

    References
    ----------
    Welch, "Lower bounds on the maximum cross correlation of signals", IEEE Trans. Inf. Theory 1974.
    """
    frame = as_frame(vectors)
    k, d = frame.shape
    if k <= d:
        raise ValueError(f"vectors has shape {frame.shape}; wanted more vectors than dimensions, K > d")
    return coherence(frame) / float(np.sqrt((k - d) / (d * (k - 1))))


def frame_potential(vectors: ArrayLike) -> float:
    """Frame potential, the sum of ``cos^2`` over all ordered pairs, each vector with itself among them.

    ``||U U^T||_F^2`` for the vectors at unit length, through the smaller of ``U U^T`` and ``U^T U``.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame. For class means, subtract the global mean first.

    Returns
    -------
    float
        At least ``max(K, K^2/d)``, which orthogonal frames (K <= d) and tight frames of equal norms
        (K >= d) reach; ``K^2/(K-1)`` for a simplex ETF. nan, with a RuntimeWarning, if a vector is zero.

    References
    ----------
    Benedetto, Fickus, "Finite normalized tight frames", Adv. Comput. Math. 2003.
    """
    unit = unit_rows(as_frame(vectors))
    if unit is None:
        return np.nan
    k, d = unit.shape
    if d <= k:
        return frobenius(_core.gram(unit.T)) ** 2
    return float(k + 2.0 * sweep_of(unit).squared_cosines)


def tightness(vectors: ArrayLike, dimension: int | None = None) -> float:
    """Distance of the frame from a tight one, which looks alike from every direction of its space.

    ``|| S/||S||_F - Q/sqrt(r) ||_F`` with the frame operator ``S = V^T V`` and Q the projection on its r
    leading eigenvectors: of all tight frames of r-dimensional spaces, the closest.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame V. For class means, subtract the global mean first.
    dimension : int, optional
        r, by default ``min(K-1, d)``, the dimension of a simplex ETF; K for vectors that should be
        orthogonal.

    Returns
    -------
    float
        0 for a tight frame, as a simplex ETF is. nan, with a RuntimeWarning, if all vectors are zero.

    References
    ----------
    Benedetto, Fickus, "Finite normalized tight frames", Adv. Comput. Math. 2003.
    """
    frame = as_frame(vectors)
    k, d = frame.shape
    r = min(k - 1, d) if dimension is None else as_count("dimension", dimension, 1)
    if r > min(k, d):
        raise ValueError(f"dimension is {r}; wanted at most {min(k, d)}, which {k} vectors of length {d} can span")
    scale = unit_power(float(np.abs(frame).max()))
    return tightness_of(singular_values(frame * scale), r)
