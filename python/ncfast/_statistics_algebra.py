"""What can be done with class statistics without the features: merge them, select and reweight classes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._labels import SKIPPED, as_class_list, positions_of

if TYPE_CHECKING:
    from .statistics import ClassStatistics

Float = NDArray[np.float64]
NOT_GIVEN = np.empty(0, dtype=np.int64)
"""In place of rows: those that the counts are."""
_SPLIT = (
    "the pooled scatter cannot be split by class; collect it with Accumulator(..., scatter='class'),"
    " or do without it (scatter=False)"
)


def merge(ours: ClassStatistics, theirs: ClassStatistics) -> ClassStatistics:
    """Return the statistics of both sets of samples together."""
    _require_match(ours, theirs)
    # Classes keep our pivot; those we have not seen take theirs.
    pivots = np.where(ours.present[:, None], ours.pivots, theirs.pivots)
    shift = np.where(theirs.present[:, None], theirs.pivots - pivots, 0.0)
    n = theirs.counts[:, None].astype(np.float64)
    return type(ours)(
        counts=ours.counts + theirs.counts,
        pivots=pivots,
        sums=ours.sums + theirs.sums + n * shift,
        square_sums=ours.square_sums + theirs.square_sums + np.einsum("kd,kd->k", shift, 2.0 * theirs.sums + n * shift),
        **_merged_scatters(ours, theirs, shift),
        feature_dtype=_merged_dtype(ours.feature_dtype, theirs.feature_dtype),
        rows=ours.rows + theirs.rows if ours.weighted or theirs.weighted else NOT_GIVEN,
        chosen=ours.chosen,
    )


def _merged_scatters(ours: ClassStatistics, theirs: ClassStatistics, shift: Float) -> dict[str, Float]:
    if ours.pooled is None or theirs.pooled is None:
        return {}
    # s t^T + t s^T + n t t^T = n (t + s/n)(t + s/n)^T - s s^T / n: two symmetric updates.
    root = np.sqrt(np.where(theirs.present, theirs.counts, 1.0))[:, None]
    added, removed = root * shift + theirs.sums / root, theirs.sums / root
    if ours.class_pooled is not None and theirs.class_pooled is not None:
        by_class = ours.class_pooled + theirs.class_pooled
        for k in np.flatnonzero(shift.any(axis=1)):
            by_class[k] += np.multiply.outer(added[k], added[k]) - np.multiply.outer(removed[k], removed[k])
        return {"class_pooled": by_class}
    pooled = ours.pooled + theirs.pooled
    _core.rank_update(added, 1.0, pooled)
    _core.rank_update(removed, -1.0, pooled)
    return {"pooled": _core.mirror(pooled)}


def _require_match(ours: ClassStatistics, theirs: ClassStatistics) -> None:
    if not isinstance(theirs, type(ours)):
        raise TypeError(f"other is a {type(theirs).__name__}; wanted ClassStatistics")
    if ours.pivots.shape != theirs.pivots.shape:
        raise ValueError(
            f"other has (classes, features) = {theirs.pivots.shape}; wanted {ours.pivots.shape} as in this one"
        )
    if (ours.labels != theirs.labels).any():
        k = int(np.flatnonzero(ours.labels != theirs.labels)[0])
        raise ValueError(
            f"other has the class of label {theirs.labels[k]} at position {k}; wanted {ours.labels[k]} as in this one"
        )
    if (ours.pooled is None) != (theirs.pooled is None):
        raise ValueError("other and this one must both carry a scatter, or neither")
    if (ours.class_pooled is None) != (theirs.class_pooled is None):
        raise ValueError("other and this one must both carry scatters by class, or neither")


def _merged_dtype(ours: str | None, theirs: str | None) -> str | None:
    if ours is None or theirs is None:
        return ours or theirs
    return ours if ours == theirs else "mixed"


def select(stats: ClassStatistics, classes: ArrayLike, *, scatter: bool) -> ClassStatistics:
    """Return the statistics of the listed classes."""
    wanted = as_class_list(classes)
    at = positions_of(wanted, stats.labels)
    if (at == SKIPPED).any():
        raise ValueError(f"classes holds {wanted[at == SKIPPED][0]}; wanted labels of these statistics")
    pooled = stats.pooled if scatter and stats.class_pooled is None else None
    if pooled is not None and stats.rows[at].sum() < stats.num_rows:
        raise ValueError(_SPLIT)
    return type(stats)(
        counts=stats.counts[at],
        pivots=stats.pivots[at],
        sums=stats.sums[at],
        square_sums=stats.square_sums[at],
        pooled=pooled,
        feature_dtype=stats.feature_dtype,
        class_pooled=stats.class_pooled[at] if scatter and stats.class_pooled is not None else None,
        rows=stats.rows[at] if stats.weighted else NOT_GIVEN,
        chosen=wanted,
    )


def reweight(stats: ClassStatistics, factors: ArrayLike) -> ClassStatistics:
    """Return the statistics in which the samples of each class count so many times what they did."""
    f = np.asarray(factors, dtype=np.float64)
    if f.shape != stats.counts.shape or not (np.isfinite(f) & (f > 0)).all():
        raise ValueError(f"factors has shape {f.shape}; wanted ({stats.num_classes},) positive finite numbers")
    pooled = None
    if stats.class_pooled is None and stats.pooled is not None:
        used = f[stats.present]
        if (used != used[:1]).any():
            raise ValueError(_SPLIT)
        pooled = stats.pooled * used[0] if used.size else stats.pooled
    return replace(
        stats,
        counts=stats.counts * f,
        sums=stats.sums * f[:, None],
        square_sums=stats.square_sums * f,
        pooled=pooled,
        class_pooled=None if stats.class_pooled is None else stats.class_pooled * f[:, None, None],
        rows=stats.rows,
    )
