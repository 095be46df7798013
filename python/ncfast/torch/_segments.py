"""Rows grouped by class, and their sums in a fixed order: no atomics, no size that depends on the data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

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
        ordered, order = torch.sort(classes, stable=True)
        ranks = (ordered.diff(prepend=ordered[:1]) != 0).cumsum(0)
        most = min(classes.shape[0], num_classes)
        owners = torch.full((most,), num_classes - 1, device=classes.device)
        owners.scatter_(0, ranks, ordered)
        offsets = torch.searchsorted(ranks, torch.arange(most + 1, device=classes.device))
        return cls(order, ranks, owners, offsets)

    @property
    def counts(self) -> Tensor:
        """Rows of each segment, shape (m,)."""
        return self.offsets.diff()

    def sum(self, values: Tensor) -> Tensor:
        """Sum float values (n, ...), in the order of `order`, by segment: (m, ...)."""
        cuts = torch.arange(0, values.shape[0], _RUN, device=values.device)
        pieces = torch.cat((self.offsets, cuts)).sort()[0]
        return _reduce(_reduce(values, pieces), torch.searchsorted(pieces, self.offsets))


def _reduce(values: Tensor, offsets: Tensor) -> Tensor:
    """Sum values between consecutive offsets; nothing is checked, which would wait for the device."""
    return torch.segment_reduce(values, "sum", offsets=offsets, axis=0, unsafe=True, initial=0)
