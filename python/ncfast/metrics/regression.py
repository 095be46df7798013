"""Neural regression collapse, NRC1 to NRC3: features, weights and targets of a regression."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._choices import as_count
from .._features import Features
from .._frame import unit_power, warn_degenerate
from .._lapack import svd
from ._samples import as_matrix, principal_axes, read_samples, sample_blocks, sample_mean, sample_scatter

Float = NDArray[np.float64]


def nrc1(features: object, num_targets: int, *, centred: bool = False) -> float:
    """NRC1: how far features leave the span of their n principal directions.

    Mean over samples of ``||z - P P^T z||^2`` with ``z = h / ||h||`` and P the leading eigenvectors of the
    features' covariance.

    Parameters
    ----------
    features : array_like, shape (M, d)
        float16, bfloat16, float32 or float64.
    num_targets : int
        n, the dimension of the targets; at most min(M - 1, d).
    centred : bool, default False
        Whether z is of the features minus their mean. The paper takes them as they are; with a common
        offset that reads the offset.

    Returns
    -------
    float
        Between 0 and 1. nan, with a RuntimeWarning, if a sample is zero.

    References
    ----------
    Andriopoulos et al., "The prevalence of neural collapse in neural multivariate regression", NeurIPS 2024.
    """
    source = read_samples(features)
    count = as_count("num_targets", num_targets, 1)
    if count > min(source.rows - 1, source.cols):
        raise ValueError(f"num_targets is {count}; wanted at most {min(source.rows - 1, source.cols)}, min(M - 1, d)")
    mean = sample_mean(source)
    axes = principal_axes(sample_scatter(source, mean), count)
    return _outside(source, axes, mean if centred else np.zeros(source.cols))


def nrc2(features: object, weights: ArrayLike, *, centred: bool = False) -> float:
    """NRC2: how far features leave the span of the weight vectors.

    Mean over samples of ``||z - Q^T Q z||^2`` with ``z = h / ||h||`` and the rows of Q an orthonormal basis of
    the row space of W.

    Parameters
    ----------
    features : array_like, shape (M, d)
        float16, bfloat16, float32 or float64.
    weights : array_like, shape (n, d)
        W. Directions below ``max(n, d) * eps`` of its largest singular value do not count.
    centred : bool, default False
        As in `nrc1`.

    Returns
    -------
    float
        Between 0 and 1. nan, with a RuntimeWarning, if a sample or W is zero.

    References
    ----------
    Andriopoulos et al., "The prevalence of neural collapse in neural multivariate regression", NeurIPS 2024.
    """
    source = read_samples(features)
    rows = as_matrix(weights, "weights", f"(n, {source.cols}), one column per feature", source.cols)
    _, values, axes = svd(rows * unit_power(float(np.abs(rows).max())), full_matrices=False)
    if values[0] == 0:
        warn_degenerate("weights are all zero: they span nothing, NRC2 is undefined")
        return np.nan
    rank = int(np.count_nonzero(values > max(rows.shape) * float(np.finfo(np.float64).eps) * values[0]))
    centre = sample_mean(source) if centred else np.zeros(source.cols)
    return _outside(source, np.ascontiguousarray(axes[:rank]), centre)


def nrc3(weights: ArrayLike, targets: ArrayLike, *, gamma: float | None = None) -> tuple[float, float]:
    """NRC3: how far the weights' Gram matrix is from the form the targets' covariance asks for.

    ``|| W W^T/||W W^T||_F - T/||T||_F ||_F^2`` with ``T = Sigma^(1/2) - gamma^(1/2) I`` and Sigma the
    covariance of the targets (divided by M).

    Parameters
    ----------
    weights : array_like, shape (n, d)
        W, n at least 2: with one target every W has this form.
    targets : array_like, shape (M, n)
    gamma : float, optional
        By default that between 0 and the smallest eigenvalue of Sigma with the least distance. At the optimum
        of the regularised squared loss it is the product of the two decays.

    Returns
    -------
    distance, gamma : float
        nan, with a RuntimeWarning, if W or every T is zero.

    References
    ----------
    Andriopoulos et al., "The prevalence of neural collapse in neural multivariate regression", NeurIPS 2024.
    """
    w = as_matrix(weights, "weights", "(n, d)")
    y = as_matrix(targets, "targets", f"(M, {w.shape[0]}), one column per row of weights", w.shape[0])
    if w.shape[0] < 2:
        raise ValueError("weights has one row; wanted at least 2: with one target NRC3 is 0 for any weights")
    if gamma is not None and not (np.isfinite(gamma) and gamma >= 0):
        raise ValueError(f"gamma is {gamma}; wanted a number of at least 0")
    gram = _core.gram(w * unit_power(float(np.abs(w).max())))
    size = float(np.linalg.norm(gram))
    deviations = y - y[0]
    deviations -= deviations.mean(axis=0)
    scale = unit_power(float(np.abs(deviations).max()))
    _, values, axes = svd(deviations * scale, full_matrices=False)
    values = np.pad(values, (0, w.shape[0] - values.size)) / np.sqrt(y.shape[0])
    axes = np.ascontiguousarray(axes.T)
    root = _core.cross_gram(axes * values[: axes.shape[1]], axes)
    if size == 0 or values[0] == 0:
        warn_degenerate(f"{'weights' if size == 0 else 'deviations of targets'} are all zero: NRC3 is undefined")
        return np.nan, np.nan
    gram /= size
    steps = _candidates(gram, root, values) if gamma is None else [float(np.sqrt(gamma)) * scale]
    distances = [_form_distance(gram, root, step) for step in steps]
    best = int(np.argmin(np.nan_to_num(distances, nan=np.inf)))
    if np.isnan(distances[best]):
        warn_degenerate("Sigma^(1/2) - gamma^(1/2) I is zero: NRC3 is undefined")
    return distances[best], (steps[best] / scale) ** 2


def _candidates(gram: Float, root: Float, values: Float) -> list[float]:
    """Where the distance can be least: both ends of the range of gamma^(1/2), and where its slope is zero."""
    n, last = values.size, float(values[-1])
    overlap, trace, root_trace = float(np.sum(gram * root)), float(np.trace(gram)), float(values.sum())
    below = trace * root_trace - n * overlap
    middle = (trace * float(np.sum(values**2)) - overlap * root_trace) / below if below != 0 else 0.0
    return [0.0, last, *([middle] if 0.0 < middle < last else [])]


def _form_distance(gram: Float, root: Float, step: float) -> float:
    form = root - step * np.eye(root.shape[0])
    size = float(np.linalg.norm(form))
    if size <= root.shape[0] * float(np.finfo(np.float64).eps) * float(np.linalg.norm(root)):
        return np.nan
    return float(np.sum((gram - form / size) ** 2))


def _outside(source: Features, axes: Float, centre: Float) -> float:
    """Mean squared distance of unit features from the span of orthonormal rows."""
    total, zero = 0.0, -1
    columns = np.ascontiguousarray(axes.T)
    for first, rows in sample_blocks(source):
        rows = rows - centre
        lengths = np.linalg.norm(rows, axis=1)
        if zero < 0 and not lengths.all():
            zero = first + int(np.argmin(lengths))
        unit = rows / np.where(lengths > 0, lengths, 1.0)[:, None]
        rest = unit - _core.cross_gram(_core.cross_gram(unit, axes), columns)
        total += float(np.einsum("nd,nd->", rest, rest))
    if zero >= 0:
        warn_degenerate(f"the sample at row {zero} is zero: its distance from a span has no scale")
        return np.nan
    return total / source.rows
