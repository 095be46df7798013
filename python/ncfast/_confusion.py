"""Which classes are taken for which others."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass
class Confusion:
    """What the samples of a class weigh that are nearest to the mean of another; only pairs that occur are held."""

    num_classes: int
    codes: Int = field(default_factory=lambda: np.empty(0, np.int64))  # class * num_classes + nearest, rising
    counts: Float = field(default_factory=lambda: np.empty(0))

    def add(self, classes: Int, nearest: Int, weights: Float | None) -> None:
        """Add samples."""
        if classes.size == 0:
            return
        codes = np.concatenate([self.codes, classes * self.num_classes + nearest])
        counts = np.concatenate([self.counts, np.ones(classes.size) if weights is None else weights])
        self.codes, places = np.unique(codes, return_inverse=True)
        self.counts = np.bincount(places, counts).astype(np.float64)

    @property
    def pairs(self) -> Int:
        """Class and nearest class of each pair, shape (P, 2)."""
        return np.stack(np.divmod(self.codes, self.num_classes), axis=1)

    def largest(self, count: int) -> tuple[Int, Float]:
        """Return the most frequent pairs and how often they occur; equal ones in the order of the classes."""
        chosen = np.argsort(-self.counts, kind="stable")[:count]
        return self.pairs[chosen], self.counts[chosen]

    def tiles(self, places: Int, edges: Int) -> Float:
        """Sum up in tiles: class k stands at ``places[k]``, and runs begin at `edges`; shape (T, T)."""
        tile = np.searchsorted(edges, places[self.pairs], side="right") - 1
        size = edges.size - 1
        tiles = np.bincount(tile[:, 0] * size + tile[:, 1], self.counts, minlength=size * size)
        return tiles.astype(np.float64).reshape(size, size)
