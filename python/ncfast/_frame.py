"""Checks of frames, and what the metrics share: warnings, exact scaling."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core

Float = NDArray[np.float64]


def as_frame(vectors: ArrayLike, name: str = "vectors") -> Float:
    """Return a (K, d) frame as float64 rows; K at least 2, all finite."""
    try:
        array: NDArray[Any] = np.asarray(vectors)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name} cannot be read as an array of numbers: {error}") from error
    if array.dtype.name == "bfloat16":  # ml_dtypes registers it with numpy
        array = array.astype(np.float64)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} has dtype {array.dtype}; wanted real numbers")
    if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] < 1:
        raise ValueError(f"{name} has shape {array.shape}; wanted (K, d), one vector per class, K at least 2")
    frame = np.ascontiguousarray(array, dtype=np.float64)
    narrower = array if array.itemsize <= frame.itemsize else frame  # what is finite there, float64 holds
    if not np.isfinite(narrower).all():
        row = int(np.flatnonzero(~np.isfinite(narrower).all(axis=1))[0])
        raise ValueError(
            f"{name} has a non-finite value in row {row}; wanted finite values (leave out missing classes)"
        )
    return frame


def as_pair(left: ArrayLike, left_name: str, right: ArrayLike, right_name: str) -> tuple[Float, Float]:
    """Return two frames of equal shape."""
    a, b = as_frame(left, left_name), as_frame(right, right_name)
    if a.shape != b.shape:
        raise ValueError(f"{left_name} has shape {a.shape} and {right_name} {b.shape}; wanted equal shapes (K, d)")
    return a, b


def warn_degenerate(cause: str) -> None:
    """Say why a metric is infinite or undefined."""
    warnings.warn(cause, RuntimeWarning, stacklevel=3)


def unit_power(largest: float) -> float:
    """Return a power of two that brings `largest` near 1: an exact rescaling that keeps squares in range."""
    if largest == 0.0:
        return 1.0
    exponent = -int(np.frexp(largest)[1])
    return float(np.ldexp(1.0, min(max(exponent, -1000), 1000)))


def largest_magnitude(values: Float) -> float:
    """Largest ``|x|``, without a copy of as many values."""
    return float(max(values.max(), -values.min()))


def row_bands(rows: int, width: int, values: int = 1 << 16) -> Iterator[slice]:
    """Cut rows into bands of about so many values: few enough to stay in cache."""
    step = max(1, values // width)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def in_dtype(vectors: Float, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Return a frame in float64 or float32."""
    return _core.rounded(vectors) if dtype is np.float32 else vectors


def products_with(rows: Float, vector: Float) -> Float:
    """``rows @ vector`` without BLAS, whose workers go on spinning on the processors that the kernels use next."""
    return _core.row_products(rows, vector[None])
