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
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
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
    """Operations per second of products, by dtype, and of those that a "search" for the largest score begins with.

    The most of numpy, torch and our own projection: our kernels alone have a tile unit's rate, and that of bytes.
    """
    directions = np.random.default_rng(0).standard_normal((4096, 1024))
    rows = np.repeat(directions, 2, axis=0)
    singles = rows.astype(np.float32)
    double, single = (_product_rate(x, x[:1024]) for x in (rows, singles))
    search = 2.0 * rows.size * len(directions) / _search_time(singles, directions)
    return {"float64": double, "float32": single, "search": max(single, search)}


def _product_rate(rows: NDArray[Any], basis: NDArray[Any]) -> float:
    return 2.0 * rows.size * len(basis) / min(_library_time(rows, basis), _projection_time(rows, basis))


def _library_time(rows: NDArray[Any], basis: NDArray[Any]) -> float:
    """Return the seconds of ``X @ Y.T``, by the better of numpy and torch."""
    x, y = torch.from_numpy(rows), torch.from_numpy(basis)
    return min(_quickest(lambda: rows @ basis.T), _quickest(lambda: x @ y.T))


def _projection_time(rows: NDArray[Any], basis: NDArray[Any]) -> float:
    labels, origin = np.zeros(len(rows), np.int64), np.zeros((1, rows.shape[1]), rows.dtype)
    outs = np.zeros(len(basis)), np.empty(len(rows)), None
    return _quickest(lambda: _core.project(rows, labels, None, origin, 1.0, basis, np.ones(1), *outs))


def _search_time(rows: NDArray[np.float32], weights: NDArray[np.float64]) -> float:
    k, d = weights.shape
    rule = AffineRule(
        *(weights, np.linalg.norm(weights, axis=1), np.zeros(k), np.zeros(d), 1.0, weights, np.zeros(k)),
        by_distance=False,
        dtype=np.float32,
    )
    return _quickest(lambda: rule.decide(rows, np.arange(len(rows))))


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
