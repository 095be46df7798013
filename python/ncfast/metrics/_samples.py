"""Feature matrices as the metrics of single samples read them: checked float64 rows, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._features import Block, Features, as_features
from .._lapack import eigh

Float = NDArray[np.float64]
_BLOCK_VALUES = 4 << 20  # values held at a time: 32 MiB


def read_samples(features: object, num_features: int | None = None) -> Features:
    """Check a feature matrix and that it has rows."""
    source = as_features(features, num_features)
    if source.rows == 0:
        raise ValueError(f"features has shape {source.shape}; wanted at least one sample")
    return source


def sample_blocks(source: Features, width: int = 0) -> Iterator[tuple[int, Float]]:
    """Yield ``(first row, rows)`` as float64; blocks leave room for `width` values per row."""
    for start, stop in source.ranges(max(1, _BLOCK_VALUES // max(source.cols, width))):
        yield start, finite_rows(source.block(start, stop), np.arange(start, stop))


def finite_rows(block: Block, numbers: NDArray[np.int64]) -> Float:
    """Return the rows as float64; refuse what cannot be squared, by the row's number."""
    unusable = _core.screen(block)
    if unusable.any():
        row = int(np.flatnonzero(unusable)[0])
        values = block[row]
        odd = values[~np.isfinite(values)]
        value = odd[0] if odd.size else values[np.argmax(np.abs(values))]
        raise ValueError(
            f"features holds {value:.3g} at row {numbers[row]}; wanted finite values whose squares float64 can hold"
        )
    return np.ascontiguousarray(block, dtype=np.float64)


def sample_mean(source: Features) -> Float:
    """Mean of all rows, shape (d,)."""
    base: Float | None = None
    total = np.zeros(source.cols)
    for _, rows in sample_blocks(source):
        if base is None:
            base = rows[0].copy()
        total += (rows - base).sum(axis=0)
    assert base is not None
    mean: Float = base + total / source.rows
    return mean


def sample_scatter(source: Features, mean: Float) -> Float:
    """``sum_i (h_i - mean)(h_i - mean)^T``, shape (d, d)."""
    lower = np.zeros((source.cols, source.cols))
    for _, rows in sample_blocks(source):
        _core.rank_update(rows - mean, 1.0, lower)
    return _core.mirror(lower)


def principal_axes(scatter: Float, count: int) -> Float:
    """Return unit eigenvectors of the `count` largest eigenvalues, as rows; shape (count, d)."""
    _, vectors = eigh(scatter)
    return np.ascontiguousarray(vectors[:, ::-1][:, :count].T)


def as_matrix(array: ArrayLike, name: str, wanted: str, columns: int | None = None) -> Float:
    """Return a finite float64 matrix with at least one row and one column."""
    values = _as_numbers(array, name)
    if values.ndim != 2 or 0 in values.shape or columns not in (None, values.shape[1]):
        raise ValueError(f"{name} has shape {values.shape}; wanted {wanted}")
    return _as_finite(values, name)


def as_vector(array: ArrayLike, name: str, length: int | None = None) -> Float:
    """Return a finite float64 vector of `length`, or of any positive length."""
    values = _as_numbers(array, name)
    if values.ndim != 1 or values.size == 0 or length not in (None, values.size):
        raise ValueError(f"{name} has shape {values.shape}; wanted ({length if length else 'n'},)")
    return _as_finite(values, name)


def _as_numbers(array: ArrayLike, name: str) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.asarray(array)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name} cannot be read as an array of numbers: {error}") from error
    if values.dtype.name == "bfloat16":  # ml_dtypes registers it with numpy
        values = values.astype(np.float64)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"{name} has dtype {values.dtype}; wanted real numbers")
    return values


def _as_finite(values: NDArray[Any], name: str) -> Float:
    if not np.isfinite(values).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise ValueError(f"{name} holds {values[where]} at {list(where)}; wanted finite values")
    return np.ascontiguousarray(values, dtype=np.float64)
