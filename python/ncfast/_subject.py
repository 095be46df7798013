"""What is measured, and what several of its metrics share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import metrics
from ._classifier import Classifier
from ._conventions import Conventions
from ._frame import unit_power, warn_degenerate
from ._runtime import get_num_threads
from .metrics._svd import singular_values
from .metrics._sweep import PairSweep, Rivals, ScaledFrame, scaled_frame, sweep
from .metrics._within import sample_shares
from .metrics.class_rank import mean_and_max
from .metrics.duality import FramePair, alignments, cosines_of_pairs, difference
from .metrics.geometry import shape_metrics
from .metrics.spectrum import Spectrum, spectrum_of, tightness_of
from .metrics.variability import (
    BetweenClass,
    between_class,
    between_of_factor,
    centred_about,
    centred_means,
    class_shares,
    global_mean,
    nc1_of_scatter,
)
from .statistics import ClassStatistics

Float = NDArray[np.float64]
_MANY_CLASSES = 1000
_WORTH_A_THREAD = 256


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
    products : type
        Precision that large products may have.
    wanted : frozenset of str
        Keys of metrics that will be asked for.
    """

    stats: ClassStatistics
    head: Classifier
    conventions: Conventions
    decays: Mapping[str, float] = field(default_factory=dict)
    outlier_mean: Float | None = None
    products: type[np.floating[Any]] = np.float64
    wanted: frozenset[str] = frozenset()

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
        return self.stats.present_means

    @cached_property
    def centre(self) -> Float:
        """Global mean, shape (d,)."""
        return global_mean(self.stats, self.centring)

    @property
    def centred(self) -> Float:
        """Class means minus the global mean, shape (k, d)."""
        return self._centred[0]

    @cached_property
    def _centred(self) -> tuple[Float, Float]:
        return centred_about(self.stats, self.centre)

    @cached_property
    def weights(self) -> Float:
        """Rows of the classifier, shape (k, d)."""
        assert self.head.weights is not None
        return self.head.weights if self.stats.present.all() else self.head.weights[self.stats.present]

    @property
    def bias(self) -> Float | None:
        """Its bias, shape (k,)."""
        return None if self.head.bias is None else self.head.bias[self.stats.present]

    @cached_property
    def between(self) -> BetweenClass:
        """Factor of S_B."""
        with self._beside():
            if self.conventions.weighting == "sample":
                return between_class(self.stats, "sample")
            # About whichever mean: one of the class means' combinations, which leaves the rank at K-1.
            shares = None if self._known.get("is searched") else class_shares(self.stats, self.centring)
            between = between_of_factor(self.stats, self.scaled_means, 1.0 / self.k, shares=shares)
            if between.find_root is not None and "nc1_pinv" in self.wanted:
                # While the other thread is still busy.
                if self.stats.pooled is None:
                    _ = between.directions
                else:
                    self._known["nc1"] = nc1_of_scatter(self.stats, between, self.weighting)
            return between

    def will_search(self) -> None:
        """Know before S_B is factored that its orthonormal directions are wanted."""
        self._known["is searched"] = True

    @cached_property
    def _known(self) -> dict[str, float]:
        return {}

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """Find what will be wanted of large weights in another thread meanwhile: LAPACK leaves all but one idle."""
        of_weights: dict[str, Callable[[], object]] = {
            "weights_rank": lambda: self.spectrum("weights"),
            "nc3_alignment_etf": lambda: self.alignments,
            "nc2_equiangularity_weights": lambda: self.pairs("weights"),
        }
        tasks = [task for key, task in of_weights.items() if key in self.wanted]
        if not tasks or min(self.k, self.d) < _WORTH_A_THREAD or get_num_threads() < 2:
            yield
            return
        _ = self.scaled_weights  # with both threads
        with ThreadPoolExecutor(1) as pool:
            futures = [pool.submit(task) for task in tasks]
            yield
            for future in futures:
                future.result()

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
                frame = self.scaled(name)
                values = singular_values(frame)
                self.spectra[name] = spectrum_of(values / frame.scale, (self.k, self.d))
        return self.spectra[name]

    @cached_property
    def _sweeps(self) -> dict[str, PairSweep]:
        return {}

    def pairs(self, name: str) -> PairSweep:
        """Return a sweep over the pairs of a frame; of the means, as if each class had variance 1."""
        if name not in self._sweeps:
            if name == "weights":
                self._sweeps[name] = sweep(self.scaled_weights)
            else:
                self.sweep_means(None)
        return self._sweeps[name]

    def sweep_means(self, rivals: Rivals | None) -> PairSweep:
        """Sweep over the pairs of means, looking for rivals on the way."""
        self._sweeps["means"] = sweep(
            self.scaled_means,
            uncentred=self.means,
            uncentred_squares=self.stats.mean_squares,
            variances=np.ones(self.k),
            rivals=rivals,
        )
        return self._sweeps["means"]

    @property
    def _pair_products(self) -> type[np.floating[Any]]:
        """Precision of the products of pairs, and of Gram matrices of features.

        More than twice as many vectors as dimensions have cosines of about d^(-1/2), whatever they are: then float32
        costs no digit that counts, neither of a cosine nor of a distance. Nearer to a simplex every digit may count.
        """
        return self.products if self.k > max(2 * self.d, _MANY_CLASSES) else np.float64

    @cached_property
    def scaled_means(self) -> ScaledFrame:
        """Centred means at a scale where their squares are in range."""
        return scaled_frame(*self._centred, products=self._pair_products)

    @cached_property
    def scaled_weights(self) -> ScaledFrame:
        """The classifier at such a scale."""
        return scaled_frame(self.weights, products=self._pair_products)

    @cached_property
    def weights_and_means(self) -> FramePair:
        """Both frames at such scales."""
        return FramePair(self.scaled_weights, self.scaled_means)

    def scaled(self, name: str) -> ScaledFrame:
        """Vectors of a frame at such a scale."""
        return self.scaled_means if name == "means" else self.scaled_weights

    @cached_property
    def _shapes(self) -> dict[str, dict[str, float]]:
        return {}

    def shape(self, name: str) -> dict[str, float]:
        """Metrics of a frame that are computed together, by key."""
        if name not in self._shapes:
            values = shape_metrics(name, self.pairs(name), self.spectrum(name))
            if ddof := self.conventions.norms_ddof:
                values[f"nc2_equinorm_{name}"] *= float(np.sqrt(self.k / (self.k - ddof)))
            if name == "means":
                # Of centred means, what rounding under a common offset leaves is no direction.
                values["means_rank"] = float(self.between.values.size)
            self._shapes[name] = values
        return self._shapes[name]

    def tightness(self, name: str) -> float:
        """Tightness of a frame, which its singular values have."""
        return tightness_of(self.spectrum(name).singular_values, min(self.k - 1, self.d))

    @cached_property
    def variances(self) -> Float:
        """Mean squared deviation of each class, shape (k,)."""
        variances: Float = self.stats.squared_deviations[self.stats.present] / self.counts
        return variances

    @cached_property
    def inverse_squared_distances(self) -> Float:
        """Mean over the other classes of ``1 / ||mu_k - mu_l||^2``, shape (k,).

        It is the CDNV of each class if all variances are 1. One sweep over the pairs, and whatever is linear in the
        variances follows from it. Infinite, with a warning, for a class whose mean coincides with another's.
        """
        inverse = self.pairs("means").cdnv_per_class
        if np.isinf(inverse).any():
            warn_degenerate("two class means coincide: their CDNV is infinite")
        return inverse

    def cdnv_of(self, variances: Float) -> float:
        """CDNV if the classes had these variances."""
        inverse = self.inverse_squared_distances
        return float(np.mean(variances * inverse)) if np.isfinite(inverse).all() else np.inf

    @cached_property
    def cdnv_per_class(self) -> Float:
        """CDNV of each class, the mean over its pairs, shape (k,)."""
        return metrics.cdnv_per_class(self.stats)[self.stats.present]

    def nc1_scaled(self, value: float) -> float:
        """NC1, given over K, in the conventions asked for."""
        return value if self.conventions.per_class else value * self.k

    def nc1_pinv(self) -> float:
        """NC1 from the scatter."""
        between = self.between
        if "nc1" not in self._known:
            self._known["nc1"] = nc1_of_scatter(self.stats, between, self.weighting)
        return self.nc1_scaled(self._known["nc1"])

    def nc1_svd_ratio(self) -> float:
        """NC1 by leading eigenvalues."""
        if self.conventions.svd_is_pinv:
            return self.nc1_pinv()
        return metrics.nc1_svd_ratio(self.stats, weighting=self.weighting)

    def nc1_trace_ratio(self) -> float:
        """NC1 by traces."""
        within = float(self.stats.squared_deviations @ sample_shares(self.stats, self.weighting))
        if not self.scaled_means.lengths.any():
            warn_degenerate("the class means coincide (S_B = 0): NC1 is infinite, or undefined without any spread")
        return self.over_between(within)

    def over_between(self, within: float) -> float:
        """Ratio of a trace to ``Tr S_B``; infinite or nan where that is zero."""
        scale = self.scaled_means.scale
        shares = self.counts / self.counts.sum() if self.weighting == "sample" else np.full(self.k, 1.0 / self.k)
        between = float(shares @ self.scaled_means.squares)
        if between == 0:
            return np.inf if within > 0 else np.nan
        return within * scale * scale / between

    def class_ranks(self) -> tuple[float, float]:
        """Mean and largest numerical rank of the classes, from their scatters."""
        return mean_and_max(metrics.class_numerical_rank_statistics(self.stats))

    def self_duality(self) -> float:
        """NC3 by difference."""
        distance = difference(self.weights_and_means)
        return distance**2 if self.conventions.squared_duality else distance

    @cached_property
    def alignments(self) -> tuple[float, float]:
        """NC3 by alignment, to the ETF and to the orthogonal frame."""
        m = self.scaled_means
        if m.norm == 0:  # what is left of the means is their centre
            return metrics.alignment_etf(self.weights, self.centred), metrics.alignment_of(self.weights, self.means)
        return alignments(self.weights_and_means, self.centre * m.scale)

    def unc3(self) -> tuple[float, float]:
        """Mean and variance of what weights and means of each class have in common."""
        if not self.conventions.products:
            return cosines_of_pairs(self.weights_and_means)
        products = np.einsum("kd,kd->k", self.weights, self.centred)
        return float(products.mean()), float(products.var(ddof=1))

    def seli_distance(self, name: str) -> float:
        """Distance of a frame to the SELI geometry of these counts, whose means are centred at their own mean."""
        frame = self.weights if name == "weights" else centred_means(self.stats)
        return metrics.seli_distance(frame, self.counts, name)

    def gof_distance(self, name: str) -> float:
        """Distance of a frame to the general orthogonal frame of these counts."""
        weight_decay, feature_decay = self.decays["weight_decay"], self.decays["feature_decay"]
        return metrics.gof_distance(
            self.uncentred(name), self.counts, name, weight_decay=weight_decay, feature_decay=feature_decay
        )

    def gof_alignment(self) -> float:
        """Distance of the product of weights and means to that of general orthogonal frames."""
        weight_decay, feature_decay = self.decays["weight_decay"], self.decays["feature_decay"]
        return metrics.gof_alignment(
            self.weights, self.means, self.counts, weight_decay=weight_decay, feature_decay=feature_decay
        )

    def nc5(self) -> float:
        """NC5."""
        assert self.outlier_mean is not None
        return metrics.nc5_orthogonality(self.means, self.outlier_mean)

    def mse_split(self) -> tuple[float, float, float]:
        """Parts of the squared loss."""
        assert self.head.weights is not None
        decay = self.decays.get("weight_decay", 0.0)
        split = metrics.mse_split_statistics(self.stats, self.head.weights, self.head.bias, weight_decay=decay)
        return split.nc1, split.nc23, split.off_path
