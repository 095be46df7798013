"""Class statistics collected on the device of the features, batch by batch, without waiting for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._choices import as_choice, as_count
from .._labels import as_num_classes
from .._screen import OVERFLOW
from ..statistics import ClassStatistics
from ._batch import as_batch, assign, require_clean
from ._engines import ENGINES, Engine, Native, engine_for
from ._moments import Moments

_TALLY = ("nonfinite", "ignored", "invalid_labels", "float16", "bfloat16", "float32", "float64")
"""What is counted on the device beside the statistics: rows left out, by reason, and batches, by dtype."""


class Accumulator:
    """Collect the class statistics of batches that live on a torch device.

    Features may be in half precision and under autocast: deviations are float64, products of float32 or narrower
    features are float32 with TF32 off for them, and everything is summed in float64, in an order that does not vary.
    Where there is no float64 (MPS), pairs of float32 take its place.
    On the CPU the compiled kernels do the same, bit for bit as `ncfast.Accumulator`.

    `update` never waits for the device. What it cannot look at without waiting, labels outside of [0, K) and features
    that hold NaN or infinity, it leaves out and counts on the device; `statistics` raises if there were any.

    Parameters
    ----------
    num_classes : int
        K, at least 2.
    num_features : int
        d, at least 1.
    scatter : bool, default False
        Whether to collect the pooled within-class scatter, which ``nc1_pinv`` needs: d * d float64 values and
        2 n d^2 operations per batch of n rows.
    device : torch.device or str, optional
        Where the features are; the CPU by default.
    classes : range or slice, optional
        Consecutive classes to keep, all by default. Rows of other classes are passed over. For K in the 100,000s,
        ranks that see the same features share the classes so; `join_classes` puts their statistics together.
    ignore_index : int, optional
        Label of rows to leave out, such as -100.
    precision : {"feature", "double"}, default "feature"
        Arithmetic of the products: float32 for features of up to 32 bits, or float64.
    nonfinite : {"raise", "skip"}, default "raise"
        Whether rows with NaN or infinity are an error or just left out and counted.
    check : bool, default False
        Whether to look at each batch at once, which waits for the device: then `update` raises where `statistics`
        would, and nothing of such a batch is added.
    backend : {"native", "torch", "compensated"}, optional
        The compiled kernels, on the CPU alone; torch operations with totals in float64; or without any float64, for
        features of up to 32 bits: each total is then a pair of float32 that holds 48 bits. By default native on the
        CPU, compensated on MPS, torch elsewhere.

    Notes
    -----
    Memory: 16 K d + 16 K bytes, 8 d^2 more with the scatter (torch operations hold one class more, compensated ones
    12 K d + 16 K bytes of it); during an update of n rows about 24 n d bytes, compensated 44 n d, n at most 16 Mi / d
    at a time.

    Compensated totals: class means are as exact as from float64, squares and scatter to about 1e-6. Rows with values
    beyond 2^110 count as not finite, and deviations below 2^-60 of the largest as none. They are tested on the CPU,
    where they use no operation that torch lacks on MPS; no MPS device was at hand.

    Each batch is centred so that its squares and products add to those so far without anything being subtracted; see
    `ncfast.torch._portable` for the derivation.
    """

    def __init__(
        self,
        num_classes: int,
        num_features: int,
        *,
        scatter: bool = False,
        device: torch.device | str | None = None,
        classes: range | slice | None = None,
        ignore_index: int | None = None,
        precision: str = "feature",
        nonfinite: str = "raise",
        check: bool = False,
        backend: str | None = None,
    ) -> None:
        self.num_classes = as_num_classes(num_classes)
        self.num_features = as_count("num_features", num_features, 1)
        if scatter not in (True, False):
            raise ValueError(f"scatter is {scatter!r}; wanted True or False")
        self.scatter = bool(scatter)
        self.device = _with_index(torch.device("cpu" if device is None else device))
        self.classes = _as_range(classes, self.num_classes)
        self.ignore_index = ignore_index
        self.precision = as_choice("precision", precision)
        self.nonfinite = as_choice("nonfinite", nonfinite)
        self.check = check
        with torch.inference_mode(False):  # what is made in that mode could not be updated outside of it
            self._engine = self._new_engine(backend)
            self._tally = torch.zeros(len(_TALLY), dtype=torch.int64, device=self.device)

    def _new_engine(self, backend: str | None) -> Engine:
        kind = engine_for(self.device, backend, self.precision)
        return kind(len(self.classes), self.num_features, self.scatter, self.device, self.precision == "double")

    @property
    def backend(self) -> str:
        """What computes: "native", "torch" or "compensated"."""
        return self._engine.name

    @property
    def nbytes(self) -> int:
        """Bytes of state."""
        return sum(t.nbytes for t in self.tensors().values())

    def tensors(self) -> dict[str, Tensor]:
        """Return the state itself, which updates change in place; what the tensors hold depends on the backend."""
        return self._engine.tensors() | {"tally": self._tally}

    def hold(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on in other tensors, such as `tensors` returned; all on one device that the backend can use."""
        self._engine.hold({name: tensor for name, tensor in tensors.items() if name != "tally"})
        self._tally = tensors["tally"]
        self.device = self._tally.device

    def update(self, features: Tensor, labels: Tensor, mask: Tensor | None = None) -> None:
        """Add a batch, without waiting for the device.

        Parameters
        ----------
        features : Tensor, shape (n, d)
            float16, bfloat16, float32 or float64, on the accumulator's device. Gradients do not reach it.
        labels : Tensor of integers, shape (n,)
            Class of each row, in [0, K), on the same device.
        mask : Tensor of bool, shape (n,), optional
            Rows to count; the others are left out, as the duplicates that pad a `DistributedSampler`.

        Raises
        ------
        TypeError, ValueError
            If dtype, shape or device do not fit; with ``check=True`` also for what `statistics` raises otherwise.
            Nothing of the batch is added then.
        """
        features, labels = as_batch(features, labels, mask, self.num_features, self.device)
        if features.dtype == torch.float64 and self._engine.narrow_only:
            raise TypeError(
                f"features has dtype torch.float64; wanted at most 32 bits for backend {self.backend!r}"
                " (features.float(), or an accumulator on the CPU)"
            )
        classes, ignored, invalid = assign(labels, mask, self.classes, self.num_classes, self.ignore_index)
        if self.check:
            require_clean(features, labels, classes < len(self.classes), invalid, self.num_classes, self.nonfinite)
        self._engine.add(features, classes, self._tally[:1])
        self._tally[1] += ignored
        self._tally[2] += invalid.sum()
        self._tally[_TALLY.index(_name(features.dtype))] += 1

    def left_out(self) -> dict[str, int]:
        """Return how many rows were left out so far, by reason; waits for the device."""
        return dict(zip(_TALLY[:3], self._tally[:3].tolist(), strict=True))

    @property
    def feature_dtype(self) -> str | None:
        """Dtype of the features so far; "mixed" for several, None before any; waits for the device."""
        seen = [name for name, batches in zip(_TALLY[3:], self._tally[3:].tolist(), strict=True) if batches]
        return "mixed" if len(seen) > 1 else seen[0] if seen else None

    def statistics(self, *, strict: bool = True) -> ClassStatistics:
        """Return what has been accumulated so far, on the host; waits for the device.

        Parameters
        ----------
        strict : bool, default True
            Whether rows left out because of their labels or values are an error. The statistics of the other rows
            are not touched by them, and ``strict=False`` returns these.

        Raises
        ------
        ValueError
            If labels were out of range, or under ``nonfinite="raise"`` features not finite; how many is said.
        """
        if strict:
            self._require_nothing_wrong()
        if isinstance(self._engine, Native):
            stats = self._engine.statistics(self.feature_dtype)
        else:
            stats = self._engine.moments().statistics(self.feature_dtype)
        if not np.isfinite(stats.square_sums).all():
            raise ValueError(OVERFLOW)
        return stats if len(self.classes) == self.num_classes else _labelled(stats, self.classes)

    def _require_nothing_wrong(self) -> None:
        counted = self.left_out()
        also = "; they were left out, and statistics(strict=False) returns those of the other rows"
        if counted["invalid_labels"]:
            raise ValueError(
                f"labels held {counted['invalid_labels']} values outside of [0, {self.num_classes}){also}"
                " (ignore_index names a label to ignore; check=True finds the batch)"
            )
        if counted["nonfinite"] and self.nonfinite == "raise":
            raise ValueError(
                f"features held NaN or infinity in {counted['nonfinite']} rows{also}"
                f" (values beyond {self._engine.largest:.0e} count as infinite; nonfinite='skip' accepts that;"
                " check=True finds the batch)"
            )

    def moments(self) -> Moments:
        """Return what has been accumulated so far, for merging; on the CPU if the device has no float64."""
        return self._engine.moments()

    def adopt(self, moments: Moments, tally: Tensor) -> None:
        """Replace what has been accumulated."""
        self._engine.adopt(moments)
        self._tally.copy_(tally)

    def merge(self, other: Accumulator) -> None:
        """Add what another accumulator of the same classes and features has collected, wherever it is.

        Raises
        ------
        ValueError, TypeError
            If the two do not match.
        """
        if not isinstance(other, Accumulator):
            raise TypeError(f"other is a {type(other).__name__}; wanted an ncfast.torch.Accumulator")
        for name in ("num_classes", "num_features", "scatter", "classes"):
            if getattr(other, name) != getattr(self, name):
                raise ValueError(f"other has {name} = {getattr(other, name)}; wanted {getattr(self, name)} as here")
        mine = self.moments()
        theirs = other.moments().to(mine.counts.device)
        self.adopt(mine.merge(theirs), self._tally + other._tally.to(self.device))

    def empty_like(self) -> Accumulator:
        """Return one of the same kind that has seen nothing."""
        return Accumulator(
            self.num_classes,
            self.num_features,
            scatter=self.scatter,
            device=self.device,
            classes=self.classes,
            ignore_index=self.ignore_index,
            precision=self.precision,
            nonfinite=self.nonfinite,
            check=self.check,
            backend=self.backend,
        )

    def reset(self) -> None:
        """Forget everything; the memory is kept."""
        for tensor in self.tensors().values():
            tensor.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Return copies of the state, for `torch.save`; resuming from it gives the same bits as going on."""
        return {
            "engine": self.backend,
            "classes": (self.num_classes, self.classes.start, self.classes.stop),
            **{name: tensor.clone() for name, tensor in self.tensors().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where another accumulator was, whatever device it was on.

        Raises
        ------
        ValueError
            If it was of other classes, features or scatter.
        """
        require_state(state, self)
        engine = self._engine
        if state["engine"] != engine.name:
            kind = ENGINES[state["engine"]]
            engine = kind(len(self.classes), self.num_features, self.scatter, torch.device("cpu"), False)
        for name, tensor in engine.tensors().items():
            tensor.copy_(state[name])
        if engine is not self._engine:
            self._engine.adopt(engine.moments())
        self._tally.copy_(state["tally"])


