"""Minimisers of losses that treat all classes alike: logits ``alpha (I - 11^T/K)``, one number to solve for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._checks import NoClosedFormError
from ._linear import random_axes, random_frame
from .problems import CrossEntropy, SphereCrossEntropy

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Symmetric:
    """Value, logit scale alpha, weights (K, d) and class means (K, d)."""

    value: float
    alpha: float
    weights: Float
    means: Float


def price(problem: CrossEntropy) -> float:
    """Decay per unit of alpha: ``(K-1) tau`` with ``tau = sqrt(n lW lH)``; ``sqrt(K(K-1)) tau`` for nonnegative H."""
    (by_weights,), by_features, _ = problem.penalties
    k, n = problem.num_classes, problem.num_samples / problem.num_classes
    tau = float(np.sqrt(n) * np.sqrt(by_weights) * np.sqrt(by_features))
    return tau * float(np.sqrt(k * (k - 1))) if problem.nonnegative else tau * (k - 1)


def cross_entropy(problem: CrossEntropy, seed: int) -> Symmetric:
    """Build a minimiser of the balanced cross-entropy, smoothed or focal too."""
    k, d = problem.num_classes, problem.num_features
    if not problem.balanced:
        raise NoClosedFormError(
            "the cross-entropy has no closed form for unequal class counts; use ufm.minimise "
            "(ufm.seli gives the geometry for vanishing decay)"
        )
    needed = k if problem.nonnegative else k - 1
    if d < needed:
        raise NoClosedFormError(
            f"num_features is {d}; the closed form needs at least {needed} for {k} classes; use ufm.minimise"
        )
    cost = price(problem)
    if problem.focal:
        alpha = _focal_alpha(k, problem.focal, cost)
    else:
        odds = cost + problem.label_smoothing * (k - 1) / k  # of the other classes, (K-1) e^-alpha / (1 + ...)
        alpha = max(float(np.log((k - 1) / odds - (k - 1))), 0.0) if odds < 1 else 0.0
    value = _loss(k, alpha, problem.label_smoothing, problem.focal) + cost * alpha
    (by_weights,), by_features, _ = problem.penalties
    random = np.random.default_rng(seed)
    centre = np.eye(k) - 1.0 / k
    # W and sqrt(n) H pay alike.
    ratio = float(np.sqrt(by_weights) / np.sqrt(by_features * problem.num_samples / k))
    if problem.nonnegative:
        ratio *= float(np.sqrt((k - 1) / k))
        frame, means = random_axes(d, k, random), np.eye(k)
    else:
        frame, means = simplex_frame(k, d, random), centre
    return Symmetric(value, alpha, np.sqrt(alpha / ratio) * centre @ frame.T, np.sqrt(alpha * ratio) * means @ frame.T)


def sphere(problem: SphereCrossEntropy, seed: int) -> Symmetric:
    """Build a minimiser on the sphere: weights and features on one simplex ETF."""
    k, d = problem.num_classes, problem.num_features
    if not problem.balanced or d < k - 1:
        raise NoClosedFormError(
            f"samples_per_class is {problem.samples_per_class} and num_features {d}; the closed form needs equal "
            f"counts and at least {k - 1} features for {k} classes; use ufm.minimise"
        )
    alpha = problem.temperature * k / (k - 1)
    vectors = np.sqrt(k / (k - 1)) * (np.eye(k) - 1.0 / k) @ simplex_frame(k, d, np.random.default_rng(seed)).T
    return Symmetric(float(np.log1p((k - 1) * np.exp(-alpha))), alpha, vectors, vectors.copy())


def simplex_frame(k: int, d: int, random: np.random.Generator) -> Float:
    """(d, K) with orthonormal columns, or with d = K-1 a matrix that keeps lengths of vectors of sum zero."""
    if d >= k:
        return random_frame(d, k, random)
    helmert = np.linalg.qr(np.column_stack([np.ones(k), np.eye(k)[:, 1:]]))[0][:, 1:]
    return np.asarray(random_frame(d, d, random) @ helmert.T)


def _loss(k: int, alpha: float, smoothing: float, gamma: float) -> float:
    others = (k - 1) * np.exp(-alpha)
    log = np.log1p(others)
    return float((others / (1.0 + others)) ** gamma * log + smoothing * (k - 1) / k * alpha)


def _focal_alpha(k: int, gamma: float, cost: float) -> float:
    """Argmin over alpha >= 0 of the focal loss plus its cost.

    The loss falls at a rate that rises to one peak, perhaps at 0, and then decays: beyond the peak the total has one
    minimum, where the rate is the cost, and 0 is the only other candidate.
    """

    def rate(alpha: float) -> float:
        others = (k - 1) * np.exp(-alpha)
        rest = others / (1.0 + others)
        return float(rest**gamma * (gamma * np.log1p(others) / (1.0 + others) + rest))

    grid = np.linspace(0.0, 2.0 * np.log(k) + 2.0, 2001)
    low = float(grid[np.argmax([rate(alpha) for alpha in grid])])
    if rate(low) <= cost:
        return 0.0
    high = low + 1.0
    while rate(high) > cost:
        high = 2.0 * high
    while low < (middle := (low + high) / 2.0) < high:
        low, high = (middle, high) if rate(middle) > cost else (low, middle)
    return low if _loss(k, low, 0.0, gamma) + cost * low < _loss(k, 0.0, 0.0, gamma) else 0.0
