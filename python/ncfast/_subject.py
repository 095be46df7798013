"""What is measured, and what several of its metrics share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from . import metrics
from ._classifier import Classifier
from ._conventions import Conventions
from .metrics._checks import unit_power
from .metrics._svd import thin_svd
from .metrics.spectrum import Spectrum, spectrum_of
from .metrics.variability import BetweenClass, between_class, centred_means, global_mean, rounding_of_means
from .statistics import ClassStatistics

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured, with what several metrics share; classes without samples are left out.

    Attributes
    ----------
    stats : ClassStatistics
    head : Classifier
    conventions : Conventions
    decays : dict of str to float
        ``weight_decay`` and ``feature_decay``, if known.
    outlier_mean : ndarray of float64, shape (d,), or None
        Mean of features of no class.
    """

    stats: ClassStatistics
    head: Classifier
    conventions: Conventions
    decays: Mapping[str, float] = field(default_factory=dict)
    outlier_mean: Float | None = None

    @property
    def weighting(self) -> str:
        """Weighting, as the functions of `metrics` know it."""
        return "papyan" if self.conventions.weighting == "zhu" else self.conventions.weighting

    @property
    def centring(self) -> str:
        """Weighting whose global mean is subtracted."""
        return "sample" if self.conventions.weighting == "zhu" else self.conventions.weighting

    @property
    def k(self) -> int:
        """Classes with samples."""
        return int(self.means.shape[0])

    @property
    def d(self) -> int:
        """Features."""
        return int(self.means.shape[1])

    @cached_property
    def counts(self) -> NDArray[np.int64] | Float:
        """What each class counts."""
        return self.stats.counts[self.stats.present]

    @property
    def is_imbalanced(self) -> bool:
        """Whether counts differ."""
        return bool((self.counts != self.counts[0]).any())

    @property
    def has_pooled_weights(self) -> bool:
        """Whether the scatter there is can serve this weighting."""
        return self.weighting != "class" or not self.is_imbalanced or self.stats.class_pooled is not None

    @cached_property
    def means(self) -> Float:
        """Class means, shape (k, d)."""
        return self.stats.means[self.stats.present]

    @cached_property
    def centre(self) -> Float:
        """Global mean, shape (d,)."""
        return global_mean(self.stats, self.centring)

    @cached_property
    def centred(self) -> Float:
        """Class means minus the global mean, shape (k, d)."""
        return centred_means(self.stats, self.centring)

    @cached_property
    def weights(self) -> Float:
        """Rows of the classifier, shape (k, d)."""
        assert self.head.weights is not None
        return self.head.weights[self.stats.present]

    @property
    def bias(self) -> Float | None:
        """Its bias, shape (k,)."""
        return None if self.head.bias is None else self.head.bias[self.stats.present]

    @cached_property
    def between(self) -> BetweenClass:
        """Factor of S_B."""
        if self.conventions.weighting != "zhu":
            return between_class(self.stats, self.weighting)
        factor = self.centred / np.sqrt(self.k)
        scale = unit_power(float(np.abs(factor).max()))
        # The mean of all samples is one of the class means' combinations: the rank stays at K-1.
        values, rows = thin_svd(factor * scale, min(self.d, self.k - 1))
        values = values / scale
        noise = max(self.k, self.d) * float(np.finfo(np.float64).eps) * float(values[0])
        rank = int(np.count_nonzero(values[: min(self.d, self.k - 1)] > max(noise, rounding_of_means(self.stats))))
        return BetweenClass(np.ascontiguousarray(rows[:rank].T), values[:rank], values)

    def frame(self, name: str) -> Float:
        """Vectors of the frame ``"means"``, centred, or ``"weights"``."""
        return self.centred if name == "means" else self.weights

    def uncentred(self, name: str) -> Float:
        """Those vectors without centring."""
        return self.means if name == "means" else self.weights

    def unit_frame(self, name: str, *, centred: bool = True) -> Float:
        """Vectors of a frame at unit Frobenius norm, or zero."""
        frame = self.frame(name) if centred else self.uncentred(name)
        frame = frame * unit_power(float(np.abs(frame).max()))
        unit: Float = frame / (np.sqrt(np.einsum("kd,kd->", frame, frame)) or 1.0)
        return unit

    @cached_property
    def spectra(self) -> dict[str, Spectrum]:
        """Spectra of the frames that were asked for so far."""
        return {}

    def spectrum(self, name: str) -> Spectrum:
        """Spectrum of a frame."""
        if name not in self.spectra:
            if name == "means" and self.conventions.weighting != "sample":
                self.spectra[name] = spectrum_of(self.between.factor_values * np.sqrt(self.k), (self.k, self.d))
            else:  # the factor of S_B would weigh the means by their counts
                self.spectra[name] = metrics.spectrum(self.frame(name))
        return self.spectra[name]

    @cached_property
    def shapes(self) -> dict[str, dict[str, float]]:
        """Metrics of the frames that are computed together, of those that were asked for so far."""
        return {}

    @cached_property
    def variances(self) -> Float:
        """Mean squared deviation of each class, shape (k,)."""
        variances: Float = self.stats.squared_deviations[self.stats.present] / self.counts
        return variances

    @cached_property
    def inverse_squared_distances(self) -> Float:
        """Mean over the other classes of ``1 / ||mu_k - mu_l||^2``, shape (k,).

        It is the CDNV of each class if all variances are 1. One sweep over the pairs, and whatever is linear in the
        variances follows from it.
        """
        scale = unit_power(float(np.abs(self.centred).max()))
        ones = np.ones(self.k)
        unit = ClassStatistics(ones.astype(np.int64), self.centred * scale, np.zeros_like(self.centred), ones)
        return metrics.cdnv_per_class(unit) * scale * scale

    def cdnv_of(self, variances: Float) -> float:
        """CDNV if the classes had these variances."""
        inverse = self.inverse_squared_distances
        return float(np.mean(variances * inverse)) if np.isfinite(inverse).all() else np.inf

    @cached_property
    def cdnv_per_class(self) -> Float:
        """CDNV of each class, the mean over its pairs, shape (k,)."""
        return metrics.cdnv_per_class(self.stats)[self.stats.present]

    def over_between(self, within: float) -> float:
        """Ratio of a trace to ``Tr S_B``; infinite or nan where that is zero."""
        scale = unit_power(float(np.abs(self.centred).max()))
        norms = np.einsum("kd,kd->k", self.centred * scale, self.centred * scale)
        shares = self.counts / self.counts.sum() if self.weighting == "sample" else np.full(self.k, 1.0 / self.k)
        between = float(shares @ norms)
        if between == 0:
            return np.inf if within > 0 else np.nan
        return within * scale * scale / between

    def nc1_scaled(self, value: float) -> float:
        """NC1, given over K, in the conventions asked for."""
        return value if self.conventions.per_class else value * self.k
