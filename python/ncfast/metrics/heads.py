"""What a linear classifier makes of features: its bias against the global mean, margins of samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._classifier import as_classifier
from .._features import Block
from .._frame import as_frame, products_with, unit_power, warn_degenerate
from .._labels import as_labels, class_indices
from ..accumulate import Accumulator
from ._points import unit_rows
from ._samples import as_vector, read_samples, sample_blocks
from .variability import global_mean as mean_of_means

Float = NDArray[np.float64]
_BLOCK_VALUES = 4 << 20  # values held at a time: 32 MiB


def bias_alignment(weights: ArrayLike, bias: ArrayLike | None, global_mean: ArrayLike) -> float:
    """``||b + W mu_G||_2``: what the classifier answers at the global mean.

    Parameters
    ----------
    weights : array_like, shape (K, d)
        W, rows w_k.
    bias : array_like, shape (K,), or None
        b; None is zero.
    global_mean : array_like, shape (d,)
        mu_G, the mean of the class means.

    Returns
    -------
    float
        0 when the bias cancels the common part of the features. It has the scale of the logits.

    References
    ----------
    Zhu et al., "A geometric analysis of neural collapse with unconstrained features", NeurIPS 2021.
    """
    frame = as_frame(weights, "weights")
    head = as_classifier(frame, bias, frame.shape[1])
    mean = as_vector(global_mean, "global_mean", frame.shape[1])
    return length_of_answer(frame, head.bias, mean)


def length_of_answer(weights: Float, bias: Float | None, mean: Float) -> float:
    """`bias_alignment` of arrays that are checked."""
    answers = products_with(weights, mean)
    if bias is not None:
        answers += bias
    scale = unit_power(float(np.abs(answers).max()))
    return float(np.linalg.norm(answers * scale)) / scale


def cosine_margins(
    features: object, labels: object, weights: ArrayLike, *, global_mean: ArrayLike | None = None
) -> Float:
    """Cosine margin of each sample: ``cos(h - mu_G, w_y) - max_{k != y} cos(h - mu_G, w_k)``.

    Parameters
    ----------
    features : array_like, shape (N, d)
        float16, bfloat16, float32 or float64.
    labels : array_like of int, shape (N,)
        Classes in [0, K).
    weights : array_like, shape (K, d)
        W; the mean of its rows is subtracted, which changes no decision.
    global_mean : array_like, shape (d,), optional
        mu_G, by default the mean of the class means of these features. For held-out samples give that of
        the training set.

    Returns
    -------
    ndarray of float64, shape (N,)
        ``K/(K-1)`` in full collapse, negative for samples closer to another class's weights. nan, with a
        RuntimeWarning, for a sample equal to the global mean, or for all if a centred weight vector is zero.

    References
    ----------
    Zhou et al., "On the optimization landscape of neural collapse under MSE loss", ICML 2022.
    """
    source = read_samples(features)
    head = as_classifier(weights, None, source.cols)
    assert head.weights is not None
    k = head.weights.shape[0]
    classes = class_indices(as_labels(labels, source.rows), k)
    if global_mean is None:
        accumulator = Accumulator(k, source.cols, scatter=False)
        accumulator.update(features, classes)
        centre = mean_of_means(accumulator.statistics(), "papyan")
    else:
        centre = as_vector(global_mean, "global_mean", source.cols)
    unit = unit_rows(head.weights - head.weights.mean(axis=0))
    margins = np.full(source.rows, np.nan)
    if unit is None:
        return margins
    for first, rows in sample_blocks(source, k):
        stop = first + rows.shape[0]
        margins[first:stop] = margins_of(rows, classes[first:stop], unit, centre)
    if np.isnan(margins).any():
        row = int(np.flatnonzero(np.isnan(margins))[0])
        warn_degenerate(f"the sample at row {row} equals the global mean: its cosine margin is undefined")
    return margins


def margins_of(rows: Float, classes: NDArray[np.int64], unit: Float, centre: Float) -> Float:
    """Cosine margins of float64 rows against unit directions; nan for a row equal to the centre."""
    numbers = np.arange(rows.shape[0])
    deviations = rows - centre
    lengths = np.linalg.norm(deviations, axis=1)
    cosines = _core.cross_gram(deviations, unit)
    mine = cosines[numbers, classes]
    cosines[numbers, classes] = -np.inf
    margins = np.full(numbers.size, np.nan)
    np.divide(mine - cosines.max(axis=1), lengths, out=margins, where=lengths > 0)
    return margins


@dataclass
class MarginSums:
    """Mean and least cosine margin of rows that come in blocks."""

    unit: Float | None
    centre: Float
    total: float = 0.0
    weight: float = 0.0
    least: float = np.inf

    @classmethod
    def of(cls, weights: Float, centre: Float) -> MarginSums:
        """No rows yet; `centre` is the global mean."""
        return cls(unit_rows(weights - weights.mean(axis=0)), centre)

    def add(self, block: Block, classes: NDArray[np.int64], weights: Float | None = None) -> None:
        """Add a block, rows counted as often as they weigh; rows of a negative class are left out."""
        kept = np.flatnonzero(classes >= 0)
        step = max(1, _BLOCK_VALUES // max(block.shape[1], 1 if self.unit is None else self.unit.shape[0]))
        for rows in (kept[start : start + step] for start in range(0, kept.size, step)):
            margins = np.full(rows.size, np.nan)
            if self.unit is not None:
                margins = margins_of(block[rows].astype(np.float64), classes[rows], self.unit, self.centre)
            self.total += float(margins.sum() if weights is None else np.sum(weights[rows] * margins))
            self.weight += float(rows.size if weights is None else weights[rows].sum())
            self.least = float(np.minimum(self.least, margins.min()))

    def summary(self) -> tuple[float, float]:
        """Return both; nan, with a warning, if a row equals the global mean."""
        if np.isnan(self.least) and self.unit is not None:
            warn_degenerate("a sample equals the global mean: its cosine margin is undefined")
        return self.total / self.weight, self.least
