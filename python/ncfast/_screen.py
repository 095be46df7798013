"""Rows that hold NaN or infinity: refused by name, or dropped and counted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._features import Block
from ._labels import SKIPPED

OVERFLOW = "features are so large that sums of their squares leave the range of float64; scale them"


def screen(block: Block, labels: NDArray[np.int64], nonfinite: str, first_row: int) -> NDArray[np.int64]:
    """Return the labels, those of unusable rows replaced by `SKIPPED`; rows left out already may hold anything.

    Raises
    ------
    ValueError
        Under ``"raise"``, naming the first unusable row; under both policies for a finite float64 whose
        square leaves the range of float64.
    """
    unusable = _core.screen(block)
    if not unusable.any():
        return labels
    rows = np.flatnonzero(unusable.astype(bool) & (labels != SKIPPED))
    if rows.size == 0:
        return labels
    finite = np.isfinite(block[rows]).all(axis=1)
    if finite.any():
        row = int(rows[finite][0])
        raise ValueError(
            f"features holds {_largest(block[row]):.3g} at row {first_row + row}, whose square leaves the range of"
            " float64; scale the features"
        )
    if nonfinite == "raise":
        row = int(rows[0])
        value = block[row][~np.isfinite(block[row])][0]
        raise ValueError(
            f"features holds {value} at row {first_row + row}; wanted finite values"
            " (nonfinite='skip' leaves such rows out and counts them)"
        )
    kept = labels.copy()
    kept[rows] = SKIPPED
    return kept


def _largest(row: NDArray[np.floating[Any]]) -> float:
    return float(row[np.argmax(np.abs(row))])
