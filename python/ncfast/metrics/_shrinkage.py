"""How far decay shrinks a singular value that a chain of factors has to produce."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def shrunken(log_kappa: Float, layers: int) -> tuple[Float, Float]:
    """Return the x that minimises ``(x-1)^2/2 + (L/2) kappa x^(2/L)``, and ``1 - x``, each with all its digits.

    L = `layers` factors, features included, share the decay. x is the largest root of ``1 - x = kappa x^(2/L - 1)``
    below `kappa_threshold`, and 0 from there on.
    """
    power = 1.0 - 2.0 / layers
    alive = log_kappa < np.log(kappa_threshold(layers))
    # log z + power log(1 - z) = log kappa for z = 1 - x: concave, so Newton's steps climb to the root.
    goal = np.where(alive, log_kappa, -10.0)
    rest = np.exp(goal)
    for _ in range(60):
        error = goal - np.log(rest) - power * np.log1p(-rest)
        rest = rest + np.maximum(error, 0.0) / (1.0 / rest - power / (1.0 - rest))
    rest = np.where(alive, rest, 1.0)
    return 1.0 - rest, rest


def kappa_threshold(layers: int) -> float:
    """Kappa from which zero is the minimum: 1 for two factors, 2^(-4/3) for three."""
    return _kappa((layers - 2.0) / (layers - 1.0), layers)


def kappa_spinodal(layers: int) -> float:
    """Kappa up to which there is a minimum besides zero; above `kappa_threshold` for more than two factors."""
    return _kappa((layers - 2.0) / (2.0 * layers - 2.0), layers)


def _kappa(x: float, layers: int) -> float:
    return float((1.0 - x) * x ** (1.0 - 2.0 / layers))
