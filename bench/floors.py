"""What a whole report costs at best: its passes at the speed of memory, its products at the speed of products."""

from __future__ import annotations

import time
from functools import cache

import numpy as np

from . import data
from .machine import product_rates, reading_rate


def report_floor(shape: tuple[int, int, int], state: str) -> float:
    """Seconds for float32 features (N, d, K), by the plans of ncfast and nothing besides their large parts.

    Two passes over the features. In the second the cheaper of projection and scatter, which reading may hide behind,
    and if no decision is certified the search for the nearest mean, among K-1 coordinates if those are few; where
    classes outnumber features another for the classifier. Of both frames all pairs, the smaller Gram matrix, which is
    that of the pairs where features outnumber classes, and its eigenvalues, of both at once; pairs and Gram matrix in
    float32 where classes are many more than features. There also the products of weights and means, and the directions
    of S_B: eigenvectors if samples are searched along them, else by a Cholesky factor.
    """
    n, d, k = shape
    spread = min(float(n) * d * d, 2.0 * n * d * (k - 1))
    along_directions = k - 1 <= 0.75 * d
    search = 2.0 * n * k * (k - 1 if along_directions else d) * (2 if k > d else 1)
    eigenvectors = state == data.NOT_COLLAPSED and along_directions
    small = min(k, d)
    frames = 2.0 * small * small * max(k, d) + (2.0 * k * k * d if k > d else 0.0)
    single, double = (frames, 0.0) if k > max(2 * d, 1000) else (0.0, frames)
    double += 4.0 * k * k * d if k <= d else 0.0
    double += 0.0 if eigenvectors else 5.0 / 3.0 * small**3
    reading = 4.0 * n * d / reading_rate()
    rates = product_rates()
    passes = reading + max(reading, spread / rates["float32"])
    floor = passes + single / rates["float32"] + double / rates["float64"] + _eigen(small, eigenvectors)
    return floor + search / rates["search"] if state == data.NOT_COLLAPSED else floor


@cache
def _eigen(size: int, vectors: bool) -> float:
    """Seconds for the eigenvalues of one symmetric matrix, and before that for all eigenvectors of another if asked."""
    points = np.random.default_rng(0).standard_normal((size, size))
    gram = points @ points.T
    took = []
    for _ in range(3):
        start = time.perf_counter()
        if vectors:
            np.linalg.eigh(gram)
        np.linalg.eigvalsh(gram)
        took.append(time.perf_counter() - start)
    return float(np.median(took))
