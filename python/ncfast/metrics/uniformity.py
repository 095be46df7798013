"""Hyperspherical uniformity: how evenly directions fill the sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .._frame import as_frame
from ._sweep import scaled_frame, sweep

_KERNELS = ("log", "distance", "riesz", "rbf")


def hyperspherical_uniformity(
    vectors: ArrayLike, kernel: str = "log", *, power: float = 1.0, scale: float = 2.0
) -> tuple[float, float]:
    """Mean and variance (ddof 0) over pairs of a kernel of the distance r between unit vectors.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame; only directions matter. For class means, subtract the global mean first.
    kernel : {"log", "distance", "riesz", "rbf"}
        ``"log"``: ``log(1/r)``. ``"distance"``: ``r``. ``"riesz"``: ``sign(power) r^(-power)``.
        ``"rbf"``: ``exp(-scale r^2)``.
    power : float, default 1.0
        Exponent of ``"riesz"``, not 0. d - 2, which common code takes, leaves float64 for large d.
    scale : float, default 2.0
        Of ``"rbf"``, positive.

    Returns
    -------
    mean, variance : float
        A simplex ETF has the least mean of ``"log"``, ``"riesz"`` and ``"rbf"``, the largest of
        ``"distance"``, and variance 0. nan, with a RuntimeWarning, if a vector is zero; if two directions
        coincide, ``"log"`` and ``"riesz"`` of positive power are infinite with variance nan, and warn.

    References
    ----------
    Liu et al., "Generalizing and decoupling neural collapse via hyperspherical uniformity gap", ICLR 2023;
    Wang, Isola, "Understanding contrastive representation learning through alignment and uniformity on the
    hypersphere", ICML 2020, for ``"rbf"``.
    """
    if kernel not in _KERNELS:
        raise ValueError(f"kernel is {kernel!r}; wanted one of {', '.join(map(repr, _KERNELS))}")
    if kernel == "riesz" and not (np.isfinite(power) and power != 0):
        raise ValueError(f"power is {power}; wanted a finite number other than 0")
    if kernel == "rbf" and not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale is {scale}; wanted a positive number")
    frame = scaled_frame(as_frame(vectors))
    if not frame.has_directions():
        return np.nan, np.nan
    parameter = {"riesz": power, "rbf": scale}.get(kernel, 0.0)
    return sweep(frame, kernel=kernel, parameter=parameter).kernel_moments
