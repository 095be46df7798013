"""Geometries of the cross-entropy's relatives that constrain norms or margins instead of paying for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .._choices import as_count
from ._checks import as_positive, as_samples
from ._linear import random_frame
from ._symmetric import simplex_frame
from .minimizer import Minimizer


def layer_peeled(
    num_classes: int,
    *,
    weight_bound: float,
    feature_bound: float,
    num_features: int | None = None,
    samples_per_class: int = 1,
    seed: int = 0,
) -> Minimizer:
    """Return the minimum of the balanced layer-peeled model: a simplex ETF that uses up both bounds.

    The least mean cross-entropy of ``softmax(W h)`` when the squared norms of weight vectors are at most `weight_bound`
    on average, and those of features `feature_bound`: ``log(1 + (K-1) exp(-K/(K-1) sqrt(E_W E_H)))``.

    Parameters
    ----------
    num_classes : int
        K, at least 2.
    weight_bound, feature_bound : float
        E_W and E_H, positive.
    num_features : int, optional
        d, at least K - 1; K by default.
    samples_per_class : int, default 1
        n.
    seed : int, default 0
        Of the rotation.

    References
    ----------
    Fang et al., "Exploring deep neural networks via layer-peeled model: minority collapse in imbalanced training",
    PNAS 2021.
    """
    k = as_count("num_classes", num_classes, 2)
    d = _as_features(num_features, k)
    n = as_count("samples_per_class", samples_per_class, 1)
    lengths = [np.sqrt(as_positive(name, bound)) for name, bound in
               (("weight_bound", weight_bound), ("feature_bound", feature_bound))]  # fmt: skip
    unit = np.sqrt(k / (k - 1)) * (np.eye(k) - 1.0 / k) @ simplex_frame(k, d, np.random.default_rng(seed)).T
    value = float(np.log1p((k - 1) * np.exp(-k / (k - 1) * lengths[0] * lengths[1])))
    spectra = tuple(np.sqrt(k / (k - 1)) * scale * np.ones(k - 1) for scale in (lengths[0], lengths[1] * np.sqrt(n)))
    return Minimizer(value, (lengths[0] * unit,), lengths[1] * unit, None, spectra, np.full(k, n, dtype=np.int64))


def seli(samples_per_class: ArrayLike, num_features: int | None = None, seed: int = 0) -> Minimizer:
    """Return the simplex-encoded-labels interpolation, which the unregularised cross-entropy tends to.

    The minimum of ``||W||^2 + ||H||^2`` when the logit of every sample's class exceeds all its others by 1: with the
    singular value decomposition ``U S R^T`` of the labels ``(I - 11^T/K) Y``, it is ``2 tr S`` and ``W W^T = U S U^T``,
    ``H^T H = R S R^T``, ``W H = (I - 11^T/K) Y``.

    Parameters
    ----------
    samples_per_class : sequence of int, shape (K,)
        n_k.
    num_features : int, optional
        d, at least K - 1; K by default.
    seed : int, default 0
        Of the rotation.

    References
    ----------
    Thrampoulidis et al., "Imbalance trouble: revisiting neural-collapse geometry", NeurIPS 2022.
    """
    given = tuple(np.asarray(samples_per_class).ravel().tolist())
    counts = np.asarray(as_samples(given, as_count("the number of classes", len(given), 2)), dtype=np.int64)
    k = counts.size
    d = _as_features(num_features, k)
    roots = np.sqrt(counts)
    left, singular, right = np.linalg.svd((np.eye(k) - 1.0 / k) * roots)
    left, singular, right = left[:, :-1], singular[:-1], right[:-1].T  # the last singular value is zero
    frame = random_frame(d, k - 1, np.random.default_rng(seed)) * np.sqrt(singular)
    value = 2.0 * float(singular.sum())
    spectrum = np.sqrt(singular)
    return Minimizer(value, (left @ frame.T,), right / roots[:, None] @ frame.T, None, (spectrum, spectrum), counts)


def _as_features(value: int | None, classes: int) -> int:
    least = classes - 1
    return as_count("num_features", classes if value is None else value, least, f", K - 1 for {classes} classes")
