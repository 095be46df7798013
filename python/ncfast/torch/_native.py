"""The compiled kernel on the memory of tensors."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .. import _core
from .._features import as_features
from .._labels import SKIPPED
from ._operator import operator


@operator("ncfast::accumulate", device_types="cpu")
def accumulate(
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
    """Add rows to the statistics of K classes, as `ncfast.Accumulator` does.

    features (n, d); classes (n,) int64, those outside of [0, K) left out. counts (K,) int64; pivots, sums (K, d),
    squares (K,), scatter (d, d; its lower triangle) float64, all about the pivots. left_out (1,) int64 counts rows
    that hold NaN or infinity, or values whose squares leave the range of float64.
    """
    source = as_features(features)
    k = counts.shape[0]
    labels = np.where(classes.numpy() < k, classes.numpy(), SKIPPED)
    state = (counts.numpy(), None, pivots.numpy(), sums.numpy(), squares.numpy())
    pooled = None if scatter is None else scatter.numpy()
    for start, stop in source.ranges(source.block_rows()):
        block, kept = source.block(start, stop), labels[start:stop]
        unusable = _core.screen(block).astype(bool) & (kept != SKIPPED)
        if unusable.any():
            left_out += int(np.count_nonzero(unusable))
            kept = np.where(unusable, SKIPPED, kept)
        _core.accumulate(block, kept, None, *state, pooled, None, double_products)
