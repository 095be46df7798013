"""The linear classifier that belongs to the features."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._frame import as_frame
from ._labels import as_num_classes

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Classifier:
    """weights (K, d) and bias (K,), or neither."""

    weights: Float | None
    bias: Float | None

    def of(self, classes: NDArray[np.int64]) -> Classifier:
        """Return the classifier of these classes alone."""
        return Classifier(
            None if self.weights is None else self.weights[classes], None if self.bias is None else self.bias[classes]
        )


def as_classifier(weights: ArrayLike | None, bias: ArrayLike | None, num_features: int) -> Classifier:
    """Check weights and bias against the number of features."""
    if weights is None:
        if bias is not None:
            raise ValueError("bias is given without weights; wanted both, or weights alone")
        return Classifier(None, None)
    w = as_frame(_on_host(weights), "weights")
    if w.shape[1] != num_features:
        raise ValueError(f"weights has shape {w.shape}; wanted (K, {num_features}), one column per feature")
    if bias is None:
        return Classifier(w, None)
    b: NDArray[Any] = np.asarray(_on_host(bias))
    if b.dtype.name == "bfloat16":  # ml_dtypes registers it with numpy
        b = b.astype(np.float64)
    if b.dtype.kind not in "fiu":
        raise TypeError(f"bias has dtype {b.dtype}; wanted real numbers")
    if b.shape != (w.shape[0],):
        raise ValueError(f"bias has shape {b.shape}; wanted ({w.shape[0]},), one value per row of weights")
    if not np.isfinite(b).all():
        raise ValueError(
            f"bias has a non-finite value at {int(np.flatnonzero(~np.isfinite(b))[0])}; wanted finite values"
        )
    return Classifier(w, b.astype(np.float64))


def class_count(num_classes: int | None, head: Classifier, labels: NDArray[np.integer[Any]] | None) -> int:
    """Return K: what is given, else the rows of the weights, else the largest label plus one."""
    if num_classes is None:
        if head.weights is not None:
            return as_num_classes(head.weights.shape[0])
        assert labels is not None
        return as_num_classes(int(labels.max()) + 1)
    k = as_num_classes(num_classes)
    if head.weights is not None and head.weights.shape[0] != k:
        raise ValueError(f"weights has {head.weights.shape[0]} rows; wanted {k}, one per class")
    return k


def _on_host(array: ArrayLike) -> ArrayLike:
    """Return torch tensors as numpy arrays, without importing torch; bfloat16 has no numpy dtype."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        host: NDArray[Any] = array.detach().cpu().double().numpy()
        return host
    return array
