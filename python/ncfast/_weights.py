"""Sample weights: checked, and handed to the kernels as float64."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._features import Block, Features
from ._labels import SKIPPED
from ._screen import OVERFLOW

Float = NDArray[np.float64]
_LEAST, _MOST = 1e-100, 1e100
_LARGEST_SUM = 1e300


def as_sample_weights(sample_weights: object, rows: int) -> Float | None:
    """Check one weight per sample; None stays None.

    Raises
    ------
    TypeError
        If they are not real numbers.
    ValueError
        If they are not one per sample, or one is negative, not finite, or too large or small to be squared
        with.
    """
    if sample_weights is None:
        return None
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(sample_weights, torch.Tensor):
        sample_weights = sample_weights.detach().cpu().double().numpy()
    array = np.asarray(sample_weights)
    if array.dtype.name == "bfloat16":  # ml_dtypes registers it with numpy
        array = array.astype(np.float64)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"sample_weights has dtype {array.dtype}; wanted real numbers")
    if array.shape != (rows,):
        raise ValueError(f"sample_weights has shape {array.shape}; wanted ({rows},), one weight per row of features")
    weights = np.ascontiguousarray(array, dtype=np.float64)
    usable = (weights == 0) | ((weights >= _LEAST) & (weights <= _MOST))
    if not usable.all():
        row = int(np.flatnonzero(~usable)[0])
        raise ValueError(
            f"sample_weights holds {weights[row]} at row {row}; wanted 0 to leave the row out, or a number in"
            f" [{_LEAST:g}, {_MOST:g}]"
        )
    return weights


def leave_out(labels: NDArray[np.int64], weights: Float | None) -> NDArray[np.int64]:
    """Return the labels, those of weight 0 replaced by `SKIPPED`."""
    return labels if weights is None else np.where(weights > 0, labels, SKIPPED)


def require_range(block: Block, labels: NDArray[np.int64], weights: Float) -> None:
    """Refuse what leaves float64 once it is squared and weighted; float32 and weights up to 1 cannot."""
    if block.dtype == np.float32 or not weights.size or weights.max() <= 1:
        return
    kept = labels != SKIPPED
    largest = np.abs(block[kept]).max(initial=0.0)
    if float(largest) ** 2 * float(weights[kept].sum()) > _LARGEST_SUM:
        raise ValueError(OVERFLOW)


@dataclass(frozen=True)
class Batch:
    """Checked features with the labels and weights of their rows."""

    source: Features
    classes: NDArray[np.int64]
    weights: Float | None

    def part(self, start: int, stop: int) -> tuple[NDArray[np.int64], Float | None]:
        """Labels and weights of some rows."""
        return self.classes[start:stop], None if self.weights is None else self.weights[start:stop]
