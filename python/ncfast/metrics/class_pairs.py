"""Which classes have not collapsed: CDNV by class and by pair."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .._choices import as_count
from .._frame import unit_power, warn_degenerate
from ..statistics import ClassStatistics
from ._points import distance_bands, upper_mask
from .variability import centred_means, class_sweep, require_two_classes

Float = NDArray[np.float64]
Int = NDArray[np.int64]


def cdnv_per_class(stats: ClassStatistics) -> Float:
    """Class-distance normalised variance of each class: its mean over the pairs with every other class.

    Parameters
    ----------
    stats : ClassStatistics
        A scatter is not needed.

    Returns
    -------
    ndarray of float64, shape (K,)
        Their mean is `cdnv`. nan for classes without samples; infinite, with a RuntimeWarning, for a class
        whose mean coincides with another's.

    References
    ----------
    Galanti, Gyorgy, Hutter, "On the role of neural collapse in transfer learning", ICLR 2022.
    """
    require_two_classes(stats)
    ratios = class_sweep(stats).cdnv_per_class
    if np.isinf(ratios).any():
        warn_degenerate("two class means coincide: their CDNV is infinite")
    values = np.full(stats.num_classes, np.nan)
    values[stats.present] = ratios
    return values


def worst_pairs(stats: ClassStatistics, count: int) -> tuple[Int, Float]:
    """Return the pairs of classes with the largest CDNV: the least collapsed, or hardest to tell apart.

    Parameters
    ----------
    stats : ClassStatistics
        A scatter is not needed. Classes without samples are left out.
    count : int
        How many pairs, at least 1; all there are if there are fewer.

    Returns
    -------
    pairs : ndarray of int64, shape (count, 2)
        Classes k < l. Pairs with equal values come in the order of k, then l.
    values : ndarray of float64, shape (count,)
        Their CDNV, falling; infinite, with a RuntimeWarning, where two means coincide.

    References
    ----------
    Galanti, Gyorgy, Hutter, "On the role of neural collapse in transfer learning", ICLR 2022.
    """
    wanted = as_count("count", count, 1)
    pairs, values = np.empty((0, 2), dtype=np.int64), np.empty(0)
    require_two_classes(stats)
    # The classes of the wanted pairs are among those that have the largest ratios of their own: every class can
    # share its largest with one other.
    largest = class_sweep(stats).largest_ratios
    last = max(largest.size - 2 * wanted, 0)
    candidates = np.flatnonzero(largest >= np.partition(largest, last)[last])
    for first, band in cdnv_bands(stats, candidates):
        height, width = band.shape
        flat = np.where(upper_mask(height, width), band, -1.0).reshape(-1)
        best = _largest(flat, wanted)
        best = best[flat[best] >= 0.0]
        found = np.stack([first + best // width, first + best % width], axis=1)
        values = np.concatenate([values, flat[best]])
        pairs = np.concatenate([pairs, found])
        kept = _largest(values, wanted)
        pairs, values = pairs[kept], values[kept]
    if np.isinf(values).any():
        warn_degenerate("two class means coincide: their CDNV is infinite")
    return np.flatnonzero(stats.present)[candidates[pairs]], values


def _largest(values: Float, count: int) -> Int:
    """Positions of the largest values, falling; equal ones in order of position."""
    if values.size > count:
        least = np.partition(values, values.size - count)[values.size - count]
        above = np.flatnonzero(values > least)
        chosen = np.concatenate([above, np.flatnonzero(values == least)[: count - above.size]])
        chosen.sort()
    else:
        chosen = np.arange(values.size)
    order: Int = chosen[np.argsort(-values[chosen], kind="stable")]
    return order


def cdnv_bands(stats: ClassStatistics, chosen: Int) -> Iterator[tuple[int, Float]]:
    """Yield ``(first, CDNV of pairs)`` over upper bands of chosen classes with samples; 0 where k >= l."""
    variances = stats.squared_deviations[stats.present] / stats.counts[stats.present]
    centred = centred_means(stats)
    scale = unit_power(float(np.abs(centred).max()))
    variances = variances[chosen] * scale * scale
    for first, squared in distance_bands(np.ascontiguousarray(centred[chosen]) * scale):
        height, width = squared.shape
        above = upper_mask(height, width)
        values = np.zeros(squared.shape)
        spreads = variances[first : first + height, None] + variances[None, first:]
        np.divide(spreads, 2.0 * squared, out=values, where=above & (squared > 0))
        values[above & (squared <= 0)] = np.inf
        yield first, values
