"""All pairs of many classes in one sweep, against the rate of plain matrix products on this machine."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from ncfast.metrics._sweep import ScaledFrame, scaled_frame, sweep

from .. import timing
from ..machine import product_rates
from ..results import Table, seconds

if TYPE_CHECKING:
    from . import Options

_SHAPES = ((1000, 2048), (5000, 768), (20_000, 512), (50_000, 512))
_EXACT = 1e-6
_PEAK = """
import sys
import numpy as np
from bench.resident import kilobytes
from ncfast.metrics._sweep import scaled_frame, sweep
k, d = int(sys.argv[1]), int(sys.argv[2])
frame = np.random.default_rng(0).standard_normal((k, d))
sweep(scaled_frame(frame), variances=np.ones(k), kernel="log")
print(kilobytes("VmHWM"))
"""


def run(options: Options) -> list[Table]:
    """Sweep frames of growing size; CDNV, cosines, both Gram distances and log-uniformity together."""
    rates = product_rates()
    table = Table(
        "Pair sweep: CDNV, cosines, coherence, ETF, OF and log-uniformity of a frame in one",
        ["K", "d", "products", "threads", "time", "GFLOP/s of K^2 d", "of the rate of products", "peak memory"],
    )
    for k, d in _SHAPES[:2] if options.quick else _SHAPES:
        vectors = np.random.default_rng(0).standard_normal((k, d))
        frames = {dtype.__name__: scaled_frame(vectors, products=dtype) for dtype in (np.float64, np.float32)}
        frame = frames["float64"]
        ones = np.ones(k)
        if k <= 5000:
            _require_equal(frame.rows / frame.lengths[:, None], sweep(frame, variances=ones, kernel="log").coherence)
        repeats = options.repeats if k <= 5000 else 1  # half a minute each
        runs = {name: partial(sweep_anew, frame, ones) for name, frame in frames.items()}
        for name, took in timing.interleaved(runs, repeats, warm_up=k <= 5000).items():
            rate = float(k) * k * d / took.median
            share = rate / rates[name]
            peak = _peak(k, d, options.threads) if name == "float64" else ""
            table.rows.append(
                [
                    *(f"{k:,}", str(d), name, str(options.threads), seconds(took.median)),
                    *(f"{rate / 1e9:.0f}", f"{share:.0%}", peak),
                ]
            )
            table.records.append(
                {"K": k, "d": d, "dtype": name, "threads": options.threads, "seconds": took.median, "share": share}
            )
    table.notes += [
        "K^2 d operations: half the pairs, a multiplication and an addition each; the time is that of the whole sweep",
        "rate of products, the best of X @ Y.T by numpy and torch and of our own projection:"
        f" {rates['float64'] / 1e9:.0f} GFLOP/s in float64, {rates['float32'] / 1e9:.0f} in float32",
        "peak memory: of the whole process, the frame and the libraries included",
    ]
    return [table]


def sweep_anew(frame: ScaledFrame, variances: np.ndarray, kernel: str = "log") -> None:
    """Sweep without what an earlier sweep has left: products, and vectors in float32."""
    for left in ("by_classes", "single"):
        vars(frame).pop(left, None)
    sweep(frame, variances=variances, kernel=kernel)


def _require_equal(units: np.ndarray, coherence: float) -> None:
    """Compare one of the results with torch before anything is timed."""
    u = torch.from_numpy(units)
    cosines = (u @ u.T).abs_().fill_diagonal_(0.0)
    if abs(float(cosines.max()) - coherence) > _EXACT:
        raise AssertionError(f"coherence is {coherence}, torch finds {float(cosines.max())}")


def _peak(k: int, d: int, threads: int) -> str:
    command = [sys.executable, "-c", _PEAK, str(k), str(d)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=timing.environment(threads))
    return f"{int(done.stdout) / 1024:.0f} MiB"
