"""Feature matrices in files: read into fixed buffers, the next block while this one is computed with."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ._features import Block, Features, to_native
from ._runtime import get_num_threads
from ._source import Source, stat_line

_PAGE = 4096
_READERS = 8
_PIECE_BYTES = 8 << 20

Range = tuple[int, int]


class Streamed(Features):
    """A feature matrix in files.

    A block lives in one of two buffers, and stays as it is until the next but one is read. If the rows that follow
    have to come from a disk or a decoder, a thread fills the other with them. What is in the page cache is copied when
    it is asked for, by several threads: beside the kernels, that copy would slow them down by more than it takes.
    Blocks are asked for in any order; in that of the rows reading costs least.
    """

    def __init__(self, source: Source, memory: int) -> None:
        self.dtype = source.dtype
        self.shape = (source.shape[0], source.shape[1])
        self._source = source
        row_bytes = self.cols * np.dtype(self.native).itemsize
        converts = source.stored != np.dtype(self.native)
        raw_bytes = self.cols * source.stored.itemsize if converts else 0
        self._limit = min(memory // (2 * row_bytes + raw_bytes), self.rows)
        if self._limit < 1 <= self.rows:
            raise ValueError(
                f"memory is {memory:,} bytes; wanted at least {2 * row_bytes + raw_bytes:,}, two rows of {source.path}"
                f" with {self.cols:,} features each"
            )
        self._buffers = [_empty(self._limit, self.cols, np.dtype(self.native)) for _ in range(2)]
        self._raw = _empty(self._limit, self.cols, source.stored) if converts else None
        self._turn = 0
        self._held: tuple[Range, Block] | None = None
        self._ahead: tuple[Range, Future[Block]] | None = None
        self._readers = ThreadPoolExecutor(min(get_num_threads(), _READERS), thread_name_prefix="ncfast-read")

    def ranges(self, block_rows: int, first: int = 0) -> Iterator[Range]:
        """Cut the rows from `first` on into consecutive ranges of at most `block_rows`, and of what memory holds."""
        return super().ranges(max(1, min(block_rows, self._limit)), first)

    def block_rows(self) -> int:
        """How many rows make a block of bounded memory."""
        return max(1, min(super().block_rows(), self._limit))

    def block(self, start: int, stop: int) -> Block:
        """Rows [start, stop) as the kernels read them, until the next block is asked for."""
        if self._held is None or self._held[0] != (start, stop):
            self._held = None
            self._held = (start, stop), self._next((start, stop))
        return self._held[1]

    def _next(self, wanted: Range) -> Block:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            wait([ahead[1]])  # whatever it reads, its buffer is in use until then
        block = ahead[1].result() if ahead is not None and ahead[0] == wanted else self._now(wanted)
        self._turn = 1 - self._turn
        start, stop = wanted
        follows = stop, min(2 * stop - start, self.rows)
        if stop < self.rows and self._source.waits(*follows):
            self._ahead = follows, self._readers.submit(self._fill, follows[0], self._buffer(follows))
        return block

    def _buffer(self, wanted: Range) -> NDArray[Any]:
        return self._buffers[self._turn][: wanted[1] - wanted[0]]

    def _now(self, wanted: Range) -> Block:
        out = self._buffer(wanted)
        if self._source.waits(*wanted):
            return self._fill(wanted[0], out)
        rows = max(1, _PIECE_BYTES // (self.cols * out.itemsize))
        pieces = [
            self._readers.submit(self._fill, wanted[0] + first, out[first : first + rows], first)
            for first in range(0, len(out), rows)
        ]
        wait(pieces)
        for piece in pieces:
            piece.result()
        return cast(Block, out)

    def _fill(self, start: int, out: NDArray[Any], at: int = 0) -> Block:
        """Read rows from `start` on, through the raw buffer from its row `at` on if they are converted."""
        if self._raw is None:
            self._source.read(start, out)
            return cast(Block, out)
        raw = self._raw[at : at + len(out)]
        self._source.read(start, raw)
        return to_native(raw, self.dtype, out)

    def take(self, rows: NDArray[np.int64]) -> Block:
        """Rows by number, in memory of their own; where the file cannot seek, all blocks that hold one are read."""
        taken: NDArray[Any] = np.empty((rows.size, self.cols), self.native)
        if self._source.seeks:
            if self._ahead is not None:
                wait([self._ahead[1]])
            ends = np.flatnonzero(np.diff(rows) != 1) + 1
            for first, last in zip([0, *ends], [*ends, rows.size], strict=True):
                for at in range(first, last, self._limit):
                    self._fill(int(rows[at]), taken[at : min(at + self._limit, last)])
            return taken
        for start, stop in self.ranges(self.block_rows()):
            first, last = np.searchsorted(rows, (start, stop))
            if first < last:
                taken[first:last] = self.block(start, stop)[rows[first:last] - start]
        return taken

    def identity(self) -> Iterator[bytes]:
        """Shape, dtype, and size and time of each file."""
        yield f"{self.shape} {self.dtype} {self._source.path}".encode()
        for path in self._source.files():
            yield stat_line(path).encode()


def _empty(rows: int, cols: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return memory that begins with a page.

    AMD's Zen 3 copies five times slower to 16 bytes behind the beginning of a page, where numpy's large arrays lie.
    """
    size = rows * cols * dtype.itemsize
    whole = np.empty(size + _PAGE, np.uint8)
    first = -whole.ctypes.data % _PAGE
    return whole[first : first + size].view(dtype).reshape(rows, cols)
