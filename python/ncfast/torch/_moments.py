"""Class statistics as tensors on their device, about the class means: the form in which they travel and merge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..statistics import ClassStatistics
from ._arithmetic import plain_arithmetic


@dataclass(frozen=True)
class Moments:
    """Statistics of K classes of d-dimensional features.

    Attributes
    ----------
    counts : Tensor of int64, shape (K,)
    pivots, sums : Tensor of float64, shape (K, d)
        ``mu_k = pivots_k + sums_k / counts_k``; the pivots are the means but for rounding.
    squares : Tensor of float64, shape (K,)
        ``sum_i ||h_i - mu_k||^2``.
    scatter : Tensor of float64, shape (d, d), or None
        ``sum_i (h_i - mu_y)(h_i - mu_y)^T``.
    """

    counts: Tensor
    pivots: Tensor
    sums: Tensor
    squares: Tensor
    scatter: Tensor | None

    @classmethod
    def about_means(
        cls, counts: Tensor, pivots: Tensor, sums: Tensor, squares: Tensor, scatter: Tensor | None
    ) -> Moments:
        """Move pivots to the means; `squares` and `scatter` are about the means already."""
        present = (counts > 0)[:, None]
        divisors = counts.clamp(min=1)[:, None]
        moved = torch.where(present, pivots + sums / divisors, 0)
        return cls(counts, moved, torch.where(present, sums - divisors * (moved - pivots), 0), squares, scatter)

    @classmethod
    def about(cls, counts: Tensor, pivots: Tensor, sums: Tensor, squares: Tensor, scatter: Tensor | None) -> Moments:
        """Take what is about pivots close to the means to the means."""
        roots = sums / counts.clamp(min=1).to(sums.dtype).sqrt()[:, None]
        if scatter is not None:
            scatter = torch.addmm(scatter, roots.T, roots, alpha=-1)
        squares = (squares - roots.square().sum(1)).clamp(min=0)
        return cls.about_means(counts, pivots, sums, squares, scatter)

    @classmethod
    def of(cls, stats: ClassStatistics, device: torch.device) -> Moments:
        """Take statistics to a device."""
        arrays = (stats.counts, stats.pivots, stats.sums, stats.squared_deviations)
        counts, pivots, sums, squares = (torch.tensor(array, device=device) for array in arrays)
        scatter = None if stats.pooled is None else torch.tensor(stats.scatter, device=device)
        return cls.about_means(counts, pivots, sums, squares, scatter)

    def statistics(self, feature_dtype: str | None, chosen: Any = None) -> ClassStatistics:
        """Bring them to the host."""
        # What the rounding of the means adds to the pooled scatter is its square: far below the last digit.
        square_sums = self.squares + self.sums.square().sum(1) / self.counts.clamp(min=1)
        return ClassStatistics(
            counts=_on_host(self.counts),
            pivots=_on_host(self.pivots),
            sums=_on_host(self.sums),
            square_sums=_on_host(square_sums),
            pooled=None if self.scatter is None else _on_host(self.scatter),
            feature_dtype=feature_dtype,
            chosen=chosen,
        )

    def to(self, device: torch.device) -> Moments:
        """Take them to a device."""
        counts, pivots, sums, squares = (t.to(device) for t in (self.counts, self.pivots, self.sums, self.squares))
        return Moments(counts, pivots, sums, squares, None if self.scatter is None else self.scatter.to(device))

    def weighted_means(self) -> Tensor:
        """``n_k mu_k``, shape (K, d): these of several parts add up, to points near the means of all."""
        return self.counts[:, None] * self.pivots + self.sums

    def shifted(self, points: Tensor) -> Moments:
        """Return additive sums about common points (K, d) near the means.

        In the result `pivots` are the points, and `sums`, `squares`, `scatter` are about them: they add up over parts.
        """
        counts = self.counts[:, None]
        sums = torch.where(counts > 0, self.sums + counts * (self.pivots - points), 0)
        roots = sums / counts.clamp(min=1).to(sums.dtype).sqrt()
        scatter = None if self.scatter is None else torch.addmm(self.scatter, roots.T, roots)
        return Moments(self.counts, points, sums, self.squares + roots.square().sum(1), scatter)

    def merge(self, other: Moments) -> Moments:
        """Return the statistics of both sets of samples together."""
        with plain_arithmetic(self.counts.device):
            counts = self.counts + other.counts
            points = (self.weighted_means() + other.weighted_means()) / counts.clamp(min=1)[:, None]
            ours, theirs = self.shifted(points), other.shifted(points)
            scatter = None
            if ours.scatter is not None and theirs.scatter is not None:
                scatter = ours.scatter + theirs.scatter
            return Moments.about(counts, points, ours.sums + theirs.sums, ours.squares + theirs.squares, scatter)


def _on_host(tensor: Tensor) -> Any:
    return tensor.cpu().numpy().copy()
