"""NC2: how close a frame is to equal norms, equal angles, a simplex ETF or an orthogonal frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._frame import as_frame, unit_power, warn_degenerate
from ._sweep import PairSweep, scaled_frame, sweep
from .spectrum import Spectrum

Float = NDArray[np.float64]


def equinorm(vectors: ArrayLike) -> float:
    """Spread of the norms: standard deviation over mean (population, ddof 0).

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame. For class means, subtract the global mean first.

    References
    ----------
    Papyan, Han, Donoho, PNAS 2020.
    """
    frame = as_frame(vectors)
    return spread_of_norms(np.linalg.norm(frame * unit_power(float(np.abs(frame).max())), axis=1))


def spread_of_norms(norms: Float) -> float:
    """`equinorm` of a frame with these norms, in whatever units."""
    if norms.max() == 0:
        warn_degenerate("all vectors of the frame are zero: the spread of their norms is undefined")
        return np.nan
    return float(norms.std() / norms.mean())


def equiangularity(vectors: ArrayLike) -> float:
    """Spread of the angles: standard deviation (ddof 0) of the cosines of all pairs.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame. For class means, subtract the global mean first.

    References
    ----------
    Papyan, Han, Donoho, PNAS 2020.
    """
    return sweep_of(vectors).equiangularity


def max_angle(vectors: ArrayLike) -> float:
    """Distance to maximal equal angles: mean over pairs of ``|cos + 1/(K-1)|``.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame. For class means, subtract the global mean first.

    References
    ----------
    Papyan, Han, Donoho, PNAS 2020.
    """
    return sweep_of(vectors).max_angle


def etf_distance(vectors: ArrayLike) -> float:
    """Distance of the normalised Gram matrix to that of a simplex ETF.

    ``|| G/||G||_F - P/sqrt(K-1) ||_F`` with ``G = V V^T`` and ``P = I - 11^T/K``.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame V. For class means, subtract the global mean first.

    References
    ----------
    Zhu et al., "A geometric analysis of neural collapse with unconstrained features", NeurIPS 2021.
    """
    return sweep_of(vectors).etf_distance


def of_distance(vectors: ArrayLike) -> float:
    """Distance of the normalised Gram matrix to that of an orthogonal frame.

    ``|| G/||G||_F - I/sqrt(K) ||_F`` with ``G = V V^T``. An exact simplex ETF reads
    ``sqrt(2 - 2 sqrt((K-1)/K))``.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The frame V. Class means are taken as they are, not centred.

    References
    ----------
    Tirer, Bruna, "Extended unconstrained features model for exploring deep neural collapse", ICML 2022.
    """
    return sweep_of(vectors).of_distance


def sweep_of(vectors: ArrayLike) -> PairSweep:
    """Return one sweep over the pairs of a frame, for all of the above."""
    return sweep(scaled_frame(as_frame(vectors)))


def shape_metrics(name: str, pairs: PairSweep, spectrum: Spectrum) -> dict[str, float]:
    """Return what a report says of the shape of a frame of this name, by key."""
    return {
        f"nc2_equinorm_{name}": spread_of_norms(pairs.frame.lengths),
        f"nc2_equiangularity_{name}": pairs.equiangularity,
        f"nc2_max_angle_{name}": pairs.max_angle,
        f"nc2_etf_{name}": pairs.etf_distance,
        f"nc2_of_{name}": pairs.of_distance,
        f"{name}_condition_number": spectrum.condition_number,
        f"{name}_stable_rank": spectrum.stable_rank,
        f"{name}_effective_rank": spectrum.effective_rank,
        f"{name}_rank": float(spectrum.rank),
    }
