"""What other codes compute, written anew in float64 from their definitions, under the keys of a report.

Nothing here imports the package under test.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def class_means(features: Array, labels: Array, k: int) -> Array:
    return np.stack([features[labels == c].mean(axis=0) for c in range(k)])


def within_covariance(features: Array, labels: Array, means: Array) -> Array:
    deviations = features - means[labels]
    return deviations.T @ deviations / len(features)


def inverse(between: Array, rank: int) -> Array:
    """Pseudo-inverse by the leading singular vectors."""
    left, values, _ = np.linalg.svd(between)
    return (left[:, :rank] / values[:rank]) @ left[:, :rank].T


def papyan(features: Array, labels: Array, weights: Array, bias: Array) -> dict[str, float]:
    """The analysis of Papyan, Han and Donoho's notebook (C classes, M its matrix of means)."""
    c = len(weights)
    m = class_means(features, labels, c).T
    centred = m - m.mean(axis=1, keepdims=True)
    norms, weight_norms = np.linalg.norm(centred, axis=0), np.linalg.norm(weights, axis=1)

    def coherence(unit: Array) -> float:
        gram = unit.T @ unit + 1 / (c - 1)
        np.fill_diagonal(gram, 0)
        return float(np.abs(gram).sum() / (c * (c - 1)))

    chosen = (features @ weights.T + bias).argmax(axis=1)
    nearest = np.linalg.norm(features[:, None, :] - m.T, axis=2).argmin(axis=1)
    difference = weights.T / np.linalg.norm(weights) - centred / np.linalg.norm(centred)
    between = centred @ centred.T / c
    return {
        "nc1_pinv": float(np.trace(within_covariance(features, labels, m.T) @ inverse(between, c - 1))),
        "nc2_equinorm_means": float(norms.std(ddof=1) / norms.mean()),
        "nc2_equinorm_weights": float(weight_norms.std(ddof=1) / weight_norms.mean()),
        "nc2_max_angle_means": coherence(centred / norms),
        "nc2_max_angle_weights": coherence(weights.T / weight_norms),
        "nc3_self_duality": float(np.linalg.norm(difference) ** 2),
        "nc4_disagreement": float(1 - (chosen == nearest).mean()),
    }


def papyan_loss(features: Array, labels: Array, weights: Array, bias: Array, weight_decay: float) -> dict[str, float]:
    """Its split of the squared loss, as the later notebook has it; equal counts."""
    c, wd = len(weights), weight_decay
    m = class_means(features, labels, c).T
    mean = m.mean(axis=1, keepdims=True)
    within = within_covariance(features, labels, m.T)
    total = within + (m - mean) @ (m - mean).T / c
    eye = np.eye(len(mean))
    best = 1 / c * (m.T - mean.T / (1 + wd)) @ np.linalg.inv(total + wd / (wd + 1) * mean @ mean.T + wd * eye)
    best_bias = (np.full(c, 1 / c) - (best @ mean)[:, 0]) / (1 + wd)
    moments = np.block([[total + mean @ mean.T + wd * eye, mean], [mean.T, np.full((1, 1), 1 + wd)]])
    change = np.column_stack([weights - best, bias - best_bias])
    return {
        "mse_nc1": float(np.trace(best @ (within + wd * eye) @ best.T) + wd * best_bias @ best_bias) / 2,
        "mse_nc23": float(np.linalg.norm(best @ m + best_bias[:, None] - np.eye(c)) ** 2) / c / 2,
        "mse_off_path": float(np.trace(change @ moments @ change.T)) / 2,
    }


def zhu(features: Array, labels: Array, weights: Array, bias: Array) -> dict[str, float]:
    """The validation script of Zhu et al., with the counts of the data at hand."""
    k = len(weights)
    target = (np.eye(k) - 1 / k) / np.sqrt(k - 1)
    means, centre = class_means(features, labels, k), features.mean(axis=0)
    h = (means - centre).T
    gram, cross = weights @ weights.T, weights @ h
    within = within_covariance(features, labels, means)
    return {
        "nc1_pinv": float(np.trace(within @ inverse(h @ h.T / k, k - 1))) / k,
        "nc2_etf_weights": float(np.linalg.norm(gram / np.linalg.norm(gram) - target)),
        "nc3_alignment_etf": float(np.linalg.norm(cross / np.linalg.norm(cross) - target)),
        "nc3_bias_alignment": float(np.linalg.norm(weights @ centre + bias)),
    }


def rhubarbwu(features: Array, labels: Array, weights: Array, outliers: Array) -> dict[str, float]:
    """The measurements in the documentation of the package neural_collapse; outliers are one class."""
    k = len(weights)
    means = class_means(features, labels, k)
    centred = means - means.mean(axis=0)
    between, within = centred.T @ centred / k, within_covariance(features, labels, means)
    target = (np.eye(k) - 1 / k) / np.sqrt(k - 1)
    pairs = list(combinations(range(k), 2))
    variances = [float(((features[labels == c] - means[c]) ** 2).sum(axis=1).mean()) for c in range(k)]
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    distances = np.array([np.linalg.norm(unit[i] - unit[j]) for i, j in pairs])
    gram, cross = centred @ centred.T, weights @ centred.T
    away = outliers.mean(axis=0)
    cosines = means @ away / np.linalg.norm(means, axis=1) / np.linalg.norm(away)
    pinv = float(np.trace(inverse(between, k - 1) @ within)) / k
    return {
        "nc1_pinv": pinv,
        "nc1_svd_ratio": pinv,
        "nc1_trace_ratio": float(np.trace(within) / np.trace(between)),
        "cdnv": float(
            np.mean([(variances[i] + variances[j]) / 2 / ((means[i] - means[j]) ** 2).sum() for i, j in pairs])
        ),
        "nc2_etf_means": float(np.linalg.norm(gram / np.linalg.norm(gram) - target)),
        "nc2_distance_variance_means": float(distances.var()),
        "nc2_log_variance_means": float(np.log(1 / distances).var()),
        "nc3_alignment_etf": float(np.linalg.norm(cross / np.linalg.norm(cross) - target)),
        "unc3_variance": float((weights * centred).sum(axis=1).var(ddof=1)),
        "nc5_orthogonality": float(np.abs(cosines).mean()),
    }
