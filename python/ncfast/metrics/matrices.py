"""Whole K x K matrices, for who wants to see them; every other metric goes without."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._frame import as_frame
from ..statistics import ClassStatistics
from ._points import unit_rows, upper_mask
from .class_pairs import cdnv_bands
from .variability import require_two_classes

Float = NDArray[np.float64]


def cosine_matrix(vectors: ArrayLike) -> Float:
    """Cosine of each vector of a frame with each other.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame. For class means, subtract the global mean first.

    Returns
    -------
    ndarray of float64, shape (K, K)
        Symmetric. nan, with a RuntimeWarning, if a vector is zero.

    Raises
    ------
    MemoryError
        If the matrix does not fit in free memory.
    """
    frame = as_frame(vectors)
    _require_memory(frame.shape[0])
    unit = unit_rows(frame)
    return np.full((frame.shape[0],) * 2, np.nan) if unit is None else _core.gram(unit)


def cdnv_matrix(stats: ClassStatistics) -> Float:
    """Class-distance normalised variance of each pair of classes, ``(v_k + v_l) / (2 ||mu_k - mu_l||^2)``.

    Parameters
    ----------
    stats : ClassStatistics
        A scatter is not needed.

    Returns
    -------
    ndarray of float64, shape (K, K)
        Symmetric; nan on the diagonal and for classes without samples, infinite where two means coincide. The mean
        over pairs is `cdnv`.

    Raises
    ------
    MemoryError
        If the matrix does not fit in free memory.

    References
    ----------
    Galanti, Gyorgy, Hutter, "On the role of neural collapse in transfer learning", ICLR 2022.
    """
    require_two_classes(stats)
    _require_memory(stats.num_classes)
    present = np.flatnonzero(stats.present)
    matrix = np.full((stats.num_classes,) * 2, np.nan)
    for first, values in cdnv_bands(stats, np.arange(present.size)):
        rows, cols = np.nonzero(upper_mask(*values.shape))
        one, other = present[first + rows], present[first + cols]
        matrix[one, other] = matrix[other, one] = values[rows, cols]
    return matrix


def _require_memory(num_classes: int) -> None:
    """Refuse a matrix that, made once and held once, would not fit."""
    needed = 2 * 8 * num_classes**2
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None
    if free is not None and needed > free:
        raise MemoryError(
            f"a {num_classes:,} x {num_classes:,} matrix takes {needed / 2**30:.1f} GiB with room to make it, of which"
            f" {free / 2**30:.1f} GiB are free; cdnv_per_class, worst_pairs, coherence and the like need no such matrix"
        )
