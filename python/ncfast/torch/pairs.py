"""All pairs of a large frame on its device, tile by tile over half of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._frame import unit_power
from ..metrics._sweep import PairSweep, ScaledFrame
from ..metrics._targets import etf_target
from ._arithmetic import plain_arithmetic

_CLOSE = {torch.float64: 1e-4, torch.float32: 3e-2}
"""Squared distances below this share of the squared lengths are taken from differences."""
_GAP_VALUES = 16 << 20


def sweep_pairs(
    frame: Tensor,
    *,
    variances: Tensor | None = None,
    uncentred: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
    tile: int | None = None,
) -> PairSweep:
    """Compare the vectors of a frame two by two, in memory of a few tiles.

    Parameters
    ----------
    frame : Tensor, shape (K, d)
        On any device with float64; class means centred at their mean, or weights. Finite; no check of that is made.
    variances : Tensor, shape (K,), optional
        Mean squared deviation of each class, for ``cdnv`` and ``largest_ratios``.
    uncentred : Tensor, shape (K, d), optional
        What `frame` was centred from; ``of_distance`` is then of these.
    dtype : torch.dtype, default torch.float64
        Of the products; all else is float64. In float32, cosines are good to about 1e-6.
    tile : int, optional
        Rows and columns of a tile; about 100 tile^2 bytes are in use. By default 512 on a CPU, where that stays
        near its caches, and 4096 elsewhere.

    Returns
    -------
    PairSweep
        With ``equiangularity``, ``max_angle``, ``coherence``, ``etf_distance``, ``of_distance``, ``kernel_moments``
        (of ``log 1/r``, hyperspherical uniformity), ``cdnv``, ``largest_ratios``, ``squared_distance_to_nearest``:
        the same definitions, and code, as of the sweep on the CPU.
    """
    if frame.ndim != 2 or frame.shape[0] < 2:
        raise ValueError(f"frame has shape {tuple(frame.shape)}; wanted (K, d), K at least 2")
    if dtype not in _CLOSE:
        raise ValueError(f"dtype is {dtype}; wanted torch.float64 or torch.float32")
    if frame.device.type == "mps":
        raise ValueError(f"frame is on device {frame.device}, which has no float64; wanted frame.cpu()")
    with plain_arithmetic(frame.device):
        return _Sweep(frame.detach(), variances, uncentred, dtype).run(_tile_on(frame.device) if tile is None else tile)


def _tile_on(device: torch.device) -> int:
    return 512 if device.type == "cpu" else 4096


class _Sweep:
    """A sweep on its way: rows scaled near 1, and for each tile a row of sums."""

    def __init__(self, frame: Tensor, variances: Tensor | None, uncentred: Tensor | None, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.scale = unit_power(float(frame.abs().max()))
        self.rows = frame.to(torch.float64) * self.scale
        self.lengths = torch.linalg.vector_norm(self.rows, dim=1)
        self.inverses = torch.where(self.lengths > 0, 1 / self.lengths, 0)
        self.units = self.rows * self.inverses[:, None]
        self.factors = self.units.to(dtype)
        k = frame.shape[0]
        self.variances = self.rows.new_zeros(k) if variances is None else variances.to(self.rows)
        self.shifts, self.uncentred_squares = self._shifts(uncentred)
        target = etf_target(k, float(self.lengths.square().sum()))
        self.etf_norm, self.etf_entry = target.trial_norm or 1.0, target.off_diagonal
        self.nearest = self.rows.new_full((k,), torch.inf)
        self.worst, self.class_ratios = self.rows.new_zeros(k), self.rows.new_zeros(k)

    def _shifts(self, uncentred: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if uncentred is None:
            return None, None
        vectors = uncentred.detach().to(self.rows) * self.scale
        common = vectors[0] - self.rows[0]
        return self.rows @ common + 0.5 * (common @ common), vectors.square().sum(1)

    def run(self, tile: int) -> PairSweep:
        k = self.rows.shape[0]
        found = [self._tile(r, c, tile) for r in range(0, k, tile) for c in range(r, k, tile)]
        sums = {name: torch.stack([each[name] for each in found]) for name in found[0]}
        host: dict[str, Any] = {name: values.sum().item() for name, values in sums.items() if values.ndim == 1}
        host["coherence"] = sums["coherence"].max().item()
        for name in ("cosines", "kernel"):
            host[name] = _merged(sums[name])
        for name in ("nearest", "worst", "class_ratios"):
            host[name] = getattr(self, name).cpu().numpy()
        products = np.float64 if self.dtype == torch.float64 else np.float32
        return PairSweep(
            ScaledFrame(_EMPTY, self.lengths.cpu().numpy(), _EMPTY, self.inverses.cpu().numpy(), self.scale, products),
            host,
            None if self.uncentred_squares is None else self.uncentred_squares.cpu().numpy(),
        )

    def _tile(self, row: int, col: int, tile: int) -> dict[str, Tensor]:
        r, c = slice(row, row + tile), slice(col, col + tile)
        cosines = (self.factors[r] @ self.factors[c].T).to(torch.float64)
        pairs = torch.ones_like(cosines, dtype=torch.bool)
        if row == col:
            pairs = pairs.triu(1)
        products = cosines * self.lengths[r, None] * self.lengths[c]
        errors = products / self.etf_norm - self.etf_entry
        shifted = products if self.shifts is None else products + (self.shifts[r, None] + self.shifts[c])
        real = pairs & (self.inverses[r, None] > 0) & (self.inverses[c] > 0)
        simplex = 1.0 / (self.rows.shape[0] - 1)

        def total(values: Tensor) -> Tensor:
            return torch.where(pairs, values, 0).sum()

        return {
            "cosines": _moments(cosines, real),
            "cosine_excess": total((cosines + simplex).abs()),
            "coherence": torch.where(pairs, cosines.abs(), 0).max(),
            "etf_errors": total(errors),
            "etf_error_squares": total(errors.square()),
            "shifted_squares": total(shifted.square()),
            **self._distances(r, c, products, pairs),
            **self._kernel(r, c, cosines, real),
        }

    def _distances(self, r: slice, c: slice, products: Tensor, pairs: Tensor) -> dict[str, Tensor]:
        both = self.lengths[r, None].square() + self.lengths[c].square()
        squares = both - 2 * products
        coincident = self._from_differences(self.rows, r, c, squares, pairs & (squares < _CLOSE[self.dtype] * both))
        variances = 0.5 * (self.variances[r, None] + self.variances[c])
        ratios = torch.where(pairs, torch.where(squares > 0, variances / squares, torch.inf), 0)
        apart = torch.where(pairs, squares, torch.inf)
        for side, dim in ((r, 1), (c, 0)):
            self.nearest[side] = torch.minimum(self.nearest[side], apart.amin(dim))
            self.worst[side] = torch.maximum(self.worst[side], ratios.amax(dim))
            self.class_ratios[side] += ratios.sum(dim)
        return {"ratios": ratios.sum(), "coincident": coincident}

    def _kernel(self, r: slice, c: slice, cosines: Tensor, real: Tensor) -> dict[str, Tensor]:
        squares = 2 - 2 * cosines
        same = self._from_differences(self.units, r, c, squares, real & (squares < 2 * _CLOSE[self.dtype]))
        return {"kernel": _moments(-0.5 * squares.log(), real & (squares > 0)), "same_direction": same}

    def _from_differences(self, rows: Tensor, r: slice, c: slice, squares: Tensor, close: Tensor) -> Tensor:
        """Replace squared distances of close pairs, in place; return how many are zero."""
        where = close.nonzero()
        for some in torch.split(where, max(1, _GAP_VALUES // rows.shape[1])):
            i, j = some.unbind(1)
            squares[i, j] = (rows[r.start + i] - rows[c.start + j]).square().sum(1)
        return (close & (squares == 0)).sum().to(squares.dtype)


_EMPTY = np.empty((0, 0))


def _moments(values: Tensor, which: Tensor) -> Tensor:
    """Count, mean, and sum of squares about it."""
    count = which.sum().to(values.dtype)
    mean = torch.where(which, values, 0).sum() / count.clamp(min=1)
    return torch.stack((count, mean, torch.where(which, values - mean, 0).square().sum()))


def _merged(parts: Tensor) -> dict[str, float]:
    """Moments of all parts together; parts (n, 3)."""
    counts, means, squares = parts.unbind(1)
    total = counts.sum().clamp(min=1)
    mean = (counts * means).sum() / total
    squares = squares + counts * (means - mean).square()
    return {"count": float(counts.sum()), "mean": float(mean), "squares": float(squares.sum())}
