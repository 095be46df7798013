"""Shards of one array, one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from numpy.typing import NDArray

from .._source import Source


class Joined(Source):
    """The rows of several arrays of the same width and dtype."""

    def __init__(self, path: str, parts: Sequence[Source]) -> None:
        first = parts[0]
        for part in parts[1:]:
            if part.shape[1:] != first.shape[1:]:
                raise ValueError(
                    f"{part.path} has shape {part.shape}, {first.path} {first.shape}; wanted shards of the same width"
                )
            if part.stored != first.stored or part.dtype != first.dtype:
                raise ValueError(f"{part.path} is {part.dtype}, {first.path} {first.dtype}; wanted shards of one dtype")
        self.path, self._parts = path, tuple(parts)
        self._ends = list(accumulate(part.shape[0] for part in parts))
        self.shape = (self._ends[-1], *first.shape[1:])
        self.dtype, self.stored = first.dtype, first.stored
        self.seeks = all(part.seeks for part in parts)

    def read(self, start: int, out: NDArray[Any]) -> None:
        """Fill `out` with the rows from `start` on."""
        done = 0
        for part, first, stop in self._pieces(start, start + len(out)):
            part.read(first, out[done : done + stop - first])
            done += stop - first

    def waits(self, start: int, stop: int) -> bool:
        """Whether reading any of these rows would wait."""
        return any(part.waits(first, last) for part, first, last in self._pieces(start, stop))

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[Source, int, int]]:
        """Yield the parts that hold these rows, and which of theirs they are."""
        while start < stop:
            at = bisect_right(self._ends, start)
            before = self._ends[at - 1] if at else 0
            until = min(stop, self._ends[at])
            yield self._parts[at], start - before, until - before
            start = until

    def files(self) -> tuple[str, ...]:
        """Return the files of all shards."""
        return tuple(file for part in self._parts for file in part.files())
