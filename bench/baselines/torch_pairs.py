"""All pairs of a frame in torch, in bands: what its cosines and its log-uniformity come to."""

from __future__ import annotations

import torch
from torch import Tensor

_BAND = 1024


def pair_metrics(vectors: Tensor) -> dict[str, float]:
    """Cosines of all pairs, and the kernel ``-log`` of the distances of unit vectors; float32 products."""
    units = vectors / vectors.norm(dim=1, keepdim=True)
    k = len(units)
    pairs = k * (k - 1)
    total, squares, excess, logs, largest = 0.0, 0.0, 0.0, 0.0, 0.0
    for first in range(0, k, _BAND):
        cosines = units[first : first + _BAND] @ units.T
        own = cosines[:, first : first + len(cosines)].diagonal()
        own.zero_()
        total += cosines.sum(dtype=torch.float64).item()
        squares += cosines.square().sum(dtype=torch.float64).item()
        largest = max(largest, cosines.abs().max().item())
        own.fill_(-1 / (k - 1))
        excess += (cosines + 1 / (k - 1)).abs_().sum(dtype=torch.float64).item()
        own.fill_(0.5)  # at distance 1, whose logarithm is 0
        logs -= 0.5 * (2 - 2 * cosines).log_().sum(dtype=torch.float64).item()
    return {
        "coherence": largest,
        "equiangularity": max(squares / pairs - (total / pairs) ** 2, 0.0) ** 0.5,
        "max_angle": excess / pairs,
        "log_uniformity": logs / pairs,
    }
