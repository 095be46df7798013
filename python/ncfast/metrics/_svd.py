"""Thin singular value decompositions of frames, by the cheaper of two ways where it is as good.

The eigenvalues of the smaller Gram matrix cost a fraction of an SVD, and lose digits by the square of the
condition number. They are used where the frame is large and its smallest singular value that counts is above a
hundredth of the largest, which leaves it right to about 1e-12; the SVD does the rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .. import _lapack as lapack

Float = NDArray[np.float64]
_LARGE = 64
LEAST_RATIO = 1e-2


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


def singular_values(frame: Float, gram: Float) -> Float:
    """Return the singular values of a (K, d) frame, falling; `gram` is the smaller Gram matrix."""
    values = well_conditioned_values(gram, gram.shape[0])
    return lapack.singular_values(frame) if values is None else values


def well_conditioned_values(gram: Float, rank: int, least: float = LEAST_RATIO) -> Float | None:
    """Return the singular values of a frame of at most this rank from its smaller Gram matrix.

    None where that is no good, or where the smallest that counts is not above `least` times the largest.
    """
    if gram.shape[0] < _LARGE:
        return None
    values: Float = np.sqrt(np.maximum(lapack.eigvalsh(gram)[::-1], 0.0))
    if values[rank - 1] <= least * values[0]:
        return None
    values[rank:] = 0.0
    return values


def _eigen(gram: Float, rank: int) -> tuple[Float | None, Float | None]:
    """Singular values, and `rank` eigenvectors of the Gram matrix as rows; None where it is no good."""
    eigenvalues, vectors = lapack.eigh(gram)
    values = np.sqrt(np.maximum(eigenvalues[::-1], 0.0))
    if values[rank - 1] <= LEAST_RATIO * values[0]:
        return None, None
    values[rank:] = 0.0
    return values, np.ascontiguousarray(vectors.T[::-1][:rank])
