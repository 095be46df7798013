"""A pass of a data loader through a model: features kept, or reduced to class statistics where they are too many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._layers import LayerReports
from .._measure import measure, measure_statistics
from .._plan import in_order
from ._batch import require_integers
from ._batches import Unpack, call, device_of, moved
from ._capture import Capture
from ._collected import Collected, among_ranks
from ._modules import classifier, has_channels_first, is_compiled, num_outputs
from ._nearest import Nearest
from ._positions import Positions, as_positions, as_rows, as_tensor, shifted
from ._room import room

Rows = dict[str, tuple[Tensor, Tensor]]
"""Features (n, d) and labels (n,) by layer."""


@dataclass(frozen=True)
class Pass:
    """Arguments of `measure_model_layers`, which see."""

    model: nn.Module
    loader: Iterable[Any]
    head: str | nn.Module | None
    layers: str | Iterable[str]
    unpack: Unpack
    num_classes: int | None
    positions: Positions
    shift: bool
    ignore_index: int
    memory: int
    progress: bool

    def reports(self, options: dict[str, Any]) -> LayerReports:
        """Measure all layers, the head's input last."""
        as_positions(self.positions)
        with Capture(self.model, self.head, self.layers, taken_at_once=True) as capture, _evaluating(self.model):
            head = capture.modules[capture.head]
            num_classes = num_outputs(head) if self.num_classes is None else self.num_classes
            heads = {capture.head: classifier(head)}
            collected = Collected(tuple(capture.modules), num_classes, scatter=True, ignore_index=self.ignore_index)
            kept = self._keep(capture, collected)
            if kept is not None:
                return LayerReports(
                    {
                        name: measure(*rows, *heads.get(name, (None, None)), num_classes=num_classes, **options)
                        for name, rows in kept.items()
                    }
                )
            stats = collected.statistics(local=False)
            reports = {
                name: measure_statistics(stats[name], *heads.get(name, (None, None)), **options)
                for name in collected.layers
            }
            if options.get("metrics", "standard") in ("standard", "all"):
                nearest = Nearest(stats[capture.head], *heads[capture.head])
                for rows in self._rows(capture):
                    nearest.add(*self._on_host(rows[capture.head]))
                last = reports[capture.head]
                found = in_order({**last.metrics, **nearest.values()})
                steps = (*last.plan, "second pass over the loader: nearest mean and classifier")
                reports[capture.head] = replace(last, metrics=found, plan=steps)
            return LayerReports(reports)

    def _keep(self, capture: Capture, collected: Collected) -> Rows | None:
        """Return all features on the host; None if these are more than memory may take, and `collected` has them."""
        kept = None if among_ranks() else {name: _Kept(self.loader, self.memory) for name in collected.layers}
        for rows in self._rows(capture):
            if kept is None:
                for name, part in rows.items():
                    collected.add(name, *part)
                continue
            for name, part in rows.items():
                kept[name].add(*self._on_host(part))
            if sum(layer.nbytes for layer in kept.values()) > self.memory:
                for name, layer in kept.items():
                    device = rows[name][0].device
                    for features, labels in zip(*(torch.split(part, 4096) for part in layer.rows()), strict=True):
                        collected.add(name, features.to(device), labels.to(device))
                kept = None
        if kept is None:
            return None
        if kept[capture.head].is_new:
            raise ValueError("loader has no batches; wanted at least one")
        return {name: layer.rows() for name, layer in kept.items()}

    def _rows(self, capture: Capture) -> Iterator[Rows]:
        """Run the model, batch by batch."""
        device = device_of(self.model)
        for batch in _with_bar(self.loader, self.progress):
            inputs, labels = moved(self.unpack(batch), device)
            call(self.model, inputs)
            classes = as_tensor(labels)
            if self.shift:
                classes = shifted(classes, self.ignore_index)
            yield {
                name: as_rows(
                    tensor,
                    classes,
                    channels_first=has_channels_first(capture.modules[name], tensor.ndim),
                    positions=self.positions,
                    layer=name,
                )
                for name, tensor in capture.take().items()
            }

    def _on_host(self, rows: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return what counts, in memory of the host."""
        features, labels = rows[0].cpu(), rows[1].cpu()
        ignored = labels.numpy() == self.ignore_index  # numpy is much quicker with few values
        return (features[~ignored], labels[~ignored]) if np.count_nonzero(ignored) else (features, labels)


class _Kept:
    """Features and labels on the host in two arrays that grow, so that what the model made can be used again."""

    def __init__(self, loader: Iterable[Any], memory: int) -> None:
        self._batches = len(loader) if isinstance(loader, Sized) else 1
        self._memory = memory
        self._count = 0
        self._features = torch.empty(0)
        self._labels = np.empty(0, np.int64)

    @property
    def is_new(self) -> bool:
        """Whether no batch has come, not even one without rows that count."""
        return self._features.ndim == 1

    @property
    def nbytes(self) -> int:
        """Bytes of the features."""
        return 0 if self.is_new else self._count * self._features.shape[1] * self._features.element_size()

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Copy rows."""
        if self._count and features.shape[1] != self._features.shape[1]:
            raise ValueError(
                f"features have {features.shape[1]} columns, earlier ones {self._features.shape[1]}; wanted as many"
            )
        require_integers(labels)
        stop = self._count + labels.shape[0]
        if self.is_new or stop > self._labels.shape[0] or features.dtype != self._features.dtype:
            self._make_room(stop, features)
        self._features[self._count : stop] = features
        self._labels[self._count : stop] = labels.numpy()
        self._count = stop

    def _make_room(self, rows: int, features: Tensor) -> None:
        """Move to arrays for more rows, and for features of this kind too."""
        most = rows + self._memory // (features.shape[1] * features.element_size())
        rows = max(1, rows, 2 * self._count if self._count else min(self._batches * rows, most))
        dtype = torch.promote_types(self._features.dtype, features.dtype) if self._count else features.dtype
        before = self.rows()
        self._features = _new((rows, features.shape[1]), dtype)
        self._labels = np.empty(rows, np.int64)
        if self._count:
            self._features[: self._count], self._labels[: self._count] = before

    def rows(self) -> tuple[Tensor, Tensor]:
        """Return what is kept."""
        return self._features[: self._count], torch.from_numpy(self._labels[: self._count])


def _new(shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(room(shape[0] * shape[1] * dtype.itemsize)).view(dtype).view(shape)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Run a model in eval mode, without gradients and as it is written; each module is in its own mode afterwards."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), _as_written() if is_compiled(model) else nullcontext():
            yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def _as_written() -> Iterator[None]:
    """Run models without compiled code, which does not look for new hooks; compiling anew costs more than a pass."""
    if hasattr(torch.compiler, "set_stance"):
        with torch.compiler.set_stance("force_eager"):
            yield
        return
    torch.compiler.reset()  # before torch 2.6: compile with the hooks, and again without them
    try:
        yield
    finally:
        torch.compiler.reset()


def _with_bar(loader: Iterable[Any], shown: bool) -> Iterable[Any]:
    """Show progress on stderr if that is a terminal and tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return loader
    return tqdm(loader, desc="neural collapse", unit="batch", leave=False, disable=None if shown else True)
