"""``.npy``: one array, as `numpy.save` writes it."""

from __future__ import annotations

from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .._source import Source
from ._errors import reading
from ._flat import Flat, require_bytes

HEADER_BYTES = 12 + 10_000
"""No header is longer: magic, version, length, and the most text that numpy parses."""
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_BUFFERS = 2**63


def entries(file: str) -> dict[str, Source]:
    """Return the one array of a ``.npy``, under the empty name."""
    with Path(file).open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    with reading(file):
        offset, shape, stored, by_column = parse(head)
        require_bytes(file, offset, shape, stored, exactly=True)
    return {"": Flat(file, offset, shape, stored, by_column=by_column)}


def parse(head: bytes) -> tuple[int, tuple[int, ...], np.dtype[Any], bool]:
    """Return offset, shape, dtype and whether columns come first, of what begins like a ``.npy``; never unpickle.

    numpy's parser lets through what no array can have, and raises a dozen kinds of errors.
    """
    stream = BytesIO(head)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in _READERS:
            raise ValueError(f"format version {version}")
        shape, by_column, stored = _READERS[version](stream)
    except Exception as error:
        raise ValueError(f"not a readable .npy ({' '.join(str(error).split())[:200]})") from error
    if stored.hasobject:
        raise ValueError(f"holds Python objects (dtype {stored}), which would have to be unpickled; wanted numbers")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"its header has shape {shape}; wanted sizes of at least 0")
    if prod(shape) * stored.itemsize >= _BUFFERS:
        raise ValueError(f"its header has shape {shape} of {stored}, more bytes than any file can have")
    return stream.tell(), shape, stored, by_column
