"""NC1: how small the spread within classes is against the distances between their means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .. import _lapack as lapack
from .._choices import as_choice
from .._frame import largest_magnitude, row_bands, unit_power, warn_degenerate
from ..statistics import ClassStatistics
from ._svd import LEAST_RATIO, thin_svd, well_conditioned
from ._sweep import PairSweep, ScaledFrame, scaled_frame, sweep
from ._within import pooled_by, sample_shares

Float = NDArray[np.float64]
_LEAST_MEAN = 2.0**-490
_NEAR_SIMPLEX = 0.1
_BAND_VALUES = 1 << 18


@dataclass(frozen=True, eq=False)
class Directions:
    """Rows b_j (r, d) and positive values (r,) with ``S_B^+ = sum_j b_j b_j^T / values_j^2``.

    `orthonormal` where they are the eigenvectors of S_B, and the values the roots of its eigenvalues; `inverse_norm` is
    the root of the largest eigenvalue of S_B^+.
    """

    rows: Float
    values: Float
    inverse_norm: float
    orthonormal: bool


@dataclass(frozen=True, eq=False)
class BetweenClass:
    """The between-class covariance through its factor: ``S_B = sum_j values_j^2 v_j v_j^T``.

    `basis` (d, r) holds the orthonormal v_j, `values` (r,) is positive and falls; r <= min(d, K-1).
    `factor_values` (min(K, d),) are all singular values of the factor, those that count as zero too.
    `find_basis` is asked for the basis if that is wanted, `find_root`, if there is one, for R with ``S_B^+ = R^T R``,
    which may be lower triangular.
    """

    values: Float
    factor_values: Float
    find_basis: Callable[[], Float]
    find_root: Callable[[], Float] | None = None
    root_is_lower: bool = False

    @cached_property
    def basis(self) -> Float:
        """Directions as columns, shape (d, r)."""
        return self.find_basis()

    @cached_property
    def inverse_root(self) -> Float:
        """R with ``S_B^+ = R^T R``, shape (r, d)."""
        if self.find_root is not None:
            return self.find_root()
        return np.ascontiguousarray((self.basis / self.values).T)

    @cached_property
    def directions(self) -> Directions:
        """What to project on: the rows of R, if that is found without eigenvectors, else these."""
        inverse_norm = 1.0 / float(self.values[-1]) if self.values.size else 0.0
        if self.find_root is None:
            return Directions(np.ascontiguousarray(self.basis.T), self.values, inverse_norm, orthonormal=True)
        root = self.inverse_root
        scale = unit_power(largest_magnitude(root))
        rows = root if scale == 1.0 else root * scale
        return Directions(rows, np.full(root.shape[0], scale), inverse_norm, orthonormal=False)


def no_directions(num_features: int) -> Directions:
    """Return those of S_B = 0."""
    return Directions(np.empty((0, num_features)), np.empty(0), 0.0, orthonormal=True)


def require_two_classes(stats: ClassStatistics) -> None:
    """Refuse statistics that have nothing to compare, or numbers too small to square."""
    present = int(stats.present.sum())
    if present < 2:
        raise ValueError(f"statistics hold samples of {present} class(es); wanted at least two classes with samples")
    if stats.longest_mean > _LEAST_MEAN * np.sqrt(stats.num_features):
        return
    largest = largest_magnitude(stats.present_means)
    if 0.0 < largest < _LEAST_MEAN:
        raise ValueError(f"features are so small ({largest:.3g}) that their squares leave float64; scale the features")


def rounding_of_means(stats: ClassStatistics) -> float:
    """How large rounding alone could make the norm of a centred class mean."""
    return 4.0 * float(np.finfo(np.float64).eps) * stats.longest_mean


def global_mean(stats: ClassStatistics, weighting: str) -> Float:
    """Mean of the class means, or of all samples under ``"sample"``; shape (d,)."""
    means = stats.present_means
    shares = class_shares(stats, weighting)
    return _core.frame_mean(means, shares / shares.sum())


def centred_means(stats: ClassStatistics, weighting: str = "papyan") -> Float:
    """Class means minus the global mean, present classes only; shape (K', d).

    All zero when the means differ by no more than rounding: what is left then is no frame.
    """
    return centred_about(stats, global_mean(stats, weighting))[0]


def centred_about(stats: ClassStatistics, centre: Float) -> tuple[Float, Float]:
    """Return `centred_means`, given the global mean, and their squared lengths."""
    centred, squares = _core.centre(stats.present_means, centre)
    if float(np.sqrt(squares.max())) <= rounding_of_means(stats):
        centred[:], squares[:] = 0.0, 0.0
    return centred, squares


def between_class(stats: ClassStatistics, weighting: str) -> BetweenClass:
    """Factor S_B by the thin SVD of the centred, weighted class means.

    The rank is at most min(d, K-1) by construction. Singular values that rounding alone would give, be it
    of the factor or of the means it was centred from, count as zero.
    """
    factor = centred_means(stats, weighting) * np.sqrt(class_shares(stats, weighting))[:, None]
    return between_of_factor(stats, scaled_frame(factor))


def between_of_factor(
    stats: ClassStatistics, factor: ScaledFrame, share: float = 1.0, *, shares: Float | None = None
) -> BetweenClass:
    """Factor S_B by the thin SVD of centred class means, of which each counts `share`.

    A frame that spans all features well, or, given the `shares` that make the sum of its rows zero, is near enough to
    a simplex, is factored without directions, which are then found once they are asked for.
    """
    k, d = factor.rows.shape
    unit = np.sqrt(share) / factor.scale
    most = min(d, k - 1)

    def rank_of(values: Float) -> int:
        noise = max(max(k, d) * float(np.finfo(np.float64).eps) * float(values[0]), rounding_of_means(stats))
        return int(min(most, np.count_nonzero(values > noise)))

    def directions() -> tuple[Float, Float]:
        return thin_svd(factor.rows, most, factor.exact.smaller_gram)

    found = None
    if k > d or shares is not None:
        found = well_conditioned(factor, most, LEAST_RATIO if k > d else _NEAR_SIMPLEX)
    if found is not None and rank_of(found[1] * unit) == most:
        gram, values = found[0], found[1] * unit

        def root() -> Float:
            inverse = lapack.inverse_root(gram) if shares is None or k > d else _inverse_root(factor, shares)
            return np.asarray(inverse / unit)

        return BetweenClass(values[:most], values, lambda: directions()[1].T, root, root_is_lower=k > d)
    values, rows = directions()
    values = values * unit
    rank = rank_of(values)
    return BetweenClass(values[:rank], values, lambda: rows[:rank].T)


def _inverse_root(factor: ScaledFrame, shares: Float) -> Float:
    """R (K-1, d) with ``(F^T F)^+ = R^T R``, F the (K, d) rows of a frame that depend only by ``shares F = 0``.

    With ``G = F F^T`` that is ``(G^+ F)^T G^+ F``. Its rows depend the same way: reflected, the last one is zero.
    """
    gram, lacking = factor.by_classes, shares / np.linalg.norm(shares)
    # What is added in the one direction that G lacks comes out again, since F lacks it too.
    root = lapack.inverse_root(gram + np.multiply.outer(lacking, lacking * (np.trace(gram) / gram.shape[0])))
    rows = _core.cross_gram(_core.gram(root.T), factor.rows.T)
    reflected: Float = rows[:-1] - np.multiply.outer(lacking[:-1] / (1.0 + lacking[-1]), rows[-1])
    return reflected


def class_shares(stats: ClassStatistics, weighting: str) -> Float:
    """Return what the mean of each class with samples counts in the global mean."""
    counts = stats.counts[stats.present]
    return counts / stats.num_samples if weighting == "sample" else np.full(counts.shape, 1.0 / counts.size)


def nc1_of_spread(spread: Float, directions: Directions, num_classes: int, total_spread: float) -> float:
    """``Tr(S_W S_B^+)/K`` from the spread ``b_j^T S_W b_j`` along each direction."""
    if directions.values.size == 0:
        warn_degenerate("the class means coincide (S_B = 0): NC1 is infinite, or undefined without any spread")
        return np.inf if total_spread > 0 else np.nan
    return float(np.sum((np.sqrt(spread) / directions.values) ** 2)) / num_classes


def nc1_pinv(stats: ClassStatistics, *, weighting: str = "papyan") -> float:
    """NC1 as ``Tr(S_W S_B^+) / K``, the pseudo-inverse at rank at most min(d, K-1).

    Parameters
    ----------
    stats : ClassStatistics
        With a scatter. Classes without samples are left out; K counts the others.
    weighting : {"papyan", "class", "sample"}
        ``"papyan"``: every sample counts 1/N in S_W, every class 1/K in S_B and in the global mean.
        ``"class"``: every class counts 1/K throughout. ``"sample"``: every sample counts 1/N throughout.

    Returns
    -------
    float
        0 in full collapse. Infinite, with a RuntimeWarning, when the class means coincide.

    Raises
    ------
    ValueError
        Without a scatter, with fewer than two classes, or under ``"class"`` with unequal counts unless scatters
        were kept by class: the pooled one weighs samples alike.

    References
    ----------
    Papyan, Han, Donoho, "Prevalence of neural collapse during the terminal phase of deep learning
    training", PNAS 2020.
    """
    as_choice("weighting", weighting)
    require_two_classes(stats)
    return nc1_of_scatter(stats, between_class(stats, weighting), weighting)


def nc1_of_scatter(stats: ClassStatistics, between: BetweenClass, weighting: str) -> float:
    """`nc1_pinv` with S_B factored already."""
    pooled = pooled_by(stats, weighting)
    classes = int(stats.present.sum())
    if between.values.size == 0:
        return nc1_of_spread(np.empty(0), between.directions, classes, float(stats.squared_deviations.sum()))
    root, scatter = between.inverse_root, pooled.scatter
    rank, d = root.shape
    along = np.empty(rank)
    for band in row_bands(rank, d, _BAND_VALUES):
        end = band.stop if between.root_is_lower else d
        rows = root[band, :end]
        along[band] = _core.row_products(rows, _core.cross_gram(rows, scatter[:end, :end]))
    return float(np.maximum(along, 0.0).sum()) / pooled.num_samples / classes


def nc1_trace_ratio(stats: ClassStatistics, *, weighting: str = "papyan") -> float:
    """NC1 as ``Tr S_W / Tr S_B``.

    Parameters
    ----------
    stats : ClassStatistics
        A scatter is not needed.
    weighting : {"papyan", "class", "sample"}
        As in `nc1_pinv`.

    References
    ----------
    Tirer, Huang, Niles-Weed, "Perturbation analysis of neural collapse", ICML 2023.
    """
    as_choice("weighting", weighting)
    require_two_classes(stats)
    within = float(stats.squared_deviations @ sample_shares(stats, weighting))
    factor = centred_means(stats, weighting) * np.sqrt(class_shares(stats, weighting))[:, None]
    largest = float(np.abs(factor).max())
    if largest == 0:
        warn_degenerate("the class means coincide (S_B = 0): NC1 is infinite, or undefined without any spread")
        return np.inf if within > 0 else np.nan
    scale = unit_power(largest)
    return within * scale * scale / float(np.sum((factor * scale) ** 2))


def cdnv(stats: ClassStatistics) -> float:
    """Class-distance normalised variance, the mean over pairs of classes.

    ``(v_k + v_l) / (2 ||mu_k - mu_l||^2)`` with ``v_k`` the mean squared deviation of class k, which is 0
    for a class with one sample. Infinite, with a RuntimeWarning, when two class means coincide.

    Parameters
    ----------
    stats : ClassStatistics
        A scatter is not needed. Classes without samples are left out.

    References
    ----------
    Galanti, Gyorgy, Hutter, "On the role of neural collapse in transfer learning", ICLR 2022.
    """
    require_two_classes(stats)
    return class_sweep(stats).cdnv


def class_sweep(stats: ClassStatistics) -> PairSweep:
    """Return a sweep over the centred class means and their variances."""
    variances = stats.squared_deviations[stats.present] / stats.counts[stats.present]
    return sweep(scaled_frame(centred_means(stats)), variances=variances)
