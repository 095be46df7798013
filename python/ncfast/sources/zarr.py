"""Zarr, version 3 of the library: an array, or a group of arrays, in a folder."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from .._source import Source
from ._errors import reading, require
from ._sequential import Batch, Sequential


class Array(Sequential):
    """One array, read by whole chunks."""

    def batches(self, start: int) -> Generator[Batch, None, None]:
        """Yield batches of whole chunks."""
        array = _open(self._file)
        array = array[self._name] if self._name else array
        # A chunk that is not there reads as zeros; among labels zeros are common, and such chunks not written.
        if len(self.shape) == 2 and array.nchunks_initialized < array.nchunks:
            raise ValueError(f"has {array.nchunks_initialized} of {array.nchunks} chunks: the others are missing")
        chunk = (array.shards or array.chunks)[0]
        rows = self.batch_rows(chunk)
        for first in range(start // chunk * chunk, self.shape[0], rows):
            yield first, np.asarray(array[first : min(first + rows, self.shape[0])])

    def files(self) -> tuple[str, ...]:
        """Return the metadata and every chunk."""
        folder = Path(self._file) / self._name
        return tuple(sorted(str(path) for path in folder.rglob("*") if path.is_file()))


def entries(folder: str) -> dict[str, Source]:
    """Return the arrays of a store by path; a single array under the empty name."""
    zarr = require("zarr", "zarr")
    with reading(folder):
        store = _open(folder)
        arrays = {"": store} if isinstance(store, zarr.Array) else _arrays(store, zarr)
        return {name: _entry(folder, name, array) for name, array in arrays.items()}


def _arrays(group: Any, zarr: Any) -> dict[str, Any]:
    return {name: item for name, item in group.members(max_depth=None) if isinstance(item, zarr.Array)}


def _entry(folder: str, name: str, array: Any) -> Source:
    stored = np.dtype(array.dtype)
    return Array(folder, name, tuple(array.shape), stored, stored.newbyteorder("=").name)


def _open(folder: str) -> Any:
    import zarr

    return zarr.open(folder, mode="r")
