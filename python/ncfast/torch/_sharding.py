"""Tensors that are spread over ranks: which rows a rank counts, and weights made whole."""

from __future__ import annotations

import sys

import torch
from torch import Tensor


def local_rows(tensor: Tensor, name: str = "features") -> Tensor:
    """Return the rows of a DTensor that this rank counts; any other tensor as it is.

    Sharded by rows, the local ones; replicated, all of them: then the group given to `all_reduce` must hold only one
    of the ranks that share them. No collective is called.

    Raises
    ------
    ValueError
        If rows are split between ranks or are partial sums; ``full_tensor()``, called on all ranks, mends that.
    """
    sharding = sys.modules.get("torch.distributed.tensor")  # no DTensor without it
    if sharding is None or not isinstance(tensor, sharding.DTensor):
        return tensor
    for placement in tensor.placements:
        if placement not in (sharding.Replicate(), sharding.Shard(0)):
            raise ValueError(
                f"{name} is a DTensor placed {tensor.placements}; wanted Shard(0) or Replicate()"
                f" ({name}.full_tensor(), called on every rank, gives whole rows)"
            )
    rows: Tensor = tensor.to_local()
    return rows


def full_head(head: torch.nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return weights (K, d) and bias (K,) of a linear classifier, whole, whichever way it is sharded.

    Under FSDP2 or tensor parallelism every rank must call this, as it gathers the master weights. Not for calls inside
    of the forward pass, where weights may be cast to half precision.
    """
    weight = getattr(head, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise TypeError(f"head is a {type(head).__name__}; wanted a module with a weight of shape (K, d)")
    bias = getattr(head, "bias", None)
    return _whole(weight), None if bias is None else _whole(bias)


def _whole(parameter: Tensor) -> Tensor:
    whole: Tensor = parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter
    return whole.detach()
