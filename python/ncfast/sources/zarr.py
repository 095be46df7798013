"""Zarr, version 3 of the library: an array, or a group of arrays, in a folder."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._source import Source, array_path, stat_line
from ._errors import reading, require

_DIRECT_BYTES = 8 << 20
"""What is asked of the reader at once, if chunks are smaller."""


class Array(Source):
    """One array, read by whole chunks: straight into the block where they lie within it."""

    def __init__(self, folder: str, name: str, array: Any) -> None:
        self.path, self.shape = array_path(folder, name), tuple(array.shape)
        self.stored = np.dtype(array.dtype)
        self.dtype = self.stored.newbyteorder("=").name
        self._folder, self._name, self._written = folder, name, stat_line(folder)
        self._lock = threading.Lock()
        self._array = array
        self._at = -1
        self._edge: NDArray[Any] | None = None  # a chunk that two blocks share, and its first row
        self._edge_first = -1

    def read(self, start: int, out: NDArray[Any]) -> None:
        """Fill `out` with the rows from `start` on."""
        with self._lock, reading(self.path):
            if start != self._at:
                self._enter()
            chunk = (self._array.shards or self._array.chunks)[0]
            most = max(1, _DIRECT_BYTES // max(1, out[:chunk].nbytes)) * chunk
            row, stop = start, start + len(out)
            while row < stop:
                first = row // chunk * chunk
                until = stop if stop == self.shape[0] else stop // chunk * chunk
                if first == row < until:
                    until = min(until, row + most)
                    self._read_chunks(row, out[row - start : until - start])
                else:
                    until = min(first + chunk, stop)
                    out[row - start : until - start] = self._edge_from(first, chunk)[row - first : until - first]
                row = until
            self._at = stop
            if stop == self.shape[0]:
                self._edge, self._edge_first = None, -1

    def _enter(self) -> None:
        if stat_line(self._folder) != self._written:
            raise ValueError("was changed while it was being read")
        array = _open(self._folder)
        self._array = array[self._name] if self._name else array
        if tuple(self._array.shape) != self.shape or np.dtype(self._array.dtype) != self.stored:
            raise ValueError("was changed while it was being read")
        # A chunk that is not there reads as zeros; among labels zeros are common, and such chunks not written.
        if len(self.shape) == 2 and self._array.nchunks_initialized < self._array.nchunks:
            there, wanted = self._array.nchunks_initialized, self._array.nchunks
            raise ValueError(f"has {there} of {wanted} chunks: the others are missing")
        self._edge_first = -1

    def _read_chunks(self, row: int, out: NDArray[Any]) -> None:
        from zarr.core.buffer import default_buffer_prototype

        buffer = default_buffer_prototype().nd_buffer.from_numpy_array(out)
        self._array.get_basic_selection(slice(row, row + len(out)), out=buffer)

    def _edge_from(self, first: int, chunk: int) -> NDArray[Any]:
        """Return the chunk that begins at row `first`, in memory that is kept: fresh pages cost as much as reading."""
        if self._edge is None:
            self._edge = np.empty((min(chunk, self.shape[0]), *self.shape[1:]), self.stored)
        rows = self._edge[: min(chunk, self.shape[0] - first)]
        if self._edge_first != first:
            self._edge_first = -1
            self._read_chunks(first, rows)
            self._edge_first = first
        return rows

    def files(self) -> tuple[str, ...]:
        """Return the metadata and every chunk."""
        folder = Path(self._folder) / self._name
        return tuple(sorted(str(path) for path in folder.rglob("*") if path.is_file()))


def entries(folder: str) -> dict[str, Source]:
    """Return the arrays of a store by path; a single array under the empty name."""
    zarr = require("zarr", "zarr")
    with reading(folder):
        store = _open(folder)
        arrays = {"": store} if isinstance(store, zarr.Array) else _arrays(store, zarr)
        return {name: Array(folder, name, array) for name, array in arrays.items()}


def _arrays(group: Any, zarr: Any) -> dict[str, Any]:
    return {name: item for name, item in group.members(max_depth=None) if isinstance(item, zarr.Array)}


def _open(folder: str) -> Any:
    import zarr

    return zarr.open(folder, mode="r")
