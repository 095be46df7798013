"""Arrays that a reader decodes from their beginning to their end, batch by batch."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Generator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._source import Source, array_path, stat_line
from ._errors import reading

_BATCH_BYTES = 1 << 20

Batch = tuple[int, NDArray[Any]]


class Sequential(Source):
    """Rows from an iterator of decoded batches, each of them decoded once where rows are read in order."""

    def __init__(self, file: str, name: str, shape: tuple[int, ...], stored: np.dtype[Any], dtype: str) -> None:
        self.path = array_path(file, name)
        self.shape, self.stored, self.dtype = shape, stored, dtype
        self._file, self._name, self._written = file, name, stat_line(file)
        self._lock = threading.Lock()
        self._batches: Generator[Batch, None, None] | None = None
        self._batch: Batch = (0, np.empty(0))
        self._at = -1

    @abstractmethod
    def batches(self, start: int) -> Generator[Batch, None, None]:
        """Yield (first row, rows) of consecutive batches; the first begins at or before row `start`."""

    def read(self, start: int, out: NDArray[Any]) -> None:
        """Fill `out` with the rows from `start` on."""
        with self._lock, reading(self.path):
            if self._batches is None or start != self._at:
                self._close()
                if stat_line(self._file) != self._written:
                    raise ValueError("was changed while it was being read")
                self._batches = self.batches(start)
                self._batch = (start, np.empty((0, *self.shape[1:]), self.stored))
            done = 0
            while done < len(out):
                first, rows = self._batch
                part = rows[start + done - first : start + len(out) - first]
                out[done : done + len(part)] = part
                done += len(part)
                if done < len(out):
                    self._batch = self._following(self._batches, start + done)
            self._at = start + done
            if self._at == self.shape[0]:
                self._close()

    def batch_rows(self, chunk: int = 1) -> int:
        """How many rows make a batch of about a MiB, a multiple of those of a chunk: then each is decoded once."""
        row_bytes = self.stored.itemsize * max(1, prod(self.shape[1:]))
        return max(1, _BATCH_BYTES // row_bytes // chunk) * chunk

    def _following(self, batches: Generator[Batch, None, None], row: int) -> Batch:
        """Return the next batch that has `row`, or one on the way there."""
        while True:
            try:
                first, rows = next(batches)
            except StopIteration:
                raise ValueError(f"ends before row {row:,}; its header promises {self.shape[0]:,}") from None
            if rows.shape[1:] != self.shape[1:] or first > row:
                raise ValueError(f"holds rows of shape {rows.shape[1:]} from {first:,} on; wanted {self.shape[1:]}")
            if first + len(rows) > row:
                return first, rows

    def _close(self) -> None:
        """Let go of files and memory."""
        if self._batches is not None:
            self._batches.close()
        self._batches, self._at = None, -1
        self._batch = (0, np.empty(0))

    def files(self) -> tuple[str, ...]:
        """Return the file."""
        return (self._file,)
