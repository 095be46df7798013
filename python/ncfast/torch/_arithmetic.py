"""Arithmetic as it is written: no autocast, no TF32, no gradients, whatever the surrounding program chose.

Where there is no float64, a pair of float32 tensors stands for its sum: 48 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]
"""High and low part of an unevaluated sum."""

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


def two_sum(a: Tensor, b: Tensor) -> Pair:
    """Return ``a + b`` rounded, and what the rounding took (Knuth)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def add_pairs(a: Pair, b: Pair) -> Pair:
    """Add two pairs."""
    high, rest = two_sum(a[0], b[0])
    return two_sum(high, rest + (a[1] + b[1]))


def add_gram_to_pair(rows: Tensor, target: Tensor) -> None:
    """Add ``rows.T @ rows`` to a pair of float32 matrices (2, d, d), in the same blocks as `add_gram`."""
    for block in torch.split(rows, _BLOCK_ROWS):
        high, rest = two_sum(target[0], block.T @ block)
        target[0], target[1] = two_sum(high, rest + target[1])


def power_of_two(values: Tensor) -> Tensor:
    """Return the largest power of two not above each float32, 0 for zero and subnormal numbers."""
    return (values.view(torch.int32) & 0x7F800000).view(torch.float32)


def reciprocal(powers: Tensor) -> Tensor:
    """Return ``1 / powers`` exactly, of powers of two of float32 that are normal numbers, as is 1 / 2^126."""
    return ((254 << 23) - powers.view(torch.int32)).view(torch.float32)
