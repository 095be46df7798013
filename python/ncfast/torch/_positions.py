"""From what a layer passes on to rows of features with a class each."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import pad

Positions = str | Callable[[Tensor], Tensor]
"""``"mean"``, ``"flatten"``, or a function of features (n, ..., d)."""


def as_positions(positions: Positions) -> Positions:
    """Check how the positions of a sample become one row."""
    if not callable(positions) and positions not in ("mean", "flatten"):
        raise ValueError(f"positions is {positions!r}; wanted 'mean', 'flatten' or a function of features")
    return positions


def as_rows(
    features: Tensor, labels: Tensor, *, channels_first: bool, positions: Positions, layer: str
) -> tuple[Tensor, Tensor]:
    """Return features (m, d) and labels (m,).

    Features (n, ..., d), or (n, d, ...) with `channels_first`. With a label for every position each position is a
    sample; with one per sample its positions are averaged, flattened, or reduced by a function.

    Raises
    ------
    ValueError
        If the labels fit neither.
    """
    if features.ndim == 2 and labels.shape == features.shape[:1]:
        return features, labels
    if channels_first:
        features = features.movedim(1, -1)
    samples = features.shape[:-1]
    if labels.numel() == prod(samples):
        return features.flatten(0, -2), labels.flatten()
    if labels.ndim != 1 or labels.shape[0] != features.shape[0]:
        raise ValueError(
            f"labels has shape {tuple(labels.shape)}; wanted {tuple(samples)}, one per sample or position of layer"
            f" {layer!r}, or ({features.shape[0]},)"
        )
    if positions == "flatten":
        return features.flatten(1), labels
    pooled = _mean(features) if positions == "mean" else positions(features)  # type: ignore[operator]
    if not isinstance(pooled, Tensor) or pooled.ndim != 2 or pooled.shape[0] != features.shape[0]:
        raise ValueError(
            f"positions made {tuple(getattr(pooled, 'shape', ()))} of layer {layer!r}; wanted ({features.shape[0]}, d)"
        )
    return pooled, labels


def _mean(features: Tensor) -> Tensor:
    """Average positions, half precision in float32."""
    return features.flatten(1, -2).mean(1, dtype=torch.promote_types(features.dtype, torch.float32))


def shifted(labels: Tensor, nothing: int) -> Tensor:
    """Return for each position of (n, t) labels that of the next one, and `nothing` for the last."""
    if labels.ndim != 2:
        raise ValueError(f"labels has shape {tuple(labels.shape)}; wanted (n, positions) to shift by a position")
    return pad(labels[:, 1:], (0, 1), value=nothing)


def as_tensor(labels: object) -> Tensor:
    """Return labels as a tensor, on the device they are on."""
    return labels if isinstance(labels, Tensor) else torch.as_tensor(labels)
