"""One measurement of `suites/files.py`, in a process that imports nothing but what it measures."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

import ncfast
from ncfast._features import as_features

from .resident import kilobytes

_MOST_ROWS = 240_000
_PASSES = 2  # of `measure` with a classifier


def main(what: str, place: str, threads: int) -> dict[str, float]:
    """Measure from memory, read alone, or measure from the file; return time, bytes and resident size."""
    ncfast.set_num_threads(threads)
    folder = Path(place)
    file = next(path for path in folder.iterdir() if path.name.startswith("features."))
    opened = ncfast.open_features(file, folder / "labels.npy")
    weights = np.load(folder / "weights.npy")
    rows, cols = opened.shape
    features: object = opened
    labels = opened.labels
    assert labels is not None
    if what == "memory":
        rows = min(rows, _MOST_ROWS)
        held = np.empty((rows, cols), np.float32)
        opened.source.read(0, held)
        features, labels = held, labels[:rows]
    start = time.perf_counter()
    first = 0.0
    if what == "read":
        source = as_features(opened)
        for _ in range(_PASSES):
            for part in source.ranges(source.block_rows()):
                source.block(*part)
            first = first or time.perf_counter() - start
    else:
        report = ncfast.measure(features, labels, weights)
        assert sum(step.startswith("pass ") for step in report.plan) == _PASSES, report.plan
    return {
        "seconds": time.perf_counter() - start,
        "first": first,
        "bytes": 4.0 * _PASSES * rows * cols,
        "peak": 1024.0 * kilobytes("VmHWM"),
        "state": float(ncfast.Accumulator(weights.shape[0], cols, scatter=False).nbytes),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
