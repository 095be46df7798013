"""A chain of weight matrices on top of free features: forwards, backwards, and how curved it can be.

Written so that complex arrays pass through: no conjugation, comparisons by real parts. One gradient with an
imaginary step then is an exact product with the Hessian.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def forward(weights: tuple[Array, ...], features: Array, *, relu: bool = False) -> list[Array]:
    """Return the features, what each layer makes of them, and the logits (without bias) last."""
    levels = [features]
    for layer, weight in enumerate(reversed(weights), start=1):
        levels.append(levels[-1] @ weight.T)
        if relu and layer < len(weights):
            levels[-1] = np.where(levels[-1].real > 0, levels[-1], 0.0)
    return levels


def backward(
    weights: tuple[Array, ...], levels: list[Array], slopes: Array, *, relu: bool = False
) -> tuple[tuple[Array, ...], Array]:
    """Gradients in the weights and in the features, from those in the logits."""
    gradients = []
    for layer, (weight, below) in enumerate(zip(weights, reversed(levels[:-1]), strict=True), start=1):
        gradients.append(slopes.T @ below)
        slopes = slopes @ weight
        if relu and layer < len(weights):
            slopes = np.where(below.real > 0, slopes, 0.0)
    return tuple(gradients), slopes


def curvature_bound(norms: list[float], residual: float, *, curvature: float, bias: float) -> float:
    """Bound on the Hessian of a loss of ``A_1 A_2 ... A_L + bias`` from spectral norms.

    ``curvature * (sum_l p_l^2 + bias^2) + residual * (largest eigenvalue of q)``, with p_l the product of all norms
    but the l-th and q_lm (l != m) that of all but two; `residual` is the spectral norm of the loss's slopes.
    """
    size = len(norms)
    others = np.array([[_product(norms, {row, col}) for col in range(size)] for row in range(size)])
    direct = float(np.sum(np.diagonal(others) ** 2)) + bias**2
    np.fill_diagonal(others, 0.0)
    return curvature * direct + residual * float(np.linalg.eigvalsh(others)[-1])


def spectral_norm(matrix: Array) -> float:
    """Largest singular value, through the smaller Gram matrix."""
    rows, cols = matrix.shape
    gram = matrix.T @ matrix if cols <= rows else matrix @ matrix.T
    return float(np.sqrt(max(np.linalg.eigvalsh(gram)[-1], 0.0)))


def _product(norms: list[float], without: set[int]) -> float:
    return float(np.prod([norm for index, norm in enumerate(norms) if index not in without]))
