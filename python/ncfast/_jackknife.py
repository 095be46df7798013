"""Standard errors over classes by the jackknife: each class left out once, without measuring again."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from . import _core, metrics
from ._frame import unit_power
from ._subject import Subject
from .metrics._within import pooled_by
from .statistics import ClassStatistics

Float = NDArray[np.float64]
_BAND_VALUES = 4 << 20
_SINGULAR = 1e-9
_MOST_OPERATIONS = 1e10


def standard_errors(subject: Subject, values: dict[str, float]) -> dict[str, float]:
    """Return ``((K-1)/K sum_k (v_k - mean)^2)^(1/2)`` with v_k the value without class k, of K >= 3 classes.

    They say how much a value depends on which classes happen to be there. Costs, by what leaving a class out changes:

    - ``nc1_trace_ratio``, ``cdnv``, ``nc2_equinorm_weights``: O(K) from sums over classes.
    - ``nc2_equinorm_means``: O(K^2 d), for every norm changes with the global mean.
    - ``nc1_pinv``: O(K r^2 + d^2 r), r the rank of S_B, whose pseudo-inverse is updated. Without scatters by class
      (``Accumulator(..., scatter="class")``), each class is taken to have its own amount of spread in the shape of the
      pooled scatter, which is all that is known.
    - ``nc1_svd_ratio``, ``vci``: O(K d^3), measured again without each class, with the scatter as for ``nc1_pinv``;
      none if K d^3 is above 10^10.

    Other metrics have none, nor have those three without a scatter or under ``conventions="zhu"``.
    """
    find = {
        "nc1_pinv": _pinv,
        "nc1_svd_ratio": lambda subject: _measured_again(subject, metrics.nc1_svd_ratio),
        "vci": lambda subject: _measured_again(subject, metrics.vci),
        "nc1_trace_ratio": _trace_ratio,
        "cdnv": _cdnv,
        "nc2_equinorm_means": _equinorm_means,
        "nc2_equinorm_weights": _equinorm_weights,
    }
    errors: dict[str, float] = {}
    for key in values:
        without = find[key](subject) if key in find and subject.k > 2 and np.isfinite(values[key]) else None
        if without is not None and np.isfinite(without).all():
            errors[key] = float(np.sqrt((subject.k - 1) * np.var(without)))
    return errors


def _masses(subject: Subject, weighting: str) -> Float:
    """Return what each class counts in S_B or in the global mean."""
    return subject.counts.astype(np.float64) if weighting == "sample" else np.ones(subject.k)


def _scaled(vectors: Float) -> tuple[Float, float]:
    """Bring vectors near length 1 by a power of two, which keeps their squares in range."""
    scale = unit_power(float(np.abs(vectors).max()))
    return vectors * scale, scale


def _within_without(subject: Subject) -> Float:
    """``Tr S_W`` without each class."""
    squares = subject.stats.squared_deviations[subject.stats.present]
    counts = subject.counts
    if subject.weighting == "class":
        return _others(squares / counts) / (subject.k - 1)
    return _others(squares) / _others(counts)


def _others(values: NDArray[np.generic]) -> Float:
    """Sum of all but each."""
    rest: Float = values.sum() - np.asarray(values, dtype=np.float64)
    return rest


def _trace_ratio(subject: Subject) -> Float | None:
    if subject.conventions.weighting == "zhu":
        return None
    masses = _masses(subject, subject.weighting)
    centred, scale = _scaled(subject.centred)
    norms = np.einsum("kd,kd->k", centred, centred)
    rest = _others(masses)
    # The others' mean moves away from the class left out.
    between = (float(masses @ norms) - masses * norms * masses.sum() / rest) / rest
    ratios: Float = _within_without(subject) * scale * scale / between
    return ratios


def _cdnv(subject: Subject) -> Float:
    sums = subject.cdnv_per_class * (subject.k - 1)
    pairs: Float = (sums.sum() / 2 - sums) / ((subject.k - 1) * (subject.k - 2) / 2)
    return pairs


def _equinorm_weights(subject: Subject) -> Float:
    norms = np.linalg.norm(_scaled(subject.weights)[0], axis=1)
    gaps = norms - norms.mean()
    squares = float(gaps @ gaps) - gaps**2 * subject.k / (subject.k - 1)
    spread = np.sqrt(np.maximum(squares, 0.0) / (subject.k - 1 - subject.conventions.norms_ddof))
    return np.asarray(spread / (norms.mean() - gaps / (subject.k - 1)))


def _equinorm_means(subject: Subject) -> Float:
    k, (centred, _) = subject.k, _scaled(subject.centred)
    masses = _masses(subject, subject.centring)
    moves = masses / _others(masses)  # the others move by this part of the class left out
    norms = np.einsum("kd,kd->k", centred, centred)
    result = np.empty(k)
    for rows in np.array_split(np.arange(k), -(-k * k // _BAND_VALUES)):
        products = _core.cross_gram(centred[rows], centred)
        move = moves[rows, None]
        squares = norms + 2.0 * move * products + move**2 * norms[rows, None]
        lengths = np.sqrt(np.maximum(squares, 0.0))
        others = np.ones(lengths.shape, dtype=bool)
        others[np.arange(rows.size), rows] = False
        lengths = lengths[others].reshape(rows.size, k - 1)
        result[rows] = lengths.std(axis=1, ddof=subject.conventions.norms_ddof) / lengths.mean(axis=1)
    return result


def _has_scatter(subject: Subject) -> bool:
    return subject.stats.pooled is not None and subject.conventions.weighting != "zhu" and subject.has_pooled_weights


def _measured_again(subject: Subject, metric: Callable[..., float]) -> Float | None:
    stats = subject.stats
    if not _has_scatter(subject) or subject.k * stats.num_features**3 > _MOST_OPERATIONS:
        return None
    labels = stats.labels[stats.present]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # degenerate without a class: the value says so
        without = [metric(_select(stats, labels[labels != label]), weighting=subject.weighting) for label in labels]
    return np.array(without)


def _select(stats: ClassStatistics, labels: NDArray[np.int64]) -> ClassStatistics:
    """Return the statistics of some classes, to which a pooled scatter goes by their share of the spread."""
    if stats.class_pooled is not None:
        return stats.select(labels)
    rest = stats.select(labels, scatter=False)
    share = rest.squared_deviations.sum() / stats.squared_deviations.sum()
    about_pivots = stats.scatter * share
    _core.rank_update(rest.sums, 1.0, about_pivots, 1.0 / np.sqrt(rest.counts))
    return replace(rest, pooled=about_pivots)


def _pinv(subject: Subject) -> Float | None:
    if not _has_scatter(subject):
        return None
    stats, between = pooled_by(subject.stats, subject.weighting), subject.between
    masses = _masses(subject, subject.weighting)
    centred, scale = _scaled(subject.centred)
    basis = between.basis
    # A = M S_B = sum_k m_k c_k c_k^T along its eigenvectors; leaving out a class takes alpha c c^T away.
    eigenvalues = (between.values * scale) ** 2 * masses.sum()
    coordinates = _core.cross_gram(centred, basis.T)
    update = _Update(eigenvalues, coordinates, masses * masses.sum() / _others(masses))
    traces = update.traces(_along(stats.scatter, basis))
    squares = stats.squared_deviations[stats.present]
    if stats.class_pooled is None:
        traces = traces * (_others(squares) / squares.sum())
    else:
        own = [
            update.traces(_along(stats.class_scatter(int(k)), basis), i)[0]
            for i, k in enumerate(np.flatnonzero(stats.present))
        ]
        traces = traces - np.array(own)
    result: Float = traces * scale * scale * _others(masses) / _others(stats.counts[stats.present])
    return result / (subject.k - 1) if subject.conventions.per_class else result


def _along(scatter: Float, basis: Float) -> Float:
    """``V^T S V``."""
    half = _core.cross_gram(scatter, basis.T)
    return _core.cross_gram(basis.T, half.T)


class _Update:
    """``Tr(S (A - alpha_k c_k c_k^T)^+)`` for each k, in the eigenvectors of A.

    With ``u = A^+ c``: as long as ``alpha c^T u < 1`` the inverse gains ``alpha u u^T / (1 - alpha c^T u)``. At 1 the
    direction u leaves the range, as it does wherever the means are affinely independent, and the pseudo-inverse becomes
    ``Q A^+ Q`` with ``Q = I - u u^T / ||u||^2`` (Meyer 1973).
    """

    def __init__(self, eigenvalues: Float, coordinates: Float, alpha: Float) -> None:
        self._eigenvalues = eigenvalues
        self._u = coordinates / eigenvalues
        self._alpha = alpha
        self._gap = 1.0 - alpha * np.einsum("kr,kr->k", coordinates, self._u)

    def traces(self, scatter: Float, only: int | None = None) -> Float:
        """For every class left out, or for one; `scatter` (r, r) is ``V^T S V``."""
        part = slice(None) if only is None else slice(only, only + 1)
        u, alpha, gap = self._u[part], self._alpha[part], self._gap[part]
        su = _core.cross_gram(u, scatter)
        along = np.einsum("kr,kr->k", u, su)
        gained = alpha * along / np.where(gap > _SINGULAR, gap, 1.0)
        square = np.einsum("kr,kr->k", u, u)
        au = u / self._eigenvalues
        lost = np.einsum("kr,kr->k", u, au) * along / square**2 - 2.0 * np.einsum("kr,kr->k", su, au) / square
        total = float(np.sum(np.diagonal(scatter) / self._eigenvalues))
        return np.asarray(total + np.where(gap > _SINGULAR, gained, lost))
