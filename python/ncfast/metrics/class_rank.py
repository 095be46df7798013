"""How many directions the spread within each class fills."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._features import Features
from .._frame import unit_power, warn_degenerate
from .._labels import as_labels, as_num_classes, class_indices
from .._lapack import eigvalsh, singular_values
from ..statistics import ClassStatistics
from ._samples import finite_rows, read_samples

Float = NDArray[np.float64]


def class_numerical_rank(features: object, labels: object, num_classes: int, *, centred: bool = True) -> Float:
    """Numerical rank of each class's features, ``(||Z_k||_* / ||Z_k||_F)^2``.

    Between 1 and min(n_k, d): the number of singular values if they are equal. Classes are read one by
    one; memory beyond the input is O(n_k d).

    Parameters
    ----------
    features : array_like, shape (N, d)
        float16, bfloat16, float32 or float64.
    labels : array_like of int, shape (N,)
        Classes in [0, K).
    num_classes : int
        K.
    centred : bool, default True
        Whether Z_k are the features minus their class mean: the dimension of the spread. Otherwise as they
        are: then collapse brings the rank to 1, as common scripts report it.

    Returns
    -------
    ndarray of float64, shape (K,)
        nan for classes without samples, and, with a RuntimeWarning, for classes with no spread.

    References
    ----------
    Markou, Ajanthan, Gould, "Guiding neural collapse: optimising towards the nearest simplex equiangular
    tight frame", NeurIPS 2024, whose code takes features as they are.
    """
    source = read_samples(features)
    k = as_num_classes(num_classes)
    classes = class_indices(as_labels(labels, source.rows), k)
    return ranks_of(source, classes, k, centred=centred)


def ranks_of(
    source: Features,
    classes: NDArray[np.int64],
    num_classes: int,
    *,
    weights: Float | None = None,
    centred: bool = True,
) -> Float:
    """`class_numerical_rank` of checked features, rows counted as often as they weigh.

    Rows of a negative class are left out.
    """
    order = np.argsort(classes, kind="stable")
    ends = np.searchsorted(classes, np.arange(num_classes), side="right", sorter=order)
    starts = np.searchsorted(classes, np.arange(num_classes), side="left", sorter=order)
    ranks = np.full(num_classes, np.nan)
    for label in np.flatnonzero(starts < ends):
        rows = order[starts[label] : ends[label]]
        ranks[label] = _rank_of(source, rows, None if weights is None else weights[rows], centred=centred)
    flat = np.flatnonzero((starts < ends) & np.isnan(ranks))
    if flat.size:
        warn_degenerate(_flat(flat))
    return ranks


def class_numerical_rank_statistics(stats: ClassStatistics) -> Float:
    """`class_numerical_rank`, centred, from class statistics.

    Parameters
    ----------
    stats : ClassStatistics
        With scatters by class, ``Accumulator(..., scatter="class")``. The index sums square roots of
        eigenvalues: collect float32 features with ``precision="double"`` where small ones matter.

    Returns
    -------
    ndarray of float64, shape (K,)
        As in `class_numerical_rank`.

    Raises
    ------
    ValueError
        Without scatters by class.
    """
    ranks = np.full(stats.num_classes, np.nan)
    for k in np.flatnonzero(stats.present):
        scatter = stats.class_scatter(int(k))
        scatter *= unit_power(float(np.abs(scatter).max()))
        # No more eigenvalues than the rows allow: the rest is rounding.
        freedom = min(stats.num_features, int(stats.rows[k]) - 1)
        values = np.sqrt(np.maximum(eigvalsh(scatter)[::-1][:freedom], 0.0))
        squares = float(np.sum(values**2))
        if squares > 0:
            ranks[k] = float(np.sum(values)) ** 2 / squares
    flat = np.flatnonzero(stats.present & np.isnan(ranks))
    if flat.size:
        warn_degenerate(_flat(flat))
    return ranks


def mean_and_max(ranks: Float) -> tuple[float, float]:
    """Mean and largest of the ranks that are defined."""
    known = ranks[~np.isnan(ranks)]
    return (float(known.mean()), float(known.max())) if known.size else (np.nan, np.nan)


def _flat(classes: NDArray[np.int64]) -> str:
    return f"class {classes[0]} has no spread ({classes.size} such): its numerical rank is undefined"


def _rank_of(source: Features, rows: NDArray[np.int64], weights: Float | None, *, centred: bool) -> float:
    values = finite_rows(source.take(rows), rows)
    if centred:
        values = values - values[0]
        values -= np.average(values, axis=0, weights=weights)
    if weights is not None:
        values *= np.sqrt(weights / weights.max())[:, None]
    values = values * unit_power(float(np.abs(values).max()))
    singular = singular_values(values)
    squares = float(np.sum(singular**2))
    return float(np.sum(singular)) ** 2 / squares if squares > 0 else np.nan
