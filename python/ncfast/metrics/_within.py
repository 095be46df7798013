"""The within-class covariance as a factor, for what needs its inverse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._frame import unit_power
from .._lapack import eigh
from ..statistics import ClassStatistics

Float = NDArray[np.float64]


def sample_shares(stats: ClassStatistics, weighting: str) -> Float:
    """Return what a sample of weight 1 counts in S_W by class, shape (K,); 0 for classes without samples."""
    if weighting != "class":
        return np.where(stats.present, 1.0 / stats.num_samples, 0.0)
    shares = np.zeros(stats.num_classes)
    shares[stats.present] = 1.0 / stats.present.sum() / stats.counts[stats.present]
    return shares


def pooled_by(stats: ClassStatistics, weighting: str) -> ClassStatistics:
    """Return statistics whose pooled scatter counts samples as S_W does under this weighting.

    The pooled scatter counts samples alike; only scatters by class can make unequal classes count alike.
    """
    counts = stats.counts[stats.present]
    if weighting != "class" or (counts == counts[0]).all():
        return stats
    if stats.class_pooled is None:
        raise ValueError(
            "weighting='class' with unequal class counts needs each class's own scatter, which these statistics do"
            " not keep; collect them with Accumulator(..., scatter='class'), or use weighting='papyan' or 'sample'"
        )
    return stats.reweighted(np.divide(counts.max(), stats.counts, out=np.ones(stats.num_classes), where=stats.present))


def within_factor(stats: ClassStatistics) -> tuple[Float, Float]:
    """Return ``(values, axes)`` with ``S_W = sum_j values_j^2 axes_j axes_j^T``, every sample counting 1/N.

    `axes` (r, d) has orthonormal rows and `values` (r,) is positive and falls. The rank r is at most
    min(d, N - K); eigenvalues that rounding alone would give count as zero.
    """
    scatter = stats.scatter
    d = scatter.shape[0]
    scale = unit_power(float(np.abs(scatter).max()))
    squares, vectors = eigh(scatter * scale)
    noise = d * float(np.finfo(np.float64).eps) * float(squares[-1])
    freedom = stats.num_rows - int(stats.present.sum())
    rank = min(d, freedom, int(np.count_nonzero(squares > noise)))
    values = np.sqrt(squares[::-1][:rank]) / np.sqrt(scale * stats.num_samples)
    return values, np.ascontiguousarray(vectors[:, ::-1][:, :rank].T)
