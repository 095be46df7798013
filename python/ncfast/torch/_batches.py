"""Batches as data loaders give them: inputs and labels told apart, and moved to a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Unpack = Callable[[Any], tuple[Any, Any]]
"""From a batch to inputs (a tensor, a tuple of arguments or a mapping of keywords) and labels."""

_LABELS = ("labels", "label", "targets", "target")


def unpack(batch: Any) -> tuple[Any, Any]:
    """Tell inputs from labels: (inputs, labels), or a mapping with ``"labels"`` or ``"label"`` among its keys.

    Raises
    ------
    TypeError, ValueError
        For any other kind of batch.
    """
    if isinstance(batch, Mapping):
        name = next((name for name in _LABELS if name in batch), None)
        if name is None:
            raise ValueError(f"a batch has keys {', '.join(map(str, batch))}; wanted one of {', '.join(_LABELS)}")
        return {key: value for key, value in batch.items() if key != name}, batch[name]
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
    length = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
    raise TypeError(f"a batch is a {type(batch).__name__}{length}; wanted (inputs, labels), a mapping, or unpack=...")


def moved(value: Any, device: torch.device) -> Any:
    """Return tensors, and containers of them, on a device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: moved(item, device) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(moved(item, device) for item in value) if type(value) in (tuple, list) else value
    return value


def call(model: nn.Module, inputs: Any) -> Any:
    """Run a model on its inputs."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the first parameter."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
