"""What rounding the features alone would give: the floor below which a spread says nothing of the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._lapack import singular_values
from ._subject import Subject
from .metrics._within import sample_shares
from .statistics import ClassStatistics

Float = NDArray[np.float64]

_FORMATS = {"float16": (10, -14), "bfloat16": (7, -126), "float32": (23, -126), "float64": (52, -1022)}
"""Bits after the point, and the exponent of the smallest normal number."""

_NEAR = 2.0
"""A value up to this many times its floor lies at it: half of it or more may be rounding."""


def noise_floors(subject: Subject, values: dict[str, float]) -> dict[str, float]:
    """Return the floor of each spread in `values`: what it would be if all spread within classes were rounding.

    Storing x in a format with p bits after the point moves it to a multiple of the spacing
    ``q = 2^(floor(log2 |x|) - p)`` of numbers of its size. As long as the samples of a class differ by about q or
    more, the errors are independent and uniform in [-q/2, q/2], of variance ``q^2/12``. (With the unit roundoff
    ``u = 2^-(p+1)`` that is ``(u 2^floor(log2 |x|))^2 / 3``, between ``u^2 x^2 / 12`` and ``u^2 x^2 / 3``.) So rounding
    adds to the covariance of class k a diagonal matrix ``E_k`` of these variances; the size of an entry is taken as
    ``(mu_kj^2 + v_k/d)^(1/2)``. Deviations from the class's own mean keep ``1 - 1/n_k`` of it. The floor of a metric
    is its value with that in place of the spread, S_B as measured:

    - ``nc1_trace_ratio`` and ``cdnv``, and ``nc1_pinv`` as ``sum_r (sum_j E_j b_jr^2) / lambda_r / K`` with E pooled
      over the classes, directions b_r and eigenvalues lambda_r of S_B: exact.
    - ``nc1_svd_ratio``: the r largest of E, raised by ``(1 + (d'/(N-K))^(1/2))^2``, by which the leading eigenvalues
      of N-K random samples exceed those of their distribution, d' its trace over the mean of the r; at most the trace.
    - ``vci``: with E for S_W, lowered by ``(N-K-d+r)/(N-K)``, by which the inverse of a sample covariance is too
      large.

    Samples that agree to less than a spacing may all round alike: then a value lies below its floor, and says as
    little. Of features of mixed or unknown dtype nothing is known, nor of a value that is not finite.
    """
    known = {"nc1_pinv", "nc1_trace_ratio", "nc1_svd_ratio", "cdnv", "vci"}
    wanted = [key for key in values if key in known and np.isfinite(values[key])]
    if not wanted or subject.stats.feature_dtype not in _FORMATS:
        return {}
    rounding = _rounding(subject.stats, subject.weighting)
    find = {
        "nc1_pinv": _pinv,
        "nc1_trace_ratio": _trace_ratio,
        "nc1_svd_ratio": _pinv if subject.conventions.svd_is_pinv else _svd_ratio,
        "cdnv": _cdnv,
        "vci": _vci,
    }
    return {key: find[key](subject, rounding) for key in wanted}


def at_floor(values: dict[str, float], floors: dict[str, float]) -> tuple[str, ...]:
    """Keys whose value rounding alone could explain: no more than twice the floor."""
    return tuple(key for key, floor in floors.items() if values[key] <= _NEAR * floor)


@dataclass(frozen=True)
class Rounding:
    """Variances that rounding adds: mean squared deviation by class (K,), and diagonal of S_W (d,)."""

    by_class: Float
    by_feature: Float


def _rounding(stats: ClassStatistics, weighting: str) -> Rounding:
    kept = 1.0 - 1.0 / np.maximum(stats.rows, 1)  # about the class's own mean
    shares = sample_shares(stats, weighting) * stats.counts * kept
    assert stats.feature_dtype is not None
    bits, least = _FORMATS[stats.feature_dtype]
    spreads = stats.squared_deviations / np.where(stats.present, stats.counts, 1) / stats.num_features
    there = stats.present
    by_class = np.zeros(stats.num_classes)
    by_class[there], by_feature = _core.rounding(
        stats.present_means,
        spreads[there],
        shares[there],
        least=np.ldexp(1.0, max(2 * least, -1022)),
        unit=np.ldexp(1.0 / 12.0, -2 * bits),  # q^2/12 of the least number of its size, squared
    )
    return Rounding(by_class * kept, by_feature)


def _trace_ratio(subject: Subject, rounding: Rounding) -> float:
    return subject.over_between(float(rounding.by_feature.sum()))


def _cdnv(subject: Subject, rounding: Rounding) -> float:
    return subject.cdnv_of(rounding.by_class[subject.stats.present])


def _pinv(subject: Subject, rounding: Rounding) -> float:
    between = subject.between
    ratios = between.inverse_root * np.sqrt(rounding.by_feature)
    return subject.nc1_scaled(float(np.einsum("rd,rd->", ratios, ratios)) / subject.k)


def _svd_ratio(subject: Subject, rounding: Rounding) -> float:
    between = subject.between
    shares = np.sort((np.sqrt(rounding.by_feature) / between.values[0]) ** 2)[::-1]
    top, total = shares[: between.values.size], shares.sum()
    leading = top.sum() * (1.0 + np.sqrt(total / top.mean() / _freedom(subject))) ** 2
    return float(min(leading, total) / np.sum((between.values / between.values[0]) ** 2))


def _vci(subject: Subject, rounding: Rounding) -> float:
    between = subject.between
    rank = between.values.size
    kept = (_freedom(subject) - subject.d + rank) / _freedom(subject)
    if kept <= 0:
        return 0.0
    least = np.maximum(np.sqrt(rounding.by_feature), np.finfo(np.float64).tiny)
    roots = singular_values(between.basis * between.values / least[:, None])
    return float(np.sum(1.0 / (1.0 + roots**2 / kept))) / rank


def _freedom(subject: Subject) -> int:
    return max(subject.stats.num_rows - subject.k, 1)
