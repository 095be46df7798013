"""Where the time goes: bytes and operations of each kernel, the time they cost at best, and the time they take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ncfast import _core
from ncfast.metrics._sweep import scaled_frame

from .. import data, timing
from ..machine import product_rates, reading_rate
from ..results import Table, seconds
from .kernels import Run, _decide, _prepare, _statistics, _update
from .pairs import sweep_anew

if TYPE_CHECKING:
    from . import Options


@dataclass(frozen=True)
class _Kernel:
    """A kernel, and what it must move and compute."""

    name: str
    shape: tuple[int, int, int]
    run: Run
    bytes: float
    operations: float
    dtype: str = "float32"


def run(options: Options) -> list[Table]:
    """Time every kernel against its roofline."""
    rates, bandwidth = product_rates(), reading_rate()
    table = Table(
        "Roofline of each kernel, float32 features",
        ["kernel", "N", "d", "K", "GB", "GFLOP", "floor", "bound by", "measured", "floor / measured"],
    )
    for kernel in _kernels(options):
        took = timing.interleaved({kernel.name: kernel.run}, options.repeats)[kernel.name].median
        memory, arithmetic = kernel.bytes / bandwidth, kernel.operations / rates[kernel.dtype]
        floor, bound = max((memory, "memory"), (arithmetic, f"{kernel.dtype} products"))
        n, d, k = kernel.shape
        table.rows.append(
            [
                *(kernel.name, f"{n:,}" if n else "", str(d), f"{k:,}"),
                *(f"{kernel.bytes / 1e9:.2f}", f"{kernel.operations / 1e9:.1f}"),
                *(seconds(floor), bound, seconds(took), f"{floor / took:.2f}"),
            ]
        )
        table.records.append({"kernel": kernel.name, "shape": kernel.shape, "floor": floor, "seconds": took})
    table.notes += [
        f"memory reads at {bandwidth / 1e9:.1f} GB/s (torch.sum), products run at {rates['float32'] / 1e9:.0f} GFLOP/s"
        f" in float32 and {rates['float64'] / 1e9:.0f} in float64 (the best of X @ Y.T by numpy and"
        f" torch and of our own projection), those of a search for the largest at {rates['search'] / 1e9:.0f}"
        f" (`_core.decide` where no sample is in doubt), {options.threads} threads",
        "GB: features once and the state that is read and written; GFLOP: of the products alone, half of them where the"
        " result is symmetric",
    ]
    return [table]


def _kernels(options: Options) -> list[_Kernel]:
    shrink = 10 if options.quick else 1
    kernels = []
    for n, d, k in ((200_000, 512, 10), (50_000, 2048, 1000)):
        n //= shrink
        case = data.in_state(n, d, k, data.COLLAPSED)
        stats = _statistics(case)
        state = 16.0 * k * d
        kernels.append(_Kernel("class means", (n, d, k), _update(case, scatter=False), 4.0 * n * d + 2 * state, 0))
        prepared = _prepare(case, stats)
        kernels.append(_Kernel("NC4, certified", (n, d, k), partial(_decide, case, *prepared), 4.0 * n * d, 0))
    n, d, k = 20_000 // shrink, 2048, 1000
    case = data.in_state(n, d, k, data.NOT_COLLAPSED)
    kernels.append(
        _Kernel("class means and scatter", (n, d, k), _update(case, scatter=True), 4.0 * n * d, float(n) * d * d)
    )
    kernels += [_projection(case, r) for r in (9, 99, 999)]
    stats = _statistics(case)
    prepared = _prepare(case, stats)
    ours = partial(_decide, case, *prepared)
    kernels.append(_Kernel("NC4, searched in d features", (n, d, k), ours, 4.0 * n * d, 2.0 * n * d * k, "search"))
    vectors = np.random.default_rng(0).standard_normal((5000, 768))
    for dtype in (np.float64, np.float32):
        ours = partial(sweep_anew, scaled_frame(vectors, products=dtype), np.ones(5000), "none")
        kernels.append(_Kernel("pair sweep", (0, 768, 5000), ours, 8.0 * 5000 * 768, 5000.0**2 * 768, dtype.__name__))
    return kernels


def _projection(case: data.Data, r: int) -> _Kernel:
    n, d = case.features.shape
    k = case.num_classes
    basis = np.random.default_rng(0).standard_normal((r, d)).astype(np.float32)
    outs = np.zeros(r), np.empty(n)
    pivots = _statistics(case).means.astype(np.float32)
    ours = lambda: _core.project(case.features, case.labels, None, pivots, 1.0, basis, np.ones(k), *outs, None)  # noqa: E731
    return _Kernel(f"projection, {r} directions", (n, d, k), ours, 4.0 * n * d, 2.0 * n * d * r)
