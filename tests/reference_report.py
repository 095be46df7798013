"""The oracle's decisions, and all of its metrics under the keys of a report."""

from __future__ import annotations

from typing import Any

import numpy as np

import reference as ref
from reference import Array, Moments, Wide, widen

SPECTRAL = ("condition_number", "stable_rank", "effective_rank", "rank")
MEANS_KEYS = (
    "nc1_pinv",
    "nc1_trace_ratio",
    "cdnv",
    "nc2_equinorm_means",
    "nc2_equiangularity_means",
    "nc2_max_angle_means",
    "nc2_etf_means",
    "nc2_of_means",
    *(f"means_{name}" for name in SPECTRAL),
)
WEIGHT_KEYS = (
    "nc2_equinorm_weights",
    "nc2_equiangularity_weights",
    "nc2_max_angle_weights",
    "nc2_etf_weights",
    "nc2_of_weights",
    *(f"weights_{name}" for name in SPECTRAL),
    "nc3_self_duality",
    "nc3_alignment_etf",
    "nc3_alignment_of",
    "nc3_bias_alignment",
    "unc3_mean",
    "unc3_variance",
)


def nearest_mean(features: Any, m: Moments) -> tuple[Array, float]:
    """Label of the nearest class mean for each sample, and the least margin met.

    The margin is the gap between the two smallest squared distances: a test that
    wants every decision to be beyond doubt asserts that it is not tiny.
    """
    rows = widen(features)
    distances = np.empty((len(rows), m.num_classes), dtype=Wide)
    for k, mean in enumerate(m.means):
        distances[:, k] = ((rows - mean) ** 2).sum(axis=1)
    best = np.partition(distances, 1, axis=1)
    return m.classes[distances.argmin(axis=1)], float((best[:, 1] - best[:, 0]).min())


def linear(features: Any, weights: Any, bias: Any = None) -> tuple[Array, float]:
    """Class of the largest logit for each sample, and the least margin met."""
    rows, wide = widen(features), widen(weights)
    scores = np.empty((len(rows), len(wide)), dtype=Wide)
    for k, row in enumerate(wide):
        scores[:, k] = (rows * row).sum(axis=1)
    if bias is not None:
        scores = scores + widen(bias)
    best = np.partition(scores, len(wide) - 2, axis=1)
    return scores.argmax(axis=1), float((best[:, -1] - best[:, -2]).min())


def frame_metrics(vectors: Array, uncentred: Array, suffix: str) -> dict[str, float]:
    spectral = ref.spectrum(vectors)
    return {
        f"nc2_equinorm_{suffix}": ref.equinorm(vectors),
        f"nc2_equiangularity_{suffix}": ref.equiangularity(vectors),
        f"nc2_max_angle_{suffix}": ref.max_angle(vectors),
        f"nc2_etf_{suffix}": ref.etf_distance(vectors),
        f"nc2_of_{suffix}": ref.of_distance(uncentred),
        **{f"{suffix}_{name}": float(spectral[name]) for name in SPECTRAL},
    }


def duality_metrics(weights: Array, centred: Array, means: Array, centre: Array, bias: Array) -> dict[str, float]:
    k = len(weights)
    mean, variance = ref.unc3(weights, centred)
    return {
        "nc3_self_duality": ref.self_duality(weights, centred),
        "nc3_alignment_etf": ref.matrix_distance(weights @ centred.T, ref.simplex(k)),
        "nc3_alignment_of": ref.matrix_distance(weights @ means.T, ref.orthoframe(k)),
        "nc3_bias_alignment": float(np.linalg.norm(weights @ centre + bias)),
        "unc3_mean": mean,
        "unc3_variance": variance,
    }


def report(
    features: Any, labels: Any, weights: Any = None, bias: Any = None, weighting: str = "papyan"
) -> dict[str, float]:
    """Every metric that ``measure`` promises for these arguments."""
    m = ref.two_pass(features, labels)
    centred, means = ref.centred_means(m, weighting), m.means.astype(np.float64)
    nearest, _ = nearest_mean(features, m)
    values = {
        "nc1_pinv": ref.nc1_pinv(m, weighting),
        "nc1_trace_ratio": ref.nc1_trace_ratio(m, weighting),
        "cdnv": ref.cdnv(m),
        "ncc_accuracy": float((nearest == np.asarray(labels)).mean()),
        **frame_metrics(centred, means, "means"),
    }
    if weights is not None:
        rows = widen(weights)[m.classes].astype(np.float64)
        values |= frame_metrics(rows, rows, "weights")
        offsets = np.zeros(len(rows)) if bias is None else widen(bias)[m.classes].astype(np.float64)
        values |= duality_metrics(rows, centred, means, means[0] - centred[0], offsets)
        values["nc4_disagreement"] = float((linear(features, weights, bias)[0] != nearest).mean())
    return values
