"""Bare numbers, as `numpy.memmap` and `tofile` write them: the file cannot say what they are."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .._source import Source
from ._errors import reading
from ._flat import Flat, require_bytes


def entries(file: str, dtype: Any, shape: tuple[int, ...] | None, offset: int) -> dict[str, Source]:
    """Return the one array of a file of bare numbers.

    A first size of -1 stands for as many rows as there are; no shape for one dimension.
    """
    name = str(dtype)
    stored = np.dtype("<u2") if name == "bfloat16" else _dtype(dtype)
    sizes = (-1,) if shape is None else tuple(shape)
    if not sizes or any(size < 0 for size in sizes[1:]) or sizes[0] < -1 or offset < 0:
        raise ValueError(f"shape is {shape} at offset {offset}; wanted sizes of at least 0, the first perhaps -1")
    row = stored.itemsize
    for size in sizes[1:]:
        row *= size
    if sizes[0] == -1:
        there = max(0, os.stat(file).st_size - offset)  # noqa: PTH116
        if row == 0 or there % row:
            raise ValueError(f"{file}: has {there:,} bytes from offset {offset} on; wanted a multiple of {row}, a row")
        sizes = (there // row, *sizes[1:])
    with reading(file):
        require_bytes(file, offset, sizes, stored, exactly=False)
    return {"": Flat(file, offset, sizes, stored, dtype="bfloat16" if name == "bfloat16" else None)}


def _dtype(dtype: Any) -> np.dtype[Any]:
    try:
        stored: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise ValueError(f"dtype is {dtype!r}; wanted the name of a numpy dtype, or 'bfloat16'") from None
    if stored.kind not in "fiu":
        raise ValueError(f"dtype is {stored}; wanted numbers")
    return stored
