"""What holds the statistics while they grow: by torch operations anywhere, by the compiled kernels on the CPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from .. import _core
from ..statistics import ClassStatistics
from . import _compensated, _portable
from ._arithmetic import power_of_two
from ._moments import Moments
from ._native import accumulate
from ._operator import AddRows


class Engine(ABC):
    """State of K classes.

    Attributes
    ----------
    name : str
        What a user calls it.
    largest : float
        Values beyond this count as not finite.
    narrow_only : bool
        Whether it refuses float64.
    """

    name: ClassVar[str]
    largest: ClassVar[float] = _portable.LARGEST
    narrow_only: ClassVar[bool] = False
    _add_rows: ClassVar[AddRows]

    def __init__(self, k: int, d: int, scatter: bool, device: torch.device, double_products: bool) -> None:
        self._state = self._zeros(k, d, device)
        if not scatter:
            del self._state["scatter"]
        self._double_products = double_products

    @staticmethod
    @abstractmethod
    def _zeros(k: int, d: int, device: torch.device) -> dict[str, Tensor]:
        """Return the state before any row, with a scatter."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the state, to be saved and loaded as it is."""
        return self._state

    def hold(self, tensors: dict[str, Tensor]) -> None:
        """Go on in these tensors."""
        self._state = tensors

    def add(self, features: Tensor, classes: Tensor, left_out: Tensor) -> None:
        """Add rows; their classes are in [0, K], K for a row to leave out, and `left_out` counts those not finite."""
        names = ("counts", "pivots", "sums", "squares", "scatter")
        held = (self._state.get(name) for name in names)
        self._add_rows(features, classes, *held, left_out, self._last_argument())

    def _last_argument(self) -> Tensor | bool:
        return self._double_products

    @abstractmethod
    def moments(self) -> Moments:
        """Return what is held, on its device if that has float64, else on the CPU."""

    @abstractmethod
    def adopt(self, moments: Moments) -> None:
        """Hold these instead, wherever they are."""


def _double_zeros(k: int, d: int, device: torch.device) -> dict[str, Tensor]:
    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=device)

    counts = torch.zeros(k, dtype=torch.int64, device=device)
    return {"counts": counts, "pivots": zeros(k, d), "sums": zeros(k, d), "squares": zeros(k), "scatter": zeros(d, d)}


class Portable(Engine):
    """By torch operations; squares and scatter are about the means. One row more than classes, for what is left out."""

    name = "torch"
    _add_rows = staticmethod(_portable.add_rows)

    @staticmethod
    def _zeros(k: int, d: int, device: torch.device) -> dict[str, Tensor]:
        return _double_zeros(k + 1, d, device)

    def moments(self) -> Moments:
        """Return what is held, on its device."""
        s = self._state
        scatter = s["scatter"].clone() if "scatter" in s else None
        return Moments.about_means(
            s["counts"][:-1].clone(), s["pivots"][:-1], s["sums"][:-1], s["squares"][:-1].clone(), scatter
        )

    def adopt(self, moments: Moments) -> None:
        """Hold these instead, wherever they are."""
        for name in ("counts", "pivots", "sums", "squares"):
            self._state[name][:-1] = getattr(moments, name)
        if moments.scatter is not None:
            self._state["scatter"].copy_(moments.scatter)


