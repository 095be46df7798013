"""What holds the statistics while they grow: by torch operations anywhere, by the compiled kernels on the CPU."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from .._statistics_algebra import mirror
from ..statistics import ClassStatistics
from ._moments import Moments
from ._native import accumulate
from ._portable import add_rows


class Engine(Protocol):
    """State of K classes; `left_out` counts rows with NaN or infinity."""

    name: str

    def tensors(self) -> dict[str, Tensor]:
        """Return the state, to be saved and loaded as it is."""
        ...

    def hold(self, tensors: dict[str, Tensor]) -> None:
        """Go on in these tensors."""
        ...

    def add(self, features: Tensor, classes: Tensor, left_out: Tensor) -> None:
        """Add rows; their classes are in [0, K], K for a row to leave out."""
        ...

    def moments(self) -> Moments:
        """Return what is held, on its device."""
        ...

    def adopt(self, moments: Moments) -> None:
        """Hold these instead."""
        ...


def _zeros(k: int, d: int, scatter: bool, device: torch.device) -> dict[str, Tensor]:
    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=device)

    state = {
        "counts": torch.zeros(k, dtype=torch.int64, device=device),
        "pivots": zeros(k, d),
        "sums": zeros(k, d),
        "squares": zeros(k),
    }
    return state | {"scatter": zeros(d, d)} if scatter else state


class Portable:
    """By torch operations; squares and scatter are about the means. One row more than classes, for what is left out."""

    name = "torch"

    def __init__(self, k: int, d: int, scatter: bool, device: torch.device, double_products: bool) -> None:
        self._state = _zeros(k + 1, d, scatter, device)
        self._double_products = double_products

    def tensors(self) -> dict[str, Tensor]:
        """Return the state, to be saved and loaded as it is."""
        return self._state

    def hold(self, tensors: dict[str, Tensor]) -> None:
        """Go on in these tensors."""
        self._state = tensors

    def add(self, features: Tensor, classes: Tensor, left_out: Tensor) -> None:
        """Add rows; their classes are in [0, K], K for a row to leave out."""
        s = self._state
        add_rows(
            features,
            classes,
            s["counts"],
            s["pivots"],
            s["sums"],
            s["squares"],
            s.get("scatter"),
            left_out,
            self._double_products,
        )

    def moments(self) -> Moments:
        """Return what is held, on its device."""
        s = self._state
        return Moments.about_means(
            s["counts"][:-1].clone(), s["pivots"][:-1], s["sums"][:-1], s["squares"][:-1].clone(), self._scatter()
        )

    def _scatter(self) -> Tensor | None:
        return self._state["scatter"].clone() if "scatter" in self._state else None

    def adopt(self, moments: Moments) -> None:
        """Hold these instead."""
        for name in ("counts", "pivots", "sums", "squares"):
            self._state[name][:-1] = getattr(moments, name)
        if moments.scatter is not None:
            self._state["scatter"].copy_(moments.scatter)


class Native:
    """By the compiled kernels, the same numbers as `ncfast.Accumulator`: squares and lower scatter about the pivots."""

    name = "native"

    def __init__(self, k: int, d: int, scatter: bool, device: torch.device, double_products: bool) -> None:
        self._state = _zeros(k, d, scatter, device)
        self._double_products = double_products

    def tensors(self) -> dict[str, Tensor]:
        """Return the state, to be saved and loaded as it is."""
        return self._state

    def hold(self, tensors: dict[str, Tensor]) -> None:
        """Go on in these tensors."""
        self._state = tensors

    def add(self, features: Tensor, classes: Tensor, left_out: Tensor) -> None:
        """Add rows; their classes are in [0, K], K for a row to leave out."""
        s = self._state
        accumulate(
            features,
            classes,
            s["counts"],
            s["pivots"],
            s["sums"],
            s["squares"],
            s.get("scatter"),
            left_out,
            self._double_products,
        )

    def statistics(self, feature_dtype: str | None) -> ClassStatistics:
        """Return what is held, as the native accumulator does."""
        arrays = {name: tensor.numpy().copy() for name, tensor in self._state.items()}
        arrays["square_sums"] = arrays.pop("squares")
        pooled = arrays.pop("scatter", None)
        full = None if pooled is None else mirror(pooled)
        return ClassStatistics(**arrays, pooled=full, feature_dtype=feature_dtype)

    def moments(self) -> Moments:
        """Return what is held, on its device."""
        return Moments.of(self.statistics(None), self._state["counts"].device)

    def adopt(self, moments: Moments) -> None:
        """Hold these instead."""
        stats = moments.statistics(None)
        for name in ("counts", "pivots", "sums"):
            self._state[name].copy_(torch.tensor(getattr(stats, name)))
        self._state["squares"].copy_(torch.tensor(stats.square_sums))
        if stats.pooled is not None:
            self._state["scatter"].copy_(torch.tensor(stats.pooled))
