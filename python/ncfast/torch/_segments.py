"""Rows grouped by class, and their sums in a fixed order: no atomics, no size that depends on the data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._arithmetic import Pair, add_pairs

_RUN = 256
"""Rows summed one after the other; their sums are summed in turn. Keeps a large class from being one long chain."""


@dataclass(frozen=True)
class Segments:
    """n rows in the order of their classes, cut into at most m segments of one class each.

    Attributes
    ----------
    order : Tensor of int64, shape (n,)
        Rows by class, those of a class as they came.
    ranks : Tensor of int64, shape (n,)
        Segment of each row in that order.
    owners : Tensor of int64, shape (m,)
        Class of each segment; the last class of all for segments that are not needed.
    offsets : Tensor of int64, shape (m + 1,)
        Where segments start.
    """

    order: Tensor
    ranks: Tensor
    owners: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, classes: Tensor, num_classes: int) -> Segments:
        """Group rows by class, an integer in [0, num_classes)."""
        # Some releases of macOS sort int64 wrongly.
        ordered, order = torch.sort(classes.to(torch.int32), stable=True)
        ranks = (ordered.diff(prepend=ordered[:1]) != 0).cumsum(0)
        most = min(classes.shape[0], num_classes)
        offsets = torch.searchsorted(ranks, torch.arange(most + 1, device=classes.device))
        owners = ordered.to(torch.int64)[offsets[:-1].clamp(max=classes.shape[0] - 1)]
        return cls(order, ranks, owners.masked_fill(offsets.diff() == 0, num_classes - 1), offsets)

    @property
    def counts(self) -> Tensor:
        """Rows of each segment, shape (m,)."""
        return self.offsets.diff()

    def arrange(self, features: Tensor, nowhere: int) -> Tensor:
        """Bring features (n, d) into this order; rows of class `nowhere` become zero."""
        return features[self.order].masked_fill_((self.owners[self.ranks] == nowhere)[:, None], 0)

    def first(self, rows: Tensor) -> Tensor:
        """Return the first row of each segment, of rows in this order; any row where there is none."""
        return rows[self.offsets[:-1].clamp(max=rows.shape[0] - 1)]

    def sum(self, values: Tensor) -> Tensor:
        """Sum float values (n, ...), in the order of `order`, by segment: (m, ...)."""
        cuts = torch.arange(0, values.shape[0], _RUN, device=values.device)
        pieces = torch.cat((self.offsets, cuts)).sort()[0]
        return _reduce(_reduce(values, pieces), torch.searchsorted(pieces, self.offsets))

    def sum_pairs(self, values: Pair) -> Pair:
        """Sum pairs of float32 (n, d) by segment, neighbours first, then neighbouring sums, and so on: (m, d).

        Takes log2(n) passes over the values, by operations that every device has.
        """
        high, low = values
        step, rows = 1, self.ranks.shape[0]
        while step < rows:
            same = (self.ranks[step:] == self.ranks[:-step])[:, None]
            after = (torch.where(same, high[step:], 0), torch.where(same, low[step:], 0))
            both = add_pairs((high[:-step], low[:-step]), after)
            high, low = (torch.cat((new, old[-step:])) for new, old in zip(both, (high, low), strict=True))
            step *= 2
        is_empty = (self.counts == 0)[:, None]
        return self.first(high).masked_fill(is_empty, 0), self.first(low).masked_fill(is_empty, 0)


def _reduce(values: Tensor, offsets: Tensor) -> Tensor:
    """Sum values between consecutive offsets; nothing is checked, which would wait for the device."""
    return torch.segment_reduce(values, "sum", offsets=offsets, axis=0, unsafe=True, initial=0)