class Compensated(Engine):
    """As `Portable` and without float64: each total is a pair of float32, squares and scatter are in a unit."""

    name = "compensated"
    _add_rows = staticmethod(_compensated.add_rows)
    largest = _compensated.LARGEST
    narrow_only = True

    @staticmethod
    def _zeros(k: int, d: int, device: torch.device) -> dict[str, Tensor]:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float32, device=device)

        return {
            "counts": torch.zeros(k + 1, dtype=torch.int64, device=device),
            "pivots": zeros(k + 1, d),
            "sums": zeros(2, k + 1, d),
            "squares": zeros(2, k + 1),
            "scatter": zeros(2, d, d),
            "unit": zeros(),
        }

    def _last_argument(self) -> Tensor | bool:
        return self._state["unit"]

    def moments(self) -> Moments:
        """Return what is held, on its device if that has float64, else on the CPU."""
        device = self._state["counts"].device
        s = {name: t.to("cpu" if device.type == "mps" else device) for name, t in self._state.items()}
        pivots, unit = s["pivots"][:-1].double(), s["unit"].double()
        sums, squares = s["sums"].double().sum(0)[:-1], s["squares"].double().sum(0)[:-1]
        scatter = s["scatter"].double().sum(0) * unit.square() if "scatter" in s else None
        return Moments.about_means(s["counts"][:-1].clone(), pivots, sums, squares * unit.square(), scatter)

    def adopt(self, moments: Moments) -> None:
        """Hold these instead, wherever they are."""
        s, pivots = self._state, moments.pivots.float()
        sums = moments.sums + moments.counts[:, None] * (moments.pivots - pivots)
        unit = power_of_two(moments.squares.amax().sqrt().float()).clamp(min=torch.finfo(torch.float32).tiny)
        s["counts"][:-1], s["pivots"][:-1] = moments.counts, pivots
        s["sums"][:, :-1] = _pair(sums)
        s["squares"][:, :-1] = _pair(moments.squares / unit.double().square())
        s["unit"].copy_(unit)
        if moments.scatter is not None:
            s["scatter"].copy_(_pair(moments.scatter / unit.double().square()))


def _pair(values: Tensor) -> Tensor:
    """Split float64 into two parts of float32."""
    high = values.float()
    return torch.stack((high, (values - high).float()))


class Native(Engine):
    """By the compiled kernels, the same numbers as `ncfast.Accumulator`: squares and lower scatter about the pivots."""

    name = "native"
    _add_rows = staticmethod(accumulate)

    @staticmethod
    def _zeros(k: int, d: int, device: torch.device) -> dict[str, Tensor]:
        return _double_zeros(k, d, device)

    def statistics(self, feature_dtype: str | None) -> ClassStatistics:
        """Return what is held, as the native accumulator does."""
        arrays = {name: tensor.numpy().copy() for name, tensor in self._state.items()}
        arrays["square_sums"] = arrays.pop("squares")
        pooled = arrays.pop("scatter", None)
        full = None if pooled is None else _core.mirror(pooled)
        return ClassStatistics(**arrays, pooled=full, feature_dtype=feature_dtype)

    def moments(self) -> Moments:
        """Return what is held, on its device."""
        return Moments.of(self.statistics(None), self._state["counts"].device)

    def adopt(self, moments: Moments) -> None:
        """Hold these instead, wherever they are."""
        stats = moments.statistics(None)
        for name in ("counts", "pivots", "sums"):
            self._state[name].copy_(torch.tensor(getattr(stats, name)))
        self._state["squares"].copy_(torch.tensor(stats.square_sums))
        if stats.pooled is not None:
            self._state["scatter"].copy_(torch.tensor(stats.pooled))


ENGINES: dict[str, type[Engine]] = {kind.name: kind for kind in (Native, Portable, Compensated)}


def engine_for(device: torch.device, backend: str | None, precision: str) -> type[Engine]:
    """Return what computes on a device: what was asked for, or the fastest.

    Raises
    ------
    ValueError
        If the backend is none, or not one for this device or precision.
    """
    lacks_double = device.type == "mps"
    if backend is None:
        backend = "native" if device.type == "cpu" else "compensated" if lacks_double else "torch"
    if backend not in ENGINES:
        raise ValueError(f"backend is {backend!r}; wanted 'native', 'torch' or 'compensated'")
    if backend == "native" and device.type != "cpu":
        wanted = "compensated" if lacks_double else "torch"
        raise ValueError(f"backend is 'native' on device {device}; wanted {wanted!r}, native is for the CPU")
    if backend == "torch" and lacks_double:
        raise ValueError(f"backend is 'torch' on device {device}, which has no float64; wanted 'compensated'")
    if backend == "compensated" and precision == "double":
        raise ValueError("precision is 'double' without float64; wanted 'feature', or features.cpu() on device 'cpu'")
    return ENGINES[backend]
