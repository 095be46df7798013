"""Metrics of a subject by the conventions in use, and those that are computed together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import metrics
from ._subject import Subject
from .metrics import geometry
from .metrics._checks import warn_degenerate
from .metrics._within import pooled_by, sample_shares
from .metrics.class_rank import mean_and_max
from .metrics.spectrum import Spectrum, tightness_of
from .metrics.variability import centred_means, nc1_of_scatter

Float = NDArray[np.float64]


def nc1_pinv(subject: Subject) -> float:
    """NC1 from the scatter."""
    # What is pooled counts classes as it should: equal sample weights from here on.
    pooled = pooled_by(subject.stats, subject.weighting)
    return subject.nc1_scaled(nc1_of_scatter(pooled, subject.between, "papyan"))


def nc1_svd_ratio(subject: Subject) -> float:
    """NC1 by leading eigenvalues."""
    if subject.conventions.svd_is_pinv:
        return nc1_pinv(subject)
    return metrics.nc1_svd_ratio(subject.stats, weighting=subject.weighting)


def nc1_trace_ratio(subject: Subject) -> float:
    """NC1 by traces."""
    if not subject.centred.any():
        warn_degenerate("the class means coincide (S_B = 0): NC1 is infinite, or undefined without any spread")
    return subject.over_between(
        float(subject.stats.squared_deviations @ sample_shares(subject.stats, subject.weighting))
    )


def class_ranks(subject: Subject) -> tuple[float, float]:
    """Mean and largest numerical rank of the classes, from their scatters."""
    return mean_and_max(metrics.class_numerical_rank_statistics(subject.stats))


def shape(subject: Subject, name: str) -> dict[str, float]:
    """Metrics of a frame that are computed together, by key."""
    if name not in subject.shapes:
        values = _frame_metrics(name, subject.frame(name), subject.uncentred(name), subject.spectrum(name))
        if ddof := subject.conventions.norms_ddof:
            values[f"nc2_equinorm_{name}"] *= float(np.sqrt(subject.k / (subject.k - ddof)))
        if name == "means":
            # Of centred means, what rounding under a common offset leaves is no direction.
            values["means_rank"] = float(subject.between.values.size)
        subject.shapes[name] = values
    return subject.shapes[name]


def tightness(subject: Subject, name: str) -> float:
    """Tightness of a frame, which its singular values have."""
    return tightness_of(subject.spectrum(name).singular_values, min(subject.k - 1, subject.d))


def seli_distance(subject: Subject, name: str) -> float:
    """Distance of a frame to the SELI geometry of these counts, whose means are centred at their own mean."""
    frame = subject.weights if name == "weights" else centred_means(subject.stats)
    return metrics.seli_distance(frame, subject.counts, name)


def gof_distance(subject: Subject, name: str) -> float:
    """Distance of a frame to the general orthogonal frame of these counts."""
    weight_decay, feature_decay = subject.decays["weight_decay"], subject.decays["feature_decay"]
    return metrics.gof_distance(
        subject.uncentred(name), subject.counts, name, weight_decay=weight_decay, feature_decay=feature_decay
    )


def gof_alignment(subject: Subject) -> float:
    """Distance of the product of weights and means to that of general orthogonal frames."""
    weight_decay, feature_decay = subject.decays["weight_decay"], subject.decays["feature_decay"]
    return metrics.gof_alignment(
        subject.weights, subject.means, subject.counts, weight_decay=weight_decay, feature_decay=feature_decay
    )


def self_duality(subject: Subject) -> float:
    """NC3 by difference."""
    distance = metrics.self_duality(subject.weights, subject.centred)
    return distance**2 if subject.conventions.squared_duality else distance


def unc3(subject: Subject) -> tuple[float, float]:
    """Mean and variance of what weights and means of each class have in common."""
    if not subject.conventions.products:
        return metrics.unc3(subject.weights, subject.centred)
    products = np.einsum("kd,kd->k", subject.weights, subject.centred)
    return float(products.mean()), float(products.var(ddof=1))


def mse_split(subject: Subject) -> tuple[float, float, float]:
    """Parts of the squared loss."""
    assert subject.head.weights is not None
    decay = subject.decays.get("weight_decay", 0.0)
    split = metrics.mse_split_statistics(subject.stats, subject.head.weights, subject.head.bias, weight_decay=decay)
    return split.nc1, split.nc23, split.off_path


def nc5_orthogonality(subject: Subject) -> float:
    """NC5 of the class means as they are."""
    assert subject.outlier_mean is not None
    return metrics.nc5_orthogonality(subject.means, subject.outlier_mean)


def _frame_metrics(name: str, frame: Float, uncentred: Float, spectrum: Spectrum) -> dict[str, float]:
    angles = geometry.angles(frame)
    distances = geometry.gram_distances(frame)
    of = distances.of if uncentred is frame else metrics.of_distance(uncentred)
    return {
        f"nc2_equinorm_{name}": metrics.equinorm(frame),
        f"nc2_equiangularity_{name}": angles.spread,
        f"nc2_max_angle_{name}": angles.excess,
        f"nc2_etf_{name}": distances.etf,
        f"nc2_of_{name}": of,
        f"{name}_condition_number": spectrum.condition_number,
        f"{name}_stable_rank": spectrum.stable_rank,
        f"{name}_effective_rank": spectrum.effective_rank,
        f"{name}_rank": float(spectrum.rank),
    }
