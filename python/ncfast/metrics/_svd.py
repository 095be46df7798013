"""Thin singular value decompositions of frames, by the cheaper of two ways where it is as good.

The eigenvalues of the smaller Gram matrix cost a fraction of an SVD, and lose digits by the square of the
condition number. They are used where the frame is large and its smallest singular value that counts is above a
hundredth of the largest, which leaves it right to about 1e-12; the SVD does the rest. Of float32 products, which large
frames of many more rows than columns may have, they are right to a few 1e-7 above a quarter of the largest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .. import _lapack as lapack
from ._sweep import ScaledFrame

Float = NDArray[np.float64]
_LARGE = 64
LEAST_RATIO = 1e-2
_LEAST_IN_FLOAT32 = 0.25


def thin_svd(frame: Float, rank: int, gram: Float) -> tuple[Float, Float]:
    """Return all singular values of a (K, d) frame, falling, and its first `rank` right vectors as rows.

    `rank` is the largest that the frame can have; singular values beyond it are zero up to rounding. `gram` is the
    smaller Gram matrix.
    """
    values, vectors = _eigen(gram, rank) if min(frame.shape) >= _LARGE else (None, None)
    if values is None or vectors is None:
        _, values, rows = lapack.svd(frame, full_matrices=False)
        return values, rows[:rank]
    if frame.shape[0] > frame.shape[1]:
        return values, vectors
    right = _core.cross_gram(vectors, frame.T)
    return values, right / values[:rank, None]


def singular_values(frame: ScaledFrame) -> Float:
    """Return the singular values of a scaled (K, d) frame, falling."""
    found = well_conditioned(frame, min(frame.rows.shape))
    return lapack.singular_values(frame.rows) if found is None else found[1]


def well_conditioned(frame: ScaledFrame, rank: int, least: float = LEAST_RATIO) -> tuple[Float, Float] | None:
    """Return the smaller Gram matrix of a frame of at most this rank, and its singular values from it.

    None where that is no good, or where the smallest that counts is not above `least` times the largest. Gram matrices
    of float32 products serve frames whose singular values lie close together.
    """
    gram = frame.smaller_gram
    if gram.shape[0] < _LARGE:
        return None
    values: Float = np.sqrt(np.maximum(lapack.eigvalsh(gram)[::-1], 0.0))
    if frame is not frame.exact and values[rank - 1] <= _LEAST_IN_FLOAT32 * values[0]:
        return well_conditioned(frame.exact, rank, least)
    if values[rank - 1] <= least * values[0]:
        return None
    values[rank:] = 0.0
    return gram, values


def _eigen(gram: Float, rank: int) -> tuple[Float | None, Float | None]:
    """Singular values, and `rank` eigenvectors of the Gram matrix as rows; None where it is no good."""
    eigenvalues, vectors = lapack.eigh(gram)
    values = np.sqrt(np.maximum(eigenvalues[::-1], 0.0))
    if values[rank - 1] <= LEAST_RATIO * values[0]:
        return None, None
    values[rank:] = 0.0
    return values, np.ascontiguousarray(vectors.T[::-1][:rank])
