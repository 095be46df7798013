"""Sums over all entries or pairs of a K x K Gram matrix, a band of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._frame import row_bands

Float = NDArray[np.float64]
_BAND_VALUES = 4 << 20  # entries held at a time: 32 MiB


def bands(left: Float, right: Float) -> Iterator[tuple[int, Float]]:
    """Yield ``(first, left[first:...] @ right.T)`` over bands of rows."""
    for band in row_bands(left.shape[0], right.shape[0], _BAND_VALUES):
        yield band.start, _core.cross_gram(left[band], right)


def upper_bands(vectors: Float) -> Iterator[tuple[int, Float]]:
    """Yield ``(first, band)`` of the Gram matrix, its columns counted from `first`: all pairs k <= l."""
    k = vectors.shape[0]
    first = 0
    while first < k:
        height = max(1, min(k - first, _BAND_VALUES // (k - first)))
        yield first, _core.cross_gram(vectors[first : first + height], vectors[first:])
        first += height


def frobenius(matrix: Float) -> float:
    """Frobenius norm."""
    return float(np.sqrt(np.einsum("ij,ij->", matrix, matrix)))
