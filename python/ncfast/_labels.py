"""Class labels: checked, and handed to the kernels as int64."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._choices import as_count

SKIPPED = -1
"""Label the kernels read as: leave this row out."""


def as_labels(labels: object, rows: int) -> NDArray[np.integer[Any]]:
    """Check dtype and shape of labels for `rows` samples; their values are checked by `class_indices`.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If they are not one per sample.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(labels, torch.Tensor):
        labels = labels.detach().cpu().numpy()
    if isinstance(labels, np.ma.MaskedArray):
        raise TypeError("labels is a masked array; wanted a plain one")
    try:
        array = np.asarray(labels)
    except (ValueError, TypeError) as error:
        raise type(error)(f"labels cannot be read as an array of integers: {error}") from error
    if array.size == 0 and rows == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels has dtype {array.dtype}; wanted integers in [0, num_classes)")
    if array.ndim != 1:
        raise ValueError(f"labels has shape {array.shape}; wanted one dimension, one label per sample")
    if array.shape[0] != rows:
        raise ValueError(f"labels has length {array.shape[0]}; wanted {rows}, one per row of features")
    return array


def class_indices(labels: NDArray[np.integer[Any]], num_classes: int, first_row: int = 0) -> NDArray[np.int64]:
    """Return labels as int64 after checking that all lie in [0, num_classes).

    `first_row` is the row number of the first label, for the message.
    """
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        row = int(np.flatnonzero((labels < 0) | (labels >= num_classes))[0])
        raise ValueError(f"labels holds {labels[row]} at row {first_row + row}; wanted integers in [0, {num_classes})")
    return np.ascontiguousarray(labels, dtype=np.int64)


def positions_of(labels: NDArray[np.integer[Any]], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of each label among the chosen ones, `SKIPPED` for any other."""
    order = np.argsort(chosen)
    at = order[np.minimum(np.searchsorted(chosen, labels, sorter=order), chosen.size - 1)]
    return np.where(chosen[at] == labels, at, SKIPPED)


def as_class_list(classes: ArrayLike) -> NDArray[np.int64]:
    """Check a list of different class labels."""
    array = np.asarray(classes)
    if array.dtype.kind not in "iu":
        raise TypeError(f"classes has dtype {array.dtype}; wanted integers, class labels")
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"classes has shape {array.shape}; wanted a list of class labels")
    values, counts = np.unique(array, return_counts=True)
    if values[0] < 0:
        raise ValueError(f"classes holds {values[0]}; wanted class labels, integers from 0")
    if values.size < array.size:
        raise ValueError(f"classes holds {values[counts > 1][0]} more than once; wanted each class once")
    return array.astype(np.int64)


def as_num_classes(num_classes: object) -> int:
    """Check a number of classes."""
    return as_count("num_classes", num_classes, 2, ": neural collapse compares classes")
