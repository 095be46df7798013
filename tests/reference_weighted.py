"""The oracle for sample weights, other means and layers: textbook formulas in two passes, each sample counted w times.

Nothing here imports the package under test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reference import EPS, Array, Wide, widen


@dataclass(frozen=True)
class Weighted:
    """Statistics of the classes that count something; rows of weight 0 are gone."""

    classes: Array  # (K,) labels, ascending
    masses: Array  # (K,) longdouble sums of weights
    rows: Array  # (K,)
    means: Array  # (K, d) longdouble
    deviations: Array  # (N, d) float64, sample minus its class mean
    owner: Array  # (N,) position in `classes`
    weights: Array  # (N,) longdouble

    @property
    def total(self) -> Any:
        return self.masses.sum()


def two_pass(features: Any, labels: Any, weights: Any) -> Weighted:
    weights, labels = np.asarray(weights).astype(Wide), np.asarray(labels)
    kept = np.flatnonzero(weights > 0)
    kept = kept[np.argsort(labels[kept], kind="stable")]
    w = weights[kept]
    classes, owner, rows = np.unique(labels[kept], return_inverse=True, return_counts=True)
    masses = np.array([w[owner == k].sum() for k in range(len(classes))])
    means, deviations = [], []
    for k in range(len(classes)):
        mine = widen(np.asarray(features)[kept[owner == k]])
        shifted = mine - mine[0]
        centre = (w[owner == k][:, None] * shifted).sum(axis=0) / masses[k]
        means.append(mine[0] + centre)
        deviations.append((shifted - centre).astype(np.float64))
    return Weighted(classes, masses, rows, np.array(means), np.concatenate(deviations), owner, w)


def squared_deviations(m: Weighted) -> Array:
    squares = m.weights * np.einsum("ij,ij->i", m.deviations, m.deviations)
    return np.array([squares[m.owner == k].sum() for k in range(len(m.classes))]).astype(np.float64)


def scatter(m: Weighted, per_row: Array | None = None) -> Array:
    """``sum_i w_i z_i z_i^T``, or with other weights."""
    w = m.weights if per_row is None else per_row
    rows = m.deviations * np.sqrt(w.astype(np.float64))[:, None]
    total = np.zeros((rows.shape[1],) * 2, dtype=Wide)
    for start in range(0, len(rows), 16):
        total += rows[start : start + 16].T @ rows[start : start + 16]
    return total.astype(np.float64)


def class_scatter(m: Weighted, k: int) -> Array:
    return scatter(m, np.where(m.owner == k, m.weights, 0))


def row_shares(m: Weighted, weighting: str) -> Array:
    """What each row counts in S_W."""
    if weighting == "class":
        return (m.weights / m.masses[m.owner] / len(m.classes)).astype(np.float64)
    return (m.weights / m.total).astype(np.float64)


def class_shares(m: Weighted, weighting: str) -> Array:
    """What each class counts in S_B."""
    if weighting == "sample":
        return (m.masses / m.total).astype(np.float64)
    return np.full(len(m.classes), 1 / len(m.classes))


def centred_means(m: Weighted, weighting: str) -> Array:
    share = m.masses if weighting == "sample" else np.ones(len(m.classes), dtype=Wide)
    shifted = m.means - m.means[0]
    return (shifted - (share[:, None] * shifted).sum(axis=0) / share.sum()).astype(np.float64)


def directions(m: Weighted, weighting: str) -> Array:
    """``S_B^(+1/2)`` as columns, at rank K-1 or less."""
    root = np.sqrt(class_shares(m, weighting))[:, None] * centred_means(m, weighting)
    _, s, basis = np.linalg.svd(root, full_matrices=False)
    rank = min(root.shape[1], len(m.classes) - 1, int((s > max(root.shape) * EPS * s[0]).sum()))
    return basis[:rank].T / s[:rank]


def between_trace(m: Weighted, weighting: str) -> float:
    return float(class_shares(m, weighting) @ (centred_means(m, weighting) ** 2).sum(axis=1))


def nc1_pinv(m: Weighted, weighting: str = "papyan") -> float:
    projected = m.deviations @ directions(m, weighting)
    return float(row_shares(m, weighting) @ (projected**2).sum(axis=1)) / len(m.classes)


def nc1_trace_ratio(m: Weighted, weighting: str = "papyan") -> float:
    return float(row_shares(m, weighting) @ (m.deviations**2).sum(axis=1)) / between_trace(m, weighting)


def pair_mean(variances: Array, means: Array) -> float:
    """Mean over pairs of ``(v_k + v_l) / (2 ||mu_k - mu_l||^2)``."""
    terms = []
    for k in range(len(means) - 1):
        gaps = (means[k + 1 :] - means[k]).astype(np.float64)
        terms.append((variances[k] + variances[k + 1 :]) / (2 * (gaps**2).sum(axis=1)))
    return float(np.concatenate(terms).mean())


def cdnv(m: Weighted) -> float:
    return pair_mean(squared_deviations(m) / m.masses.astype(np.float64), m.means)


def variability(m: Weighted, weighting: str = "papyan") -> dict[str, float]:
    return {
        "nc1_pinv": nc1_pinv(m, weighting),
        "nc1_trace_ratio": nc1_trace_ratio(m, weighting),
        "cdnv": cdnv(m),
    }


def nearest(features: Any, m: Weighted) -> Array:
    """Label of the nearest class mean for each row."""
    rows = widen(features)
    distances = np.stack([((rows - mean) ** 2).sum(axis=1) for mean in m.means], axis=1)
    return m.classes[distances.argmin(axis=1)]


def share(hit: Any, weights: Any) -> float:
    """What the rows that hit weigh, of all."""
    w = np.asarray(weights, dtype=np.float64)
    return float(w[np.asarray(hit)].sum() / w.sum())


def against(features: Any, labels: Any, weights: Any, train: Weighted, weighting: str) -> dict[str, float]:
    """NC1, CDNV, shift of means and NCC of samples about the class means of others."""
    test = two_pass(features, labels, weights)
    at = np.searchsorted(train.classes, test.classes)
    gaps = (test.means - train.means[at]).astype(np.float64)
    about = test.deviations + gaps[test.owner]
    shares, apart = row_shares(test, weighting), between_trace(train, weighting)
    squares = test.weights.astype(np.float64) * (about**2).sum(axis=1)
    v = np.array([squares[test.owner == k].sum() for k in range(len(test.classes))]) / test.masses.astype(np.float64)
    kept = np.asarray(weights) > 0
    rows = np.asarray(features)[kept]
    scale = between_trace(train, "class")
    moved = (gaps**2).sum(axis=1)
    return {
        "nc1_pinv": float(shares @ ((about @ directions(train, weighting)) ** 2).sum(axis=1)) / len(train.classes),
        "nc1_trace_ratio": float(shares @ (about**2).sum(axis=1)) / apart,
        "cdnv": pair_mean(v, train.means[at]),
        "nc1_mean_shift": float(np.sqrt(moved.mean() / scale)),
        "nc1_mean_shift_max": float(np.sqrt(moved.max() / scale)),
        "ncc_accuracy": share(nearest(rows, train) == np.asarray(labels)[kept], np.asarray(weights)[kept]),
    }
