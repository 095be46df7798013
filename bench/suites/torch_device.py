"""Statistics, pairs and decisions by torch operations on a device, against torch as one would write it there."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

import ncfast.torch as nct

from ..results import Table, seconds

if TYPE_CHECKING:
    from . import Options

_BATCH = 16_384


def run(options: Options) -> list[Table]:
    """Measure on the GPU if there is one, else on the CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if options.quick:
        return [_statistics(options, device, 20_000, 256, 100), _pairs(options, device, 1500, 256)]
    if device.type == "cpu":
        return [_statistics(options, device, 65_536, 1024, 1000), _pairs(options, device, 4000, 1024)]
    return [_statistics(options, device, 1_000_000, 2048, 1000), _pairs(options, device, 50_000, 4096)]


def _statistics(options: Options, device: torch.device, n: int, d: int, k: int) -> Table:
    generator = torch.Generator(device).manual_seed(0)
    features = torch.randn(min(n, _BATCH), d, device=device, generator=generator)
    labels = torch.randint(k, (len(features),), device=device, generator=generator)
    batches = -(-n // len(features))
    table = Table(
        f"One pass on {_name(device)}: N={batches * len(features):,}, d={d}, K={k}, float32",
        ["", "ncfast.torch", "textbook torch", "textbook / ncfast", "floor / ncfast"],
    )
    bandwidth, products = _reading_rate(device), _product_rate(device, torch.float32)
    for scatter in (False, True):
        acc = nct.Accumulator(k, d, scatter=scatter, device=device, backend="torch")
        ours = _time(lambda acc=acc: [acc.update(features, labels) for _ in range(batches)], options.repeats, device)
        theirs = _time(
            lambda scatter=scatter: _textbook([(features, labels)] * batches, k, scatter), options.repeats, device
        )
        size = float(batches) * features.numel()
        floor = max(4 * size / bandwidth, 2 * size * d / products if scatter else 0.0)
        name = "means and scatter" if scatter else "means and squared deviations"
        table.rows.append([name, seconds(ours), seconds(theirs), f"{theirs / ours:.2f}", f"{floor / ours:.2f}"])
        table.records.append({"what": name, "seconds": ours, "textbook": theirs, "floor": floor})
    table.notes += [
        "textbook: two passes, index_add_ for the means, deviations from them, addmm_ for the scatter; all in float32",
        "the same batch again and again, so that features need no more memory than one batch",
        f"floor: features read once at {bandwidth / 1e9:.0f} GB/s, products at {products / 1e9:.0f} GFLOP/s",
    ]
    if device.type == "cpu":
        table.notes.append("backend='torch', the operations of other devices: by itself a CPU takes compiled kernels")
    return table


def _pairs(options: Options, device: torch.device, k: int, d: int) -> Table:
    frame = torch.randn(k, d, device=device, dtype=torch.float64, generator=torch.Generator(device).manual_seed(0))
    variances = torch.ones(k, device=device)
    header = ["products", "time", "GFLOP/s of K^2 d", "of the rate of X @ Y.T"]
    table = Table(f"All pairs on {_name(device)}: K={k:,}, d={d}", header)
    for dtype in (torch.float64, torch.float32):
        took = _time(
            lambda dtype=dtype: nct.sweep_pairs(frame, variances=variances, dtype=dtype), options.repeats, device
        )
        rate = float(k) * k * d / took
        share = rate / _product_rate(device, dtype)
        name = str(dtype).removeprefix("torch.")
        table.rows.append([name, seconds(took), f"{rate / 1e9:.0f}", f"{share:.0%}"])
        table.records.append({"dtype": name, "seconds": took, "share": share})
    return table


def _textbook(batches: list[tuple[Tensor, Tensor]], k: int, scatter: bool) -> Tensor:
    features = batches[0][0]
    sums = features.new_zeros(k, features.shape[1])
    counts = features.new_zeros(k)
    for rows, classes in batches:
        sums.index_add_(0, classes, rows)
        counts.index_add_(0, classes, torch.ones_like(classes, dtype=features.dtype))
    means = sums / counts.clamp(min=1)[:, None]
    within = features.new_zeros(features.shape[1], features.shape[1])
    squares = features.new_zeros(k)
    for rows, classes in batches:
        deviations = rows - means[classes]
        squares.index_add_(0, classes, deviations.square().sum(1))
        if scatter:
            within.addmm_(deviations.T, deviations)
    return within if scatter else squares


def _time(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Median seconds, the device done."""
    took = []
    for _ in range(repeats + 1):
        _settle(device)
        start = time.perf_counter()
        work()
        _settle(device)
        took.append(time.perf_counter() - start)
    return statistics.median(took[1:])


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reading_rate(device: torch.device) -> float:
    values = torch.ones(100_000_000, device=device)
    return 4e8 / _time(values.sum, 9, device)


def _product_rate(device: torch.device, dtype: torch.dtype) -> float:
    size = 8192 if device.type == "cuda" else 1024
    x, y = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2.0 * size**3 / _time(lambda: x @ y.T, 9, device)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
