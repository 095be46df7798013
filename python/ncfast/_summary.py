"""The metrics that class statistics and a classifier give, by name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import metrics
from ._classifier import Classifier
from .metrics import geometry
from .metrics.spectrum import Spectrum, spectrum_of
from .metrics.variability import BetweenClass, centred_means, nc1_of_scatter
from .statistics import ClassStatistics

Float = NDArray[np.float64]


def statistic_metrics(
    stats: ClassStatistics, between: BetweenClass, head: Classifier, weighting: str
) -> tuple[dict[str, float], dict[str, Float]]:
    """Return the metrics of part NC1 to NC3, and the spectra; ``nc1_pinv`` only with a scatter."""
    present = stats.present
    means = stats.means[present]
    centred = centred_means(stats, weighting)
    values: dict[str, float] = {}
    if stats.pooled is not None:
        values["nc1_pinv"] = nc1_of_scatter(stats, between, weighting)
    values["nc1_trace_ratio"] = metrics.nc1_trace_ratio(stats, weighting=weighting)
    values["cdnv"] = metrics.cdnv(stats)
    spectra = {"means": _spectrum_of_means(centred, between, weighting)}
    values |= _frame_metrics("means", centred, means, spectra["means"])
    # Of centred means, what rounding under a common offset leaves is no direction.
    values["means_rank"] = float(between.values.size)
    if head.weights is not None:
        weights = head.weights[present]
        spectra["weights"] = metrics.spectrum(weights)
        values |= _frame_metrics("weights", weights, weights, spectra["weights"])
        values["nc3_self_duality"] = metrics.self_duality(weights, centred)
        values["nc3_alignment_etf"] = metrics.alignment_etf(weights, centred)
        values["nc3_alignment_of"] = metrics.alignment_of(weights, means)
        values["unc3_mean"], values["unc3_variance"] = metrics.unc3(weights, centred)
    return values, {name: spectrum.singular_values for name, spectrum in spectra.items()}


def _spectrum_of_means(centred: Float, between: BetweenClass, weighting: str) -> Spectrum:
    if weighting == "sample":  # the factor of S_B weighs the means by their counts
        return metrics.spectrum(centred)
    k, d = centred.shape
    return spectrum_of(between.factor_values * np.sqrt(k), (k, d))


def _frame_metrics(name: str, pairs: PairSweep, spectrum: Spectrum) -> dict[str, float]:
    return {
        f"nc2_equinorm_{name}": metrics.equinorm(pairs.frame.rows),
        f"nc2_equiangularity_{name}": pairs.equiangularity,
        f"nc2_max_angle_{name}": pairs.max_angle,
        f"nc2_etf_{name}": pairs.etf_distance,
        f"nc2_of_{name}": pairs.of_distance,
        f"{name}_condition_number": spectrum.condition_number,
        f"{name}_stable_rank": spectrum.stable_rank,
        f"{name}_effective_rank": spectrum.effective_rank,
        f"{name}_rank": float(spectrum.rank),
    }
