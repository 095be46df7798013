"""Class statistics of several layers, of this rank or of all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, distributed

from ..statistics import ClassStatistics
from .accumulator import Accumulator


class Collected:
    """An accumulator for each layer that has had features; what they have in common is given once."""

    def __init__(self, layers: Sequence[str], num_classes: int, *, scatter: bool, ignore_index: int) -> None:
        self.layers = tuple(layers)
        self.num_classes = num_classes
        self._scatter = scatter
        self._ignore_index = ignore_index
        self._accumulators: dict[str, Accumulator] = {}

    def add(self, layer: str, features: Tensor, labels: Tensor) -> None:
        """Add rows of a layer; the first ones decide d and the device."""
        if layer not in self._accumulators:
            self._accumulators[layer] = self._new(features.shape[1], features.device)
        self._accumulators[layer].update(features, labels)

    def statistics(self, *, local: bool) -> dict[str, ClassStatistics]:
        """Return the statistics of each layer; unless `local` those of all ranks, which all have to call this.

        Layers that no rank has features of are left out.
        """
        if local or not among_ranks():
            return {
                layer: self._accumulators[layer].statistics() for layer in self.layers if layer in self._accumulators
            }
        found = {}
        for layer, d in zip(self.layers, self._widths(), strict=True):
            if d:
                mine = self._accumulators.get(layer) or self._new(d, None)
                found[layer] = merged(mine)
        return found

    def _widths(self) -> list[int]:
        """Return d of each layer as some rank has met it; one without a batch cannot know it."""
        met = [self._accumulators[layer].num_features if layer in self._accumulators else 0 for layer in self.layers]
        widths = torch.tensor(met, device=device_of_ranks())
        distributed.all_reduce(widths, distributed.ReduceOp.MAX)
        return [int(d) for d in widths]

    def clear(self) -> None:
        """Forget all."""
        self._accumulators.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return what was collected, by layer."""
        return {layer: accumulator.state_dict() for layer, accumulator in self._accumulators.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned, of the same layers."""
        unknown = [layer for layer in state if layer not in self.layers]
        if unknown:
            raise ValueError(f"state has layer {unknown[0]!r}; wanted layers among {', '.join(self.layers)}")
        self.clear()
        for layer, values in state.items():
            self._accumulators[layer] = self._new(values["sums"].shape[1], values["sums"].device)
            self._accumulators[layer].load_state_dict(values)

    def _new(self, num_features: int, device: torch.device | None) -> Accumulator:
        return Accumulator(
            self.num_classes, num_features, scatter=self._scatter, device=device, ignore_index=self._ignore_index
        )


def among_ranks() -> bool:
    """Whether there are other ranks."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def device_of_ranks() -> torch.device:
    """Return a device that the default group can reduce on."""
    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")


def merged(accumulator: Accumulator) -> ClassStatistics:
    stats = accumulator.statistics()
    parts: list[ClassStatistics] = [stats] * distributed.get_world_size()
    distributed.all_gather_object(parts, stats)
    return reduce(ClassStatistics.merge, parts)
