"""Arithmetic as it is written: no autocast, no TF32, no gradients, whatever the surrounding program chose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

_BLOCK_ROWS = 2048
"""Rows whose products are summed in their own precision before float64 takes over."""


@contextmanager
def plain_arithmetic(device: torch.device) -> Iterator[None]:
    """Compute in the dtype of the operands; settings of the program are back afterwards."""
    can_cast = torch.amp.is_autocast_available(device.type)
    uncast = torch.autocast(device.type, enabled=False) if can_cast else nullcontext()
    with torch.no_grad(), uncast, _ieee_products(device):
        yield


@contextmanager
def _ieee_products(device: torch.device) -> Iterator[None]:
    """Keep products of float32 from being rounded to TF32 or bfloat16."""
    backends: Any = torch.backends
    matmul: Any = getattr(backends.mkldnn if device.type == "cpu" else backends.cuda, "matmul", None)
    if not hasattr(matmul, "fp32_precision"):  # before torch 2.9 one setting rules every device
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(precision)
        return
    before = matmul.fp32_precision
    if before in ("ieee", "none"):  # "none" is what torch starts with, and means the same
        yield
        return
    matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = "none"  # inherits; what was set here and not above it is set again
        if matmul.fp32_precision != before:
            matmul.fp32_precision = before


def add_gram(rows: Tensor, target: Tensor, dtype: torch.dtype) -> None:
    """Add ``rows.T @ rows`` to a float64 matrix, products in `dtype`.

    Blocks of rows are multiplied in `dtype` and added in float64, in order. Rows that are narrowed are brought near 1
    by a power of two first, so that their squares stay in range.
    """
    if dtype == target.dtype:
        target.addmm_(rows.T, rows)
        return
    exponent = torch.frexp(rows.abs().amax())[1]
    narrow = torch.ldexp(rows, -exponent).to(dtype)
    for block in torch.split(narrow, _BLOCK_ROWS):
        target.add_(torch.ldexp((block.T @ block).to(target.dtype), 2 * exponent))
