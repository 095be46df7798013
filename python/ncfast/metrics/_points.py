"""Distances between points, band by band, right also for points that nearly coincide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .._frame import unit_power, warn_degenerate
from ._pairs import upper_bands

Float = NDArray[np.float64]
_CLOSE = 1e-4
_CHUNK_VALUES = 1 << 20


def unit_rows(frame: Float) -> Float | None:
    """Rows at unit length; None, with a warning, when one is zero and has no direction."""
    scaled = frame * unit_power(float(np.abs(frame).max()))
    # Each row by a power of two of its own: its squares stay in range however short it is among the others.
    _, exponents = np.frexp(np.abs(scaled).max(axis=1))
    scaled = np.ldexp(scaled, -exponents[:, None])
    norms = np.linalg.norm(scaled, axis=1)
    if norms.min() == 0:
        warn_degenerate(f"vector {int(np.argmin(norms))} of the frame is zero: it has no direction")
        return None
    unit: Float = scaled / norms[:, None]
    return unit


def distance_bands(points: Float) -> Iterator[tuple[int, Float]]:
    """Yield ``(first, squared distances)`` over upper bands; entries k >= l mean nothing.

    Norms minus products lose the digits of close pairs: those are taken from their difference instead.
    """
    norms = np.einsum("kd,kd->k", points, points)
    for first, products in upper_bands(points):
        height, width = products.shape
        sums = norms[first : first + height, None] + norms[None, first:]
        squared = np.subtract(sums, 2.0 * products, out=products)
        sums *= _CLOSE
        close = np.flatnonzero((squared < sums) & upper_mask(height, width))
        step = max(1, _CHUNK_VALUES // points.shape[1])
        for start in range(0, close.size, step):
            pairs = close[start : start + step]
            gaps = points[first + pairs // width] - points[first + pairs % width]
            squared.reshape(-1)[pairs] = np.einsum("pd,pd->p", gaps, gaps)
        yield first, squared


def upper_mask(height: int, width: int) -> NDArray[np.bool_]:
    """Which entries of an upper band are pairs k < l."""
    mask: NDArray[np.bool_] = np.arange(height)[:, None] < np.arange(width)[None, :]
    return mask
