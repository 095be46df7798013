"""Class statistics by torch operations, on any device.

Each row is centred between the mean of its class so far, of n rows, and the mean of its class in the batch, of m:
at ``c = mu_batch - sqrt(n / (n + m)) (mu_batch - mu_before)``. Squares and products about c add up to those about
the mean of all n + m rows, exactly: deviations from mu_batch sum to zero, which leaves m c-shifts, and these are
what the two means being apart adds, n m / (n + m). Nothing is ever subtracted, so nothing is lost, in one product
per batch and however far the first row of a class lay from the rest.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ._arithmetic import add_gram, plain_arithmetic
from ._operator import operator
from ._segments import Segments

_CHUNK_VALUES = 16 << 20
"""Values of features taken at a time: 128 MiB of float64 deviations."""

LARGEST = 2.0**500
"""Squares of float64 values beyond this could leave its range; the compiled kernels draw the same line."""


@operator("ncfast::add_rows")
def add_rows(
    features: Tensor,
    classes: Tensor,
    counts: Tensor,
    pivots: Tensor,
    sums: Tensor,
    squares: Tensor,
    scatter: Tensor | None,
    left_out: Tensor,
    double_products: bool,
) -> None:
    """Add rows to the statistics of K classes; the last of the K + 1 rows of each tensor takes what is left out.

    features (n, d); classes (n,) int64, K for rows to leave out. counts (K+1,) int64; pivots, sums (K+1, d),
    squares (K+1,), scatter (d, d) float64: `sums` about the pivots, `squares` and `scatter` about the means.
    left_out (1,) int64 counts rows that hold NaN or infinity, or values whose squares leave the range of float64.
    """
    with plain_arithmetic(features.device):
        for rows, kept in usable_chunks(features, classes, counts.shape[0] - 1, left_out, LARGEST):
            _add_chunk(rows, kept, counts, pivots, sums, squares, scatter, double_products)


def usable_chunks(
    features: Tensor, classes: Tensor, nowhere: int, left_out: Tensor, largest: float
) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut rows into chunks; those that hold NaN or values beyond `largest` go to class `nowhere`, and are counted."""
    step = max(1, _CHUNK_VALUES // features.shape[1])
    limited = largest < torch.finfo(features.dtype).max
    for start in range(0, features.shape[0], step):
        rows, labels = features[start : start + step], classes[start : start + step]
        usable = rows.abs() <= largest if limited else rows.isfinite()
        unusable = ~usable.all(1) & (labels != nowhere)
        left_out += unusable.sum()
        yield rows, labels.masked_fill(unusable, nowhere)


def _add_chunk(
    features: Tensor,
    classes: Tensor,
    counts: Tensor,
    pivots: Tensor,
    sums: Tensor,
    squares: Tensor,
    scatter: Tensor | None,
    double_products: bool,
) -> None:
    nowhere = counts.shape[0] - 1
    by_class = Segments.of(classes, nowhere + 1)
    owners, ranks = by_class.owners, by_class.ranks
    rows = by_class.arrange(features, nowhere)

    before, added = counts[owners], by_class.counts
    is_new = (before == 0)[:, None]
    pivot = torch.where(is_new, by_class.first(rows).to(pivots.dtype), pivots[owners])
    deviations = rows.to(pivots.dtype) - pivot[ranks]
    batch_sums = by_class.sum(deviations)

    known = sums[owners]
    offset = batch_sums / added.clamp(min=1)[:, None]
    apart = offset - known / before.clamp(min=1)[:, None]
    share = before.to(offset.dtype) / (before + added).clamp(min=1)
    deviations -= (offset - share.sqrt()[:, None] * apart)[ranks]

    pivots.index_copy_(0, owners, pivot)
    sums.index_copy_(0, owners, known + batch_sums)
    counts.index_copy_(0, owners, before + added)
    squares.index_copy_(0, owners, squares[owners] + by_class.sum(deviations.square().sum(1)))
    if scatter is not None:
        narrow = features.dtype != torch.float64 and not double_products
        add_gram(deviations, scatter, torch.float32 if narrow else torch.float64)
