"""Arrays that lie in a file as they lie in memory: read with `preadv`, never mapped.

A map grows the resident size to that of the file, and a file cut short under it kills the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._source import Source, array_path

_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)


class Flat(Source):
    """`shape` elements of `stored` from byte `offset` on."""

    seeks = True

    def __init__(
        self,
        file: str,
        offset: int,
        shape: tuple[int, ...],
        stored: np.dtype[Any],
        *,
        dtype: str | None = None,
        name: str = "",
        by_column: bool = False,
    ) -> None:
        self.path = array_path(file, name)
        self.shape = shape
        self.stored = stored
        self.dtype = dtype or stored.newbyteorder("=").name
        self._file, self._offset = file, offset
        self._by_column = by_column and len(shape) == 2
        self._written = _written(os.stat(file))  # noqa: PTH116

    def read(self, start: int, out: NDArray[Any]) -> None:
        """Fill `out` with the rows from `start` on."""
        with self._opened() as descriptor:
            size = self.stored.itemsize
            if not self._by_column:
                self._fill(descriptor, out, self._place(start))
                return
            column = np.empty(out.shape[0], self.stored)
            for j in range(self.shape[1]):
                self._fill(descriptor, column, self._offset + (j * self.shape[0] + start) * size)
                out[:, j] = column

    def waits(self, start: int, stop: int) -> bool:
        """Whether the first or the last of these rows is not in the page cache."""
        if self._by_column or _NOWAIT is None:
            return True
        with self._opened() as descriptor:
            ends = self._place(start), self._place(stop) - 1
            return not all(_is_cached(descriptor, place) for place in ends)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self._file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            if _written(os.fstat(descriptor)) != self._written:
                raise ValueError(f"{self.path}: was changed while it was being read")
            yield descriptor
        finally:
            os.close(descriptor)

    def _place(self, row: int) -> int:
        width = self.shape[1] if len(self.shape) == 2 else 1
        return self._offset + row * width * self.stored.itemsize

    def _fill(self, descriptor: int, out: NDArray[Any], offset: int) -> None:
        view = memoryview(out.reshape(-1).view(np.uint8).data)
        done = 0
        while done < len(view):
            count = os.preadv(descriptor, [view[done:]], offset + done)
            if count == 0:
                raise ValueError(f"{self.path}: ends at byte {offset + done:,}; its header promises more")
            done += count

    def files(self) -> tuple[str, ...]:
        """Return the file."""
        return (self._file,)


def _is_cached(descriptor: int, place: int) -> bool:
    try:
        return os.preadv(descriptor, [bytearray(1)], place, _NOWAIT or 0) == 1
    except OSError:  # it would wait, or the file system cannot tell
        return False


def _written(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def require_bytes(file: str, offset: int, shape: tuple[int, ...], stored: np.dtype[Any], *, exactly: bool) -> None:
    """Refuse a file that is shorter than its array, or with `exactly` longer; in integers that cannot overflow."""
    needed = offset + stored.itemsize
    for size in shape:
        needed = offset + (needed - offset) * size
    there = os.stat(file).st_size  # noqa: PTH116
    if there < needed or (exactly and there > needed):
        kind = "truncated, or its header is wrong" if there < needed else "something follows its array"
        raise ValueError(f"{file}: has {there:,} bytes; wanted {needed:,} for shape {shape} of {stored.name}: {kind}")
