"""Vectors in an order that puts similar ones side by side, and their cosines summed up in tiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]

_COORDINATES = 32
_SWEEPS = 4
_LEAF = 8


def similarity_order(directions: Float) -> Int:
    """Return an order of the rows of `directions` (K, d), unit vectors or zero, in which similar ones are neighbours.

    The rows are split in two by the sign along their principal direction (Boley, 1998), the parts refined as two
    means, and so are the parts in turn, down to a few rows that are sorted along theirs. Cost and memory are those of
    K vectors, not of K^2 pairs.
    """
    points = _principal_coordinates(directions)
    order: list[Int] = []
    waiting = [(np.arange(points.shape[0]), np.ones(points.shape[1]))]
    while waiting:
        rows, towards = waiting.pop()
        part = points[rows] - points[rows].mean(axis=0)
        direction = np.linalg.eigh(part.T @ part)[1][:, -1]
        direction = direction if direction @ towards >= 0 else -direction
        along = part @ direction
        is_second = along >= 0
        if rows.size <= _LEAF or is_second.all():
            order.append(rows[np.argsort(along, kind="stable")])
        else:  # a stack: what is pushed last comes next
            is_second = _two_means(part, is_second)
            waiting += [(rows[is_second], direction), (rows[~is_second], direction)]
    return np.concatenate(order)


def _two_means(points: Float, is_second: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Move points to the nearer of the means of two parts, a few times; neither part becomes empty."""
    for _ in range(_SWEEPS):
        first, second = points[~is_second].mean(axis=0), points[is_second].mean(axis=0)
        moved = (points - (first + second) / 2) @ (second - first) >= 0
        if moved.all() or not moved.any():
            break
        is_second = moved
    return is_second


def _principal_coordinates(directions: Float) -> Float:
    """Coordinates along the leading right singular vectors, by a few sweeps from a fixed random start."""
    k, d = directions.shape
    points = np.random.default_rng(0).standard_normal((k, min(_COORDINATES, k, d)))
    for _ in range(_SWEEPS):
        np.matmul(directions, np.linalg.qr(directions.T @ points)[0], out=points)
    return points


def tile_edges(count: int, tiles: int) -> Int:
    """Cut `count` rows into at most `tiles` runs of about equal length; return where they begin, and the end."""
    return np.linspace(0, count, min(count, tiles) + 1).round().astype(np.int64)


def cosine_tiles(directions: Float, edges: Int) -> Float:
    """Mean cosine between the rows of each two runs, shape (T, T); nan where there is none.

    A vector's cosine with itself does not count, but for runs of a single vector, where it is 1. Sums of cosines are
    products of sums of unit vectors: no K x K matrix is formed.
    """
    sums = np.add.reduceat(directions, edges[:-1], axis=0)
    real = np.add.reduceat((directions != 0).any(axis=1).astype(np.float64), edges[:-1])
    totals, pairs = sums @ sums.T, np.outer(real, real)
    several = np.flatnonzero(real > 1)
    totals[several, several] -= real[several]
    pairs[several, several] -= real[several]
    cosines = np.full_like(totals, np.nan)
    np.divide(totals, pairs, out=cosines, where=pairs > 0)
    np.clip(cosines, -1.0, 1.0, out=cosines)
    return cosines
