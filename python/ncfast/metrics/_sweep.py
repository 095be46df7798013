"""One sweep over all pairs of a frame serves every metric that compares its vectors two by two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._frame import largest_magnitude, products_with, unit_power, warn_degenerate
from ._targets import etf_target, of_target

Float = NDArray[np.float64]
_SHORT = 1e-100
_SMALL = 2.0**-20


@dataclass(frozen=True)
class ScaledFrame:
    """A (K, d) frame times the power of two `scale`, the lengths of its rows, and vectors along them.

    `directions` are the rows themselves but where some are so short that their squares would vanish; `inverses` (K,)
    are one over their lengths, 0 for a zero row. `products` is the precision of products of rows, and of columns
    where those are fewer.
    """

    rows: Float
    lengths: Float
    directions: Float
    inverses: Float
    scale: float
    products: type[np.floating[Any]] = np.float64

    @property
    def squares(self) -> Float:
        """Squared lengths, shape (K,)."""
        return self.lengths**2

    @cached_property
    def norm(self) -> float:
        """Frobenius norm of the rows."""
        return float(np.linalg.norm(self.lengths))

    @cached_property
    def sums(self) -> Float:
        """Sum of the rows, shape (d,)."""
        k = self.lengths.size
        sums: Float = k * _core.frame_mean(self.rows, np.full(k, 1.0 / k))
        return sums

    @cached_property
    def exact(self) -> ScaledFrame:
        """The same with products in float64."""
        return self if self.products is np.float64 else replace(self, products=np.float64)

    @cached_property
    def single(self) -> NDArray[np.float32]:
        """Directions in float32."""
        return _core.rounded(self.directions)

    @cached_property
    def by_features(self) -> Float:
        """Gram matrix of the columns, shape (d, d)."""
        if self.products is np.float64 or self.directions is not self.rows:
            return _core.gram(self.rows.T)
        lower = np.zeros((self.rows.shape[1],) * 2)
        _core.rank_update(self.single, 1.0, lower)
        return _core.mirror(lower)

    @cached_property
    def by_classes(self) -> Float:
        """Gram matrix of the rows, shape (K, K)."""
        return _core.gram(self.rows)

    @property
    def smaller_gram(self) -> Float:
        """Gram matrix of the rows or of the columns, whichever are fewer."""
        return self.by_features if self.rows.shape[0] > self.rows.shape[1] else self.by_classes

    def has_directions(self) -> bool:
        """Whether all rows have one; warns if not."""
        shortest = int(np.argmin(self.lengths))
        if self.lengths[shortest] > 0:
            return True
        warn_degenerate(f"vector {shortest} of the frame is zero: it has no direction, and angles are undefined")
        return False


def scaled_frame(
    frame: Float, squares: Float | None = None, *, products: type[np.floating[Any]] = np.float64
) -> ScaledFrame:
    """Bring a frame to a scale where its squares are in range, of float32 too; most are, and are not copied.

    The squared lengths of its vectors may be given.
    """
    rows = np.ascontiguousarray(frame)
    lengths = np.sqrt(_core.row_products(rows, rows) if squares is None else squares)
    scale = 1.0
    if not _SMALL * np.sqrt(rows.shape[1]) < lengths.max() < 1.0 / _SMALL:  # some entry may be out of range
        largest = largest_magnitude(frame)
        scale = 1.0 if _SMALL < largest < 1.0 / _SMALL else unit_power(largest)
        if scale != 1.0:
            rows = rows * scale
            lengths = np.sqrt(_core.row_products(rows, rows))
    if lengths.min() > _SHORT:
        return ScaledFrame(rows, lengths, rows, 1.0 / lengths, scale, products)
    # Each row by a power of two of its own: its squares stay in range however short it is among the others.
    _, exponents = np.frexp(np.maximum(rows.max(axis=1), -rows.min(axis=1)))
    directions = np.ldexp(rows, -exponents[:, None])
    norms = np.sqrt(_core.row_products(directions, directions))
    inverses = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return ScaledFrame(rows, np.ldexp(norms, exponents), directions, inverses, scale, products)


@dataclass(frozen=True)
class Rivals:
    """Affine scores ``slopes_k <v_k, x> + levels_k``, right up to ``slacks_k ||x||``; in units of the scaled frame."""

    slopes: Float
    levels: Float
    slacks: Float


@dataclass(frozen=True)
class PairSweep:
    """What a sweep over the pairs of a frame found; entries of `found` are those of the kernel."""

    frame: ScaledFrame
    found: dict[str, Any]
    uncentred_squares: Float | None

    @property
    def pairs(self) -> float:
        """How many pairs there are."""
        k = self.frame.lengths.size
        return k * (k - 1) / 2

    @property
    def equiangularity(self) -> float:
        """Standard deviation of the cosines; nan, with a warning, if a vector is zero."""
        if not self.frame.has_directions():
            return np.nan
        return float(np.sqrt(self.found["cosines"]["squares"] / self.pairs))

    @property
    def max_angle(self) -> float:
        """Mean of ``|cos + 1/(K-1)|``; nan, with a warning, if a vector is zero."""
        if not self.frame.has_directions():
            return np.nan
        return float(self.found["cosine_excess"] / self.pairs)

    @property
    def coherence(self) -> float:
        """Largest ``|cos|``; nan, with a warning, if a vector is zero."""
        if not self.frame.has_directions():
            return np.nan
        return float(min(self.found["coherence"], 1.0))

    @property
    def unit(self) -> float:
        """Bound on what rounding moves a product by, or a squared distance, over the squared lengths.

        It is twice what rounded products could be off; those that the tile unit makes of bytes are off by less.
        """
        d = int(self.frame.rows.shape[1])
        return 16 * (d + 16) * float(np.finfo(self.frame.products).eps)

    @property
    def squared_cosines(self) -> float:
        """Sum of ``cos^2`` over the pairs of vectors that are not zero."""
        cosines = self.found["cosines"]
        return float(cosines["squares"] + cosines["count"] * cosines["mean"] ** 2)

    @property
    def etf_distance(self) -> float:
        """Distance of the normalised Gram matrix to that of a simplex ETF; nan, with a warning, if it is zero."""
        if not self.frame.squares.any():
            warn_degenerate("all vectors of the frame are zero: its distance to any frame is undefined")
            return np.nan
        target = etf_target(self.frame.lengths.size, float(self.frame.squares.sum()))
        target.add_diagonal(self.frame.squares)
        target.add_pairs(self.found["etf_errors"], self.found["etf_error_squares"])
        return target.value

    @property
    def of_distance(self) -> float:
        """Distance of the normalised Gram matrix, uncentred if asked so, to that of an orthogonal frame."""
        squares = self.frame.squares if self.uncentred_squares is None else self.uncentred_squares
        if not squares.any():
            warn_degenerate("all vectors of the frame are zero: its distance to any frame is undefined")
            return np.nan
        target = of_target(self.frame.lengths.size, float(squares.sum()))
        target.add_diagonal(squares)
        target.add_pairs(0.0, self.found["shifted_squares"] / target.trial_norm**2)
        return target.value

    @property
    def kernel_moments(self) -> tuple[float, float]:
        """Mean and variance of the kernel; infinite and nan, with a warning, where it is infinite for some pair."""
        if self.found["same_direction"]:
            warn_degenerate("two directions of the frame coincide: the kernel of their distance is infinite")
            return np.inf, np.nan
        moments = self.found["kernel"]
        return float(moments["mean"]), float(moments["squares"] / moments["count"])

    @property
    def cdnv(self) -> float:
        """Mean of the ratios; infinite, with a warning, when two vectors coincide."""
        if self.found["coincident"]:
            warn_degenerate("two class means coincide: CDNV is infinite")
        return float(self.found["ratios"] / self.pairs) * self.frame.scale**2

    @property
    def largest_ratios(self) -> Float:
        """Largest of the ratios of each class, shape (K,)."""
        ratios: Float = self.found["worst"]
        return ratios * self.frame.scale**2

    @property
    def squared_distance_to_nearest(self) -> Float:
        """Of each vector to the nearest other, shape (K,), at the scale of the frame as it was given."""
        nearest: Float = self.found["nearest"]
        return nearest / self.frame.scale**2

    @property
    def cdnv_per_class(self) -> Float:
        """Mean of the ratios of each class with all others, shape (K,)."""
        ratios: Float = self.found["class_ratios"]
        return ratios / (ratios.size - 1) * self.frame.scale**2


def sweep(
    frame: ScaledFrame,
    *,
    uncentred: Float | None = None,
    uncentred_squares: Float | None = None,
    variances: Float | None = None,
    kernel: str = "none",
    parameter: float = 0.0,
    rivals: Rivals | None = None,
) -> PairSweep:
    """Go over all pairs once.

    Parameters
    ----------
    frame
        All but its products is in float64.
    uncentred, uncentred_squares
        Vectors (K, d) that `frame`, before its scaling, was centred from: then `of_distance` is theirs. Their squared
        lengths may be given.
    variances
        One per vector, shape (K,): asks for distances and CDNV.
    kernel, parameter
        Of the distance of unit vectors: "none", "log", "distance", "riesz" (power), "rbf" (scale).
    rivals
        Asks for the strongest rival score of each vector.
    """
    squares, shifts = None, None
    if uncentred is not None:
        vectors = uncentred if frame.scale == 1.0 else uncentred * frame.scale
        common = vectors[0] - frame.rows[0]
        at_hand = frame.scale == 1.0 and uncentred_squares is not None
        squares = uncentred_squares if at_hand else _core.row_products(vectors, vectors)
        shifts = products_with(frame.rows, common) + 0.5 * float(common @ common)
    trial = etf_target(frame.lengths.size, float(frame.squares.sum()))
    # What the singular values ask for anyway, and no larger than the frame.
    known = (
        frame.products is np.float64 and frame.directions is frame.rows and frame.rows.shape[0] <= frame.rows.shape[1]
    )
    found = _core.pairs(
        directions=frame.single if frame.products is np.float32 else frame.directions,
        products=frame.by_classes if known else None,
        inverses=frame.inverses,
        frame=frame.rows,
        lengths=frame.lengths,
        shifts=shifts,
        etf_norm=trial.trial_norm or 1.0,
        etf_entry=trial.off_diagonal,
        variances=variances,
        kernel=kernel,
        parameter=parameter,
        slopes=None if rivals is None else rivals.slopes,
        levels=None if rivals is None else rivals.levels,
        slacks=None if rivals is None else rivals.slacks,
    )
    return PairSweep(frame, found, squares)
