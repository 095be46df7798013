"""The oracle of the unconstrained-features models: objectives by the book, derivatives by complex steps, bisection.

Nothing here imports the package under test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath as mp
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def squared(logits: Array, target: Array) -> Any:
    return sum((z - t) ** 2 for z, t in zip(logits, target, strict=True)) / 2


def cross_entropy(logits: Array, target: Array) -> Any:
    return -sum(t * (z - np.log(np.exp(logits).sum())) for z, t in zip(logits, target, strict=True))


def focal(gamma: float) -> Callable[[Array, Array], Any]:
    def loss(logits: Array, target: Array) -> Any:
        p = np.exp(logits[np.argmax(target)]) / np.exp(logits).sum()
        return -((1 - p) ** gamma) * np.log(p)

    return loss


def objective(
    loss: Callable[[Array, Array], Any],
    weights: Sequence[Array],
    features: Array,
    bias: Array | None,
    targets: Array,
    decays: Sequence[float],
    *,
    relu: bool = False,
) -> Any:
    """Raw normalisation; decays of the weights, outermost first, of the features, and of the bias if there is one."""
    total: Any = 0.0
    for sample, target in zip(features, targets, strict=True):
        z = sample
        for layer, weight in enumerate(weights[::-1]):
            z = weight @ z
            if relu and layer < len(weights) - 1:
                z = z * (z.real > 0)
        total = total + loss(z if bias is None else z + bias, target) / len(features)
    factors = [*weights, features, *([] if bias is None else [bias])]
    return total + sum(decay / 2 * (factor**2).sum() for decay, factor in zip(decays, factors, strict=True))


def gradient(function: Callable[..., Any], parts: Sequence[Array]) -> list[Array]:
    """Derivatives of a function of several arrays, by one complex step for each entry."""
    found = []
    for index, part in enumerate(parts):
        slopes = np.zeros(part.shape)
        for entry in np.ndindex(part.shape):
            moved = [other.astype(complex) for other in parts]
            moved[index][entry] += 1e-30j
            slopes[entry] = function(*moved).imag / 1e-30
        found.append(slopes)
    return found


def shrunken(kappa: mp.mpf, layers: int) -> mp.mpf:
    """The x of least (x-1)^2 + L kappa x^(2/L): zero, or t^L with the largest root t of t^(L-2) - t^(2L-2) = kappa."""

    def excess(t: mp.mpf) -> mp.mpf:
        return t ** (layers - 2) - t ** (2 * layers - 2) - kappa

    low, high = (mp.mpf(layers - 2) / (2 * layers - 2)) ** (mp.mpf(1) / layers), mp.mpf(1)  # it falls from here to 1
    if excess(low) <= 0:
        return mp.mpf(0)
    for _ in range(int(mp.mp.prec)):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return min(mp.mpf(0), low**layers, key=lambda x: (x - 1) ** 2 + layers * kappa * x ** (mp.mpf(2) / layers))


def chain_value(counts: Sequence[int], decays: Sequence[float]) -> float:
    """Minimum of the bias-free chain with one-hot targets, the sum of n_k/N m(kappa_k); features' decay last."""
    with mp.workdps(40):
        layers, total = len(decays), sum(counts)
        common = mp.mpf(1)
        for decay in decays:
            common *= mp.mpf(decay)
        value = mp.mpf(0)
        for n in counts:
            kappa = total * common ** (mp.mpf(1) / layers) * mp.mpf(n) ** (mp.mpf(1) / layers - 1)
            x = shrunken(kappa, layers)
            value += mp.mpf(n) / total * (1 - x) * (1 + (layers - 1) * x) / 2
        return float(value)


def grams(weight: Array, features: Array, labels: Array) -> tuple[Array, Array, Array]:
    """W W^T, Hbar Hbar^T and W Hbar^T, class means computed one by one."""
    means = np.array([features[labels == k].mean(axis=0) for k in range(labels.max() + 1)])
    return weight @ weight.T, means @ means.T, weight @ means.T


def relative_gram_error(gram: Array, form: Array) -> float:
    return float(np.linalg.norm(gram / np.linalg.norm(gram) - form / np.linalg.norm(form)))
