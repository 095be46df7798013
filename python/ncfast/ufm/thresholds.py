"""Where the phases of a problem meet: zero, frames, collapsed minorities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..metrics._shrinkage import kappa_spinodal, kappa_threshold
from ._linear import directions
from ._problem import Problem
from ._regularised import Squared
from ._symmetric import price
from .problems import CrossEntropy

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Strengths of decay, and the strengths at which the minimum changes its kind.

    Attributes
    ----------
    kappa : ndarray
        Strength of decay along each direction of the targets (largest first, the mean target with a regularised bias
        last), or for each class of a cross-entropy. For equal counts ``c = K sqrt(n lW lH)`` with one weight matrix,
        ``K (n l_M ... l_1 lH)^(1/L)`` for a chain of L factors, features included.
    zero : float
        Directions from this kappa on are not learned.
    spinodal : float
        Up to this kappa learning remains a local minimum, where a descent may stop. Above `zero` for chains, whose zero
        is a local minimum at any kappa.
    etf_bias_decay : float or None
        The minimum is an exact simplex ETF for decays of the bias up to this one, ``c/(1-c)`` with one weight matrix.
        None unless the model is linear with the squared loss, equal counts and one-hot targets.
    least_count : float or None
        A class of at most so many samples collapses: with the squared loss its weights and means are zero, with the
        cross-entropy they are those of all others like it (minority collapse). None where classes do not stand alone.
    """

    kappa: Float
    zero: float
    spinodal: float
    etf_bias_decay: float | None
    least_count: float | None

    @property
    def learned(self) -> NDArray[np.bool_]:
        """Whether each direction or class is learned at the minimum."""
        return self.kappa < self.zero


def thresholds(problem: Problem) -> Thresholds:
    """Return the strengths of decay in a problem and the thresholds of its phases.

    Raises
    ------
    NoClosedFormError
        If a regularised bias couples the directions of the targets.
    ValueError
        For problems without decays, and the focal loss, whose transition has no closed form.

    References
    ----------
    Tirer, Bruna, ICML 2022; Dang et al., ICML 2023; Fang et al., "Exploring deep neural networks via layer-peeled
    model: minority collapse in imbalanced training", PNAS 2021.
    """
    if isinstance(problem, Squared):
        return _squared(problem)
    if not isinstance(problem, CrossEntropy) or problem.focal:
        raise ValueError(f"problem is {problem!r}; wanted a squared loss, or a cross-entropy without focal")
    (by_weights,), by_features, _ = problem.penalties
    scale = problem.num_samples * np.sqrt(by_weights) * np.sqrt(by_features)
    kappa = scale / np.sqrt(problem.counts)
    if problem.nonnegative or problem.label_smoothing:
        if not problem.balanced:
            raise ValueError("thresholds of a smoothed or nonnegative cross-entropy are known for equal counts only")
        k = problem.num_classes
        kappa = np.full(k, price(problem) * k / (k - 1))
        return Thresholds(kappa, 1.0 - problem.label_smoothing, 1.0 - problem.label_smoothing, None, None)
    return Thresholds(kappa, 1.0, 1.0, None, float(scale**2))


def _squared(problem: Squared) -> Thresholds:
    layers = len(problem.weight_shapes) + 1
    zero, spinodal = kappa_threshold(layers), kappa_spinodal(layers)
    found = directions(problem)
    kappa = np.exp(found.log_kappa)
    simple = problem.one_hot and not problem.relu
    etf = least = None
    if simple and problem.balanced:
        share = float(kappa[0] * found.share[0]) / zero
        etf = share / (1.0 - share) if share < 1 else np.inf
    if simple and not problem.has_bias:
        power = layers / (layers - 1.0)
        least = float((kappa[0] / zero) ** power * problem.counts.max())
    return Thresholds(kappa, zero, spinodal, etf, least)
