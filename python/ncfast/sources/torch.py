"""Tensors saved with `torch.save`: unpickled as tensors and containers alone, read from their place in the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._source import Source
from ._errors import reading, require
from ._flat import Flat, require_bytes


def entries(file: str) -> dict[str, Source]:
    """Return the tensors of a file: one under the empty name, those of dicts and lists by their path in it."""
    torch = require("torch", "torch")
    from torch._subclasses.fake_tensor import FakeTensorMode

    found: dict[str, Source] = {}
    # Fake tensors know their place in the file and hold no data.
    with reading(file), FakeTensorMode():
        content = torch.load(file, weights_only=True, map_location="cpu")
        for name, tensor in _tensors(torch, content, ""):
            found[name] = _entry(file, name, tensor)
    return found


def _tensors(torch: Any, item: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(item, torch.Tensor):
        yield name, item
    elif isinstance(item, dict | list | tuple):
        for key, value in item.items() if isinstance(item, dict) else enumerate(item):
            yield from _tensors(torch, value, f"{name}.{key}" if name else str(key))


def _entry(file: str, name: str, tensor: Any) -> Source:
    dtype = str(tensor.dtype).removeprefix("torch.")
    stored = np.dtype("<u2") if dtype == "bfloat16" else _stored(dtype)
    place = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
    if place is None:
        raise ValueError("does not say where its tensors are: saved before torch 1.6, or read before torch 2.7")
    shape = tuple(tensor.shape)
    by_column = len(shape) == 2 and not tensor.is_contiguous() and tensor.T.is_contiguous()
    if not tensor.is_contiguous() and not by_column:
        stored = np.dtype("V")
        dtype = "a view with gaps (save tensor.contiguous())"
    offset = place + tensor.storage_offset() * tensor.element_size()
    if stored.kind != "V":
        require_bytes(file, offset, shape, stored, exactly=False)
    return Flat(file, offset, shape, stored, dtype=dtype, name=name, by_column=by_column)


def _stored(dtype: str) -> np.dtype[Any]:
    try:
        return np.dtype(dtype).newbyteorder("<")
    except TypeError:  # one that numpy does not have
        return np.dtype("V")
