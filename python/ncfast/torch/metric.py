"""Neural collapse as a ``torchmetrics.Metric``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

try:
    from torchmetrics import Metric
except ImportError as error:
    raise ImportError('NeuralCollapse needs torchmetrics: pip install "ncfast[torch]"') from error

from .._measure import measure_statistics
from ._engines import ENGINES, engine_for
from ._sharding import full_head
from .accumulator import Accumulator
from .distributed import reduce_moments

if TYPE_CHECKING:
    from ..statistics import ClassStatistics

_STATES = ("counts", "pivots", "sums", "squares", "scatter", "unit", "tally", "judged", "layout")
_LAYOUTS = tuple(ENGINES)


class NeuralCollapse(Metric):
    """Measure the collapse of features that come in batches, on any device and any number of ranks.

    `compute` returns what class statistics tell, under the keys of `ncfast.measure_statistics`: all of them but NC4,
    which needs each sample a second time. Given logits, ``accuracy`` is there too.

    States are sums and never gathered: `compute` merges ranks with two all-reduces, exactly. They are saved in the
    ``state_dict`` unless `persistent(False)` is called, and keep their dtype when a module that holds the metric is
    cast. They are those of an `Accumulator` on the device of the metric, on the CPU of the compiled kernels, and turn
    into those of another device where the metric is moved, loaded or merged there.

    Parameters
    ----------
    num_classes : int
        K, at least 2.
    num_features : int, optional
        d; by default that of the first batch. Ranks that may see no batch at all should be told.
    head : torch.nn.Module, optional
        The linear classifier, for NC3 and the geometry of its weights; read in `compute`. It does not become a
        submodule.
    scatter : bool, default True
        Whether to collect the pooled within-class scatter, for ``nc1_pinv``.
    metrics : str or iterable of str, default "standard"
        As in `ncfast.measure_statistics`.
    ignore_index, precision, nonfinite, check
        As in `ncfast.torch.Accumulator`.
    **options
        Of ``torchmetrics.Metric``; a `dist_sync_fn` is not called.

    Examples
    --------
    >>> import torch
    >>> from ncfast.torch import NeuralCollapse
    >>> metric = NeuralCollapse(num_classes=3)
    >>> metric.update(torch.eye(3).repeat(4, 1), torch.arange(3).repeat(4))
    >>> float(metric.compute()["nc1_pinv"])
    0.0
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False
    plot_lower_bound = 0.0

    counts: Tensor
    tally: Tensor
    judged: Tensor

    def __init__(
        self,
        num_classes: int,
        num_features: int | None = None,
        *,
        head: torch.nn.Module | None = None,
        scatter: bool = True,
        metrics: str | Iterable[str] = "standard",
        ignore_index: int | None = None,
        precision: str = "feature",
        nonfinite: str = "raise",
        check: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._make = functools.partial(
            Accumulator,
            num_classes,
            scatter=scatter,
            ignore_index=ignore_index,
            precision=precision,
            nonfinite=nonfinite,
            check=check,
        )
        self._make(1)  # judges the arguments
        self.metrics = metrics if isinstance(metrics, str) else tuple(metrics)
        self._head = (head,)  # a tuple, that torch does not take for a submodule
        self._knows_features = num_features is not None
        self._accumulator: Accumulator | None = None
        if num_features is not None:
            self._begin(num_features)

    @torch.inference_mode(False)
    def _begin(self, num_features: int) -> Accumulator:
        """Create the states."""
        return self._hold(self._make(num_features, device=self.device))

    def _hold(self, acc: Accumulator) -> Accumulator:
        """Have the states of a new accumulator, and no others."""
        judged = torch.zeros(2, dtype=torch.int64, device=acc.device)
        layout = torch.tensor(_LAYOUTS.index(acc.backend), device=acc.device)
        persistent = all(self._persistent.values())
        for name in tuple(self._defaults):
            delattr(self, name)
            for states in (self._defaults, self._persistent, self._reductions):
                del states[name]
        for name, tensor in (*acc.tensors().items(), ("judged", judged), ("layout", layout)):
            self.add_state(name, tensor, dist_reduce_fx="sum", persistent=persistent)
        self._accumulator = acc
        return acc

    def _held(self) -> Accumulator | None:
        """Return the accumulator over the states as they are now: torchmetrics replaces them at will."""
        if self._accumulator is not None:
            self._accumulator.hold({name: getattr(self, name) for name in self._accumulator.tensors()})
        return self._accumulator

    def update(
        self, features: Tensor, labels: Tensor, logits: Tensor | None = None, mask: Tensor | None = None
    ) -> None:
        """Add a batch: features (n, d), labels (n,), logits (n, K), mask (n,) of the rows that count.

        Raises
        ------
        TypeError, ValueError
            As `Accumulator.update`.
        """
        if logits is not None and logits.shape != (features.shape[0], self._make.args[0]):
            wanted = (features.shape[0], self._make.args[0])
            raise ValueError(f"logits has shape {tuple(logits.shape)}; wanted {wanted}, a row per sample")
        acc = self._held() or self._begin(features.shape[-1])
        acc.update(features, labels, mask)
        if logits is not None:
            counted = (labels >= 0) & (labels < acc.num_classes)
            if acc.ignore_index is not None:
                counted &= labels != acc.ignore_index
            if mask is not None:
                counted &= mask
            self.judged += torch.stack((counted.sum(), ((logits.argmax(1) == labels) & counted).sum()))

    def statistics(self) -> ClassStatistics:
        """Return the class statistics of this rank, or within `sync_context` those of all."""
        acc = self._held()
        if acc is None:
            raise ValueError("there are no statistics before the first update; wanted a batch, or num_features")
        return acc.statistics()

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics as float64 scalars, by key; on MPS, which has none, as float32."""
        head = self._head[0]
        weights, bias = (None, None) if head is None else full_head(head)
        report = measure_statistics(self.statistics(), weights, bias, metrics=self.metrics)
        values = report.to_dict()
        judged, right = self.judged.tolist()
        if judged:
            values["accuracy"] = right / judged
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        return {key: torch.tensor(value, dtype=dtype, device=self.device) for key, value in values.items()}

    @torch.inference_mode(False)
    def reset(self) -> None:
        """Forget everything."""
        super().reset()

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add what another metric, or its states as a dict, has collected."""
        incoming = incoming_state
        states = {name: getattr(incoming, name) for name in _STATES if hasattr(incoming, name)}
        if isinstance(incoming, dict):
            states = {name: incoming[name] for name in _STATES if name in incoming}
        if not states:
            return
        self._held() or self._begin(states["sums"].shape[-1])
        self._add_states(states)
        self._update_count += max(1, getattr(incoming, "_update_count", 1))
        self._computed = None

    def _reduce_states(self, incoming_state: dict[str, Any]) -> None:
        """Add states: what torchmetrics calls when `forward` puts a batch to the rest."""
        if self._accumulator is not None and "sums" in incoming_state:
            self._add_states(incoming_state)

    def _add_states(self, states: dict[str, Any]) -> None:
        acc = self._held()
        assert acc is not None
        other = acc.empty_like()
        other.load_state_dict(_as_accumulated(states))
        acc.merge(other)
        self.judged += states["judged"].to(self.device)

    def _sync_dist(self, dist_sync_fn: Any = None, process_group: Any = None) -> None:  # noqa: ARG002
        """Merge the states of all ranks."""
        group = process_group or self.process_group
        acc = self._held()
        if not self._knows_features:
            widest = torch.tensor(0 if acc is None else acc.num_features, device=self.device)
            dist.all_reduce(widest, dist.ReduceOp.MAX, group=group)
            if acc is None and int(widest):
                acc = self._begin(int(widest))
        if acc is None:
            return
        tallies = torch.cat((self.tally, self.judged))
        moments, tallies = reduce_moments(acc.moments(), tallies, group)
        merged = acc.empty_like()
        merged.adopt(moments, tallies[:-2])
        for name, tensor in (*merged.tensors().items(), ("judged", tallies[-2:])):
            setattr(self, name, tensor)

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = ()) -> torch.nn.Module:
        """Follow a module to its device, but not to its dtype; there, what suits the device goes on."""
        acc = self._held()
        if acc is not None:
            device = fn(torch.empty(0, device=self.device)).device
            if engine_for(device, None, acc.precision).name != acc.backend:
                judged = self.judged
                moved = self._hold(self._make(acc.num_features, device=device))
                moved.adopt(acc.moments(), acc.tensors()["tally"])
                self.judged.copy_(judged)

        def keep_dtype(tensor: Tensor) -> Tensor:
            moved: Tensor = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(keep_dtype, exclude_state)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        names = [name for name in _STATES if prefix + name in state_dict]
        saved = {name: state_dict.pop(prefix + name) for name in names}
        if saved:
            acc = self._held() or self._begin(saved["sums"].shape[-1])
            acc.load_state_dict(_as_accumulated(saved))
            self.judged.copy_(saved["judged"])
            self._update_count = max(self._update_count, 1)
            self._computed = None
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Plot one value of `compute` or several in turn, as torchmetrics does."""
        return self._plot(val, ax)


def _as_accumulated(states: Mapping[str, Any]) -> dict[str, Any]:
    """Return states as `Accumulator.state_dict` does."""
    engine = _LAYOUTS[int(states["layout"])]
    classes = states["counts"].shape[0] - (engine != "native")
    return {**states, "engine": engine, "classes": (classes, 0, classes)}
