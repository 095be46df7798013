"""NC1 through eigenvalues: the ratio of leading ones, and the variability collapse index."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._choices import as_choice
from .._frame import warn_degenerate
from .._lapack import singular_values, svd
from ..statistics import ClassStatistics
from ._within import pooled_by, within_factor
from .variability import BetweenClass, between_class, require_two_classes

Float = NDArray[np.float64]


def nc1_svd_ratio(stats: ClassStatistics, *, weighting: str = "papyan") -> float:
    """NC1 as the r largest eigenvalues of S_W over those of S_B, ``r = rank S_B``.

    ``sum_{j<=r} lambda_j(S_W) / Tr S_B``: `nc1_trace_ratio` with S_W cut to as many directions as S_B has,
    its own largest ones. It lies between ``Tr(B^T S_W B) / Tr S_B``, B the directions of S_B, and
    `nc1_trace_ratio`.

    Parameters
    ----------
    stats : ClassStatistics
        With a scatter. Classes without samples are left out.
    weighting : {"papyan", "class", "sample"}
        As in `nc1_pinv`.

    Returns
    -------
    float
        0 in full collapse. When the class means coincide, with a RuntimeWarning: infinite, or nan without
        any spread.

    Raises
    ------
    ValueError
        As in `nc1_pinv`.

    Notes
    -----
    The ``svd`` metric of the package ``neural_collapse`` is another quantity: ``Tr(S_W S_B^+) / K`` with
    the pseudo-inverse from the K-1 leading singular vectors, which is `nc1_pinv` (there it needs K-1 < d).

    References
    ----------
    Wu, Papyan, "Linguistic collapse: neural collapse in (large) language models", NeurIPS 2024, whose
    package names the metric.
    """
    between = _checked(stats, weighting)
    within, _ = within_factor(pooled_by(stats, weighting))
    rank = between.values.size
    if rank == 0:
        warn_degenerate("the class means coincide (S_B = 0): NC1 is infinite, or undefined without any spread")
        return np.inf if within.size else np.nan
    largest = between.values[0]
    return float(np.sum((within[:rank] / largest) ** 2) / np.sum((between.values / largest) ** 2))


def vci(stats: ClassStatistics, *, weighting: str = "papyan") -> float:
    """Variability collapse index: ``1 - Tr(S_T^+ S_B) / rank S_B`` with ``S_T = S_W + S_B``.

    Computed without that cancellation, as the mean of ``1 / (1 + a)`` over the ``r = rank S_B`` eigenvalues
    a of ``S_W^+ S_B``. A direction of S_B outside the range of S_W has no spread at all: a is infinite
    there and it counts 0, which is the limit, and what ``S_T^+`` gives.

    Parameters
    ----------
    stats : ClassStatistics
        With a scatter. Classes without samples are left out. The index sees the smallest eigenvalues of
        S_W: collect float32 features with ``precision="double"`` when those span more than six decades.
    weighting : {"papyan", "class", "sample"}
        As in `nc1_pinv`.

    Returns
    -------
    float
        0 in full collapse, 1 without any; the same for features under any invertible linear map. When the
        class means coincide, with a RuntimeWarning: 1, or nan without any spread.

    Raises
    ------
    ValueError
        As in `nc1_pinv`.

    References
    ----------
    Xu, Liu, "Quantifying the variability collapse of neural networks", ICML 2023.
    """
    between = _checked(stats, weighting)
    within, axes = within_factor(pooled_by(stats, weighting))
    rank = between.values.size
    if rank == 0:
        warn_degenerate("the class means coincide (S_B = 0): VCI is 1, or undefined without any spread")
        return 1.0 if within.size else np.nan
    inside = _inside_range(between, within, axes)
    if inside.shape[1] == 0:
        return 0.0
    roots = singular_values(inside / within[:, None])
    return float(np.sum(1.0 / (1.0 + roots**2))) / rank


def _checked(stats: ClassStatistics, weighting: str) -> BetweenClass:
    as_choice("weighting", weighting)
    require_two_classes(stats)
    return between_class(stats, weighting)


def _inside_range(between: BetweenClass, within: Float, axes: Float) -> Float:
    """Coordinates along `axes` of what S_B^(1/2) leaves in the range of S_W, one column per direction."""
    d, rank = between.basis.shape
    if within.size == 0:
        return np.empty((0, 0))
    factor = np.ascontiguousarray((between.basis * between.values).T)
    along = _core.cross_gram(axes, factor)
    if within.size == d:
        return along
    outside = factor - _core.cross_gram(along.T, axes.T)
    # The smaller the last eigenvalue that counts, the less rounding leaves known of the range.
    doubt = d * float(np.finfo(np.float64).eps) * float((within[0] / within[-1]) ** 2)
    left, values, _ = svd(outside)
    missed = int(np.count_nonzero(values > min(doubt, 1.0) * between.values[0]))
    return _core.cross_gram(along, left[:, missed:].T) if missed < rank else np.empty((d, 0))