def require_state(state: Mapping[str, Any], acc: Accumulator) -> None:
    """Refuse a state that is not of this accumulator's classes, features and scatter."""
    wanted = (acc.num_classes, acc.classes.start, acc.classes.stop)
    for name in ("engine", "classes", "tally", "sums"):
        if name not in state:
            raise ValueError(f"state has no entry {name!r}; wanted what state_dict() of an Accumulator returned")
    if tuple(state["classes"]) != wanted:
        raise ValueError(f"state is of (classes, from, to) = {tuple(state['classes'])}; wanted {wanted}")
    if state["sums"].shape[-1] != acc.num_features:
        raise ValueError(f"state is of {state['sums'].shape[-1]} features; wanted {acc.num_features}")
    if ("scatter" in state) != acc.scatter:
        raise ValueError(f"state was collected with scatter={'scatter' in state}; wanted scatter={acc.scatter}")


def _as_range(classes: range | slice | None, num_classes: int) -> range:
    if classes is None:
        return range(num_classes)
    wanted = range(num_classes)[classes] if isinstance(classes, slice) else classes
    if not isinstance(wanted, range):
        raise TypeError(f"classes is {classes!r}; wanted a range or a slice")
    if wanted.step != 1 or not 0 <= wanted.start < wanted.stop <= num_classes:
        raise ValueError(f"classes is {classes!r}; wanted consecutive classes of [0, {num_classes}), at least one")
    return wanted


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _with_index(device: torch.device) -> torch.device:
    """Name the current device of a kind in full, as tensors do."""
    return torch.empty(0, device=device).device


def _labelled(stats: ClassStatistics, classes: range) -> ClassStatistics:
    return replace(stats, chosen=np.arange(classes.start, classes.stop))
