"""A batch, checked as far as that goes without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor

from ._sharding import local_rows

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def as_batch(
    features: Tensor, labels: Tensor, mask: Tensor | None, num_features: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Check kinds, shapes and devices; return features without gradient, and labels as int64."""
    features, labels = local_rows(features), local_rows(labels, "labels")
    for name, value in (("features", features), ("labels", labels), *(() if mask is None else (("mask", mask),))):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} is a {type(value).__name__}; wanted a torch.Tensor")
        if value.device != device:
            raise ValueError(f"{name} is on device {value.device}; wanted {device}, where the accumulator is")
    if features.dtype not in _FLOATS:
        raise TypeError(f"features has dtype {features.dtype}; wanted float16, bfloat16, float32 or float64")
    if features.ndim != 2 or features.shape[1] != num_features:
        raise ValueError(f"features has shape {tuple(features.shape)}; wanted (n, {num_features})")
    require_integers(labels)
    if mask is not None and mask.dtype != torch.bool:
        raise TypeError(f"mask has dtype {mask.dtype}; wanted torch.bool")
    for name, value in (("labels", labels), *(() if mask is None else (("mask", mask),))):
        if value.shape != features.shape[:1]:
            raise ValueError(f"{name} has shape {tuple(value.shape)}; wanted ({features.shape[0]},), one per sample")
    return features.detach(), labels.detach().to(torch.int64)


def require_integers(labels: Tensor) -> None:
    """Refuse labels of another kind."""
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool:
        raise TypeError(f"labels has dtype {labels.dtype}; wanted integers")


def assign(
    labels: Tensor, mask: Tensor | None, kept: range, num_classes: int, ignore_index: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Give each row its place among the classes kept, ``len(kept)`` for none.

    Returns that, how many rows are to be ignored, and which have a label out of range.
    """
    ignored = torch.zeros_like(labels, dtype=torch.bool) if mask is None else ~mask
    if ignore_index is not None:
        ignored = ignored | (labels == ignore_index)
    invalid = ((labels < 0) | (labels >= num_classes)) & ~ignored
    outside = (labels < kept.start) | (labels >= kept.stop) | ignored
    return (labels - kept.start).masked_fill(outside, len(kept)), ignored.sum(), invalid


def require_clean(
    features: Tensor, labels: Tensor, counted: Tensor, invalid: Tensor, num_classes: int, nonfinite: str
) -> None:
    """Look at the batch, and name the first row that cannot be used; waits for the device."""
    if bool(invalid.any()):
        row = int(invalid.nonzero()[0])
        raise ValueError(f"labels holds {int(labels[row])} at row {row}; wanted integers in [0, {num_classes})")
    unusable = ~features.isfinite().all(1) & counted
    if nonfinite == "raise" and bool(unusable.any()):
        row = int(unusable.nonzero()[0])
        value = features[row][~features[row].isfinite()][0]
        raise ValueError(
            f"features holds {float(value)} at row {row}; wanted finite values"
            " (nonfinite='skip' leaves such rows out and counts them)"
        )
