"""What a result needs to be told with: processor, versions, threads, date."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import psutil
import torch
from threadpoolctl import threadpool_info

import ncfast
from ncfast import _core
from ncfast.decisions import AffineRule


def describe(threads: int) -> dict[str, str]:
    """Describe machine and libraries, in the order to be read."""
    facts = ncfast.info()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "processor": f"{_processor()}, {psutil.cpu_count(logical=False)} cores ({os.cpu_count()} logical)",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "threads": f"{threads} for every library",
        "load before": f"{os.getloadavg()[0]:.1f} runnable processes in the last minute",
        "ncfast": f"{facts['version']}, kernels {facts['isa']}, {facts['compiler']}, Eigen {facts['eigen']}",
        "python": platform.python_version(),
        "numpy": f"{np.__version__}, {_blas()}",
        "torch": f"{torch.__version__}, {'MKL' if torch.backends.mkl.is_available() else 'no MKL'}",
        "scikit-learn": metadata.version("scikit-learn"),
    }


@cache
def product_rates() -> dict[str, float]:
    """Operations per second of ``X @ Y.T``, by dtype: the better of numpy and torch."""
    rates = {}
    for dtype in (np.float32, np.float64):
        x, y = (np.random.default_rng(i).standard_normal((4096, 512)).astype(dtype) for i in (0, 1))
        a, b = torch.from_numpy(x), torch.from_numpy(y)
        best = min(_quickest(lambda x=x, y=y: x @ y.T), _quickest(lambda a=a, b=b: a @ b.T))
        rates[dtype.__name__] = 2.0 * 4096**2 * 512 / best
    return rates


@cache
def best_rates() -> dict[str, float]:
    """Return `product_rates`, in float32 that of our own projection where it is higher, and that of "search" products.

    Our kernels alone have a tile unit's rate, and that of the bytes which a search for the largest score begins with.
    """
    rates = product_rates()
    rng = np.random.default_rng(0)
    operations = 2.0 * 8192 * 4096 * 1024
    directions = rng.standard_normal((4096, 1024)).astype(np.float32)
    rows = np.repeat(directions, 2, axis=0)
    labels, origin = np.zeros(8192, np.int64), np.zeros((1, 1024), np.float32)
    outs = np.zeros(4096), np.empty(8192), None
    took = _quickest(lambda: _core.project(rows, labels, None, origin, 1.0, directions, np.ones(1), *outs))
    single = max(rates["float32"], operations / took)
    rule = AffineRule(
        *(directions.astype(np.float64), np.linalg.norm(directions, axis=1), np.zeros(4096), np.zeros(1024), 1.0),
        *(directions.astype(np.float64), np.zeros(4096)),
        by_distance=False,
        dtype=np.float32,
    )
    took = _quickest(lambda: rule.decide(rows, np.arange(8192)))
    return {**rates, "float32": single, "search": max(single, operations / took)}


@cache
def reading_rate() -> float:
    """Bytes per second that torch sums float32 values at."""
    values = torch.ones(100_000_000)
    return 4e8 / _quickest(values.sum)


def _quickest(run: Callable[[], object]) -> float:
    took = []
    for _ in range(9):
        start = time.perf_counter()
        run()
        took.append(time.perf_counter() - start)
    return min(took)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in cpuinfo.read_text().split("\n\n")[0].splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in facts.items()}
    return (
        f"{named.get('model name', platform.machine())} (family {named.get('cpu family')}, model {named.get('model')})"
    )


def _blas() -> str:
    for library in threadpool_info():
        if library["user_api"] == "blas" and "numpy" in library["filepath"]:
            return f"{library['internal_api']} {library['version']} ({library.get('architecture', 'unknown kernels')})"
    return "unknown BLAS"
