"""Class statistics by torch operations on devices without float64: every total is a pair of float32.

The derivation is that of `ncfast.torch._portable`. What makes it work in float32: differences from a row of the same
class, and their sums, are pairs and lose nothing, so class means come out as from float64; squares and products are of
deviations from a point close to the mean, rounded to float32 once, and their sums over batches are pairs again.
Squares and products are held in units of a power of two, that of the largest deviation so far, so that they cannot
leave the range of float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._arithmetic import add_gram_to_pair, add_pairs, plain_arithmetic, power_of_two, reciprocal, two_sum
from ._operator import operator
from ._portable import usable_chunks
from ._segments import Segments

LARGEST = 2.0**110
"""Sums of larger values could leave the range of float32."""


@operator("ncfast::add_rows_compensated", last="Tensor(g!) unit", also_changed=("unit",))
def add_rows(
    features: Tensor,
    classes: Tensor,
    counts: Tensor,
    pivots: Tensor,
    sums: Tensor,
    squares: Tensor,
    scatter: Tensor | None,
    left_out: Tensor,
    unit: Tensor,
) -> None:
    """Add rows to the statistics of K classes; the last of the K + 1 rows of each tensor takes what is left out.

    features (n, d) of at most 32 bits; classes (n,) int64, K for rows to leave out. counts (K+1,) int64; pivots
    (K+1, d) float32; pairs of float32: `sums` (2, K+1, d) about the pivots, `squares` (2, K+1) and `scatter` (2, d, d)
    about the means, in units of ``unit ** 2``. left_out (1,) int64 counts rows with NaN or values beyond `LARGEST`.
    """
    with plain_arithmetic(features.device):
        for rows, kept in usable_chunks(features, classes, counts.shape[0] - 1, left_out, LARGEST):
            _add_chunk(rows, kept, counts, pivots, sums, squares, scatter, unit)


def _add_chunk(
    features: Tensor,
    classes: Tensor,
    counts: Tensor,
    pivots: Tensor,
    sums: Tensor,
    squares: Tensor,
    scatter: Tensor | None,
    unit: Tensor,
) -> None:
    nowhere = counts.shape[0] - 1
    by_class = Segments.of(classes, nowhere + 1)
    owners, ranks = by_class.owners, by_class.ranks
    rows = by_class.arrange(features, nowhere).to(torch.float32)

    before, added = counts[owners], by_class.counts
    pivot = torch.where((before == 0)[:, None], by_class.first(rows), pivots[owners])
    high, low = two_sum(rows, -pivot[ranks])
    batch_sums = by_class.sum_pairs((high, low))

    known = sums[:, owners]
    offset = batch_sums[0] / added.clamp(min=1)[:, None]
    apart = offset - known[0] / before.clamp(min=1)[:, None]
    share = before.to(offset.dtype) / (before + added).clamp(min=1)
    deviations = (high - (offset - share.sqrt()[:, None] * apart)[ranks]) + low

    pivots[owners] = pivot
    sums[:, owners] = torch.stack(add_pairs((known[0], known[1]), batch_sums))
    counts[owners] = before + added

    _widen(unit, deviations, squares, scatter)
    deviations *= reciprocal(unit)
    lengths = deviations.square().sum(1, keepdim=True)
    added_squares = [part[:, 0] for part in by_class.sum_pairs((lengths, torch.zeros_like(lengths)))]
    held = squares[:, owners]
    squares[:, owners] = torch.stack(add_pairs((held[0], held[1]), (added_squares[0], added_squares[1])))
    if scatter is not None:
        add_gram_to_pair(deviations, scatter)


def _widen(unit: Tensor, deviations: Tensor, squares: Tensor, scatter: Tensor | None) -> None:
    """Make the unit that of these deviations if they are larger than those so far."""
    wider = torch.maximum(unit, power_of_two(deviations.abs().amax())).clamp(min=torch.finfo(torch.float32).tiny)
    ratio = unit * reciprocal(wider)
    for total in (squares, scatter):
        if total is not None:
            total.mul_(ratio).mul_(ratio)
    unit.copy_(wider)
