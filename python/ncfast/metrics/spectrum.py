"""Singular values of a frame and what they say of its rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._frame import as_frame, warn_degenerate
from ._svd import singular_values
from ._sweep import scaled_frame


@dataclass(frozen=True)
class Spectrum:
    """Singular values of a frame, falling, and four summaries of them.

    Attributes
    ----------
    singular_values : ndarray of float64, shape (min(K, d),)
    condition_number : float
        Largest over r-th singular value, r = min(K-1, d): a simplex ETF has 1.
    stable_rank : float
        ``||V||_F^2 / ||V||_2^2``.
    effective_rank : float
        ``exp`` of the entropy of the normalised singular values (Roy, Vetterli 2007).
    rank : int
        Singular values above ``max(K, d) * eps`` of the largest.
    """

    singular_values: NDArray[np.float64]
    condition_number: float
    stable_rank: float
    effective_rank: float
    rank: int


def spectrum(vectors: ArrayLike) -> Spectrum:
    """Return the singular spectrum of a frame.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame. For class means, subtract the global mean first.
    """
    frame = scaled_frame(as_frame(vectors))
    return spectrum_of(singular_values(frame) / frame.scale, frame.rows.shape)


def spectrum_of(values: NDArray[np.float64], shape: tuple[int, int]) -> Spectrum:
    """Summarise the falling singular values of a (K, d) frame."""
    k, d = shape
    largest = float(values[0])
    if largest == 0:
        warn_degenerate("all vectors of the frame are zero: its spectrum has no shape")
        return Spectrum(values, np.nan, np.nan, np.nan, 0)
    relative = values / largest
    smallest = float(relative[min(k - 1, d) - 1])
    shares = relative[relative > 0] / relative.sum()
    return Spectrum(
        singular_values=values,
        condition_number=1.0 / smallest if smallest > 0 else np.inf,
        stable_rank=float(np.sum(relative**2)),
        effective_rank=float(np.exp(-np.sum(shares * np.log(shares)))),
        rank=int(np.count_nonzero(relative > max(k, d) * np.finfo(np.float64).eps)),
    )


def tightness_of(values: NDArray[np.float64], dimension: int) -> float:
    """`tightness` of a frame with these falling singular values, in a space of `dimension`."""
    if values[0] == 0:
        warn_degenerate("all vectors of the frame are zero: its distance to any frame is undefined")
        return np.nan
    shares = (values / values[0]) ** 2
    shares /= np.sqrt(np.sum(shares**2))
    shares[:dimension] -= 1.0 / np.sqrt(dimension)
    return float(np.sqrt(np.sum(shares**2)))
