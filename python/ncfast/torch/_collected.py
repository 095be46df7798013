"""Class statistics of several layers, of this rank or of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed

from ..statistics import ClassStatistics
from ._batch import as_batch
from .accumulator import Accumulator
from .distributed import all_reduce, device_for

_WAITING_VALUES = 1 << 20
"""Values of features of a layer that wait to be added."""


class Collected:
    """An accumulator for each layer that has had features; what they have in common is given once."""

    def __init__(self, layers: Sequence[str], num_classes: int, *, scatter: bool, ignore_index: int) -> None:
        self.layers = tuple(layers)
        self.num_classes = num_classes
        self._scatter = scatter
        self._ignore_index = ignore_index
        self._layers: dict[str, _Layer] = {}

    def add(self, layer: str, features: Tensor, labels: Tensor) -> None:
        """Add rows of a layer; the first ones decide d and the device."""
        if layer not in self._layers:
            self._layers[layer] = self._new(features.shape[1], features.device)
        self._layers[layer].add(features, labels)

    def statistics(self, *, local: bool) -> dict[str, ClassStatistics]:
        """Return the statistics of each layer; unless `local` those of all ranks, which all have to call this.

        Layers that no rank has features of are left out.
        """
        if local or not among_ranks():
            return {layer: self._layers[layer].flushed().statistics() for layer in self.layers if layer in self._layers}
        found = {}
        for layer, d in zip(self.layers, self._widths(), strict=True):
            if d:
                mine = self._layers.get(layer) or self._new(d, None)
                found[layer] = all_reduce(mine.flushed()).statistics()
        return found

    def _widths(self) -> list[int]:
        """Return d of each layer as some rank has met it; one without a batch cannot know it."""
        met = [self._layers[layer].accumulator.num_features if layer in self._layers else 0 for layer in self.layers]
        widths = torch.tensor(met, device=device_for(None))
        distributed.all_reduce(widths, distributed.ReduceOp.MAX)
        return [int(d) for d in widths]

    def clear(self) -> None:
        """Forget all."""
        self._layers.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return what was collected, by layer."""
        return {name: layer.state_dict() for name, layer in self._layers.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned, of the same layers."""
        unknown = [layer for layer in state if layer not in self.layers]
        if unknown:
            raise ValueError(f"state has layer {unknown[0]!r}; wanted layers among {', '.join(self.layers)}")
        self.clear()
        for layer, values in state.items():
            self._layers[layer] = self._new(values["sums"].shape[-1], values["sums"].device)
            self._layers[layer].load_state_dict(values)

    def _new(self, num_features: int, device: torch.device | None) -> _Layer:
        options: Any = {"scatter": self._scatter, "device": device, "ignore_index": self._ignore_index}
        return _Layer(Accumulator(self.num_classes, num_features, **options))


class _Layer:
    """An accumulator, and copies of rows that wait for it: many small batches cost far more than one of their rows."""

    def __init__(self, accumulator: Accumulator) -> None:
        self.accumulator = accumulator
        self._most = _WAITING_VALUES // accumulator.num_features
        self._count = 0
        self._features = self._labels = torch.empty(0, dtype=torch.int64)

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Add rows, now or later; those that do not fit are refused now."""
        features, labels = as_batch(features, labels, None, self.accumulator.num_features, self.accumulator.device)
        stop = self._count + labels.shape[0]
        if stop > self._most or features.dtype != self._features.dtype:
            self.flushed()
            stop = labels.shape[0]
        if stop > self._most:
            self.accumulator.update(features, labels)
            return
        if features.dtype != self._features.dtype:
            with torch.inference_mode(False):  # to be written to in any mode
                shape = (self._most, features.shape[1])
                self._features = torch.empty(shape, dtype=features.dtype, device=features.device)
                self._labels = torch.empty(shape[:1], dtype=labels.dtype, device=labels.device)
        self._features[self._count : stop] = features
        self._labels[self._count : stop] = labels
        self._count = stop

    def flushed(self) -> Accumulator:
        """Return the accumulator, with all rows added."""
        waiting, self._count = self._waiting(), 0
        if waiting[1].shape[0]:
            self.accumulator.update(*waiting)
        return self.accumulator

    def state_dict(self) -> dict[str, Any]:
        """Return copies of the state; rows that wait go on waiting, so that the bits do not depend on it."""
        return {**self.accumulator.state_dict(), "waiting": [part.clone() for part in self._waiting()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.accumulator.load_state_dict(state)
        if state["waiting"][1].shape[0]:
            self.add(*state["waiting"])

    def _waiting(self) -> tuple[Tensor, Tensor]:
        return self._features[: self._count], self._labels[: self._count]


def among_ranks() -> bool:
    """Whether there are other ranks."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
