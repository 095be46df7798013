"""Softmax codes: the distance of each direction to the convex hull of the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._frame import as_frame
from .._lapack import svd
from ._points import unit_rows
from ._sweep import scaled_frame, sweep

Float = NDArray[np.float64]
Int = NDArray[np.int64]
_GAP = 1e-13
_EPS = float(np.finfo(np.float64).eps)


def softmax_code_margin(vectors: ArrayLike) -> float:
    """Least distance of a unit vector to the convex hull of all others.

    ``min_k dist(u_k, conv{u_j : j != k})``, exact but for rounding: Wolfe's algorithm ends at the face of the
    hull that is nearest, or as soon as a distance is known to exceed one already found.

    Parameters
    ----------
    vectors : array_like, shape (K, d)
        The classifier's weights, or centred class means; only directions matter.

    Returns
    -------
    float
        Between 0 and 2. The largest possible is ``K/(K-1)`` for K <= d+1, a simplex ETF; 1 for
        d+2 <= K <= 2d; ``1 - cos(2 pi/K)`` for d = 2 and K >= 4. nan, with a RuntimeWarning, if a vector
        is zero.

    Notes
    -----
    One singular value decomposition while each vector is nearest to the inside of the hull, as near a simplex
    ETF. Otherwise a small quadratic programme per vector: O(K d s + s^4) operations where the closest face has
    s <= d+1 vertices.

    References
    ----------
    Jiang et al., "Generalized neural collapse for a large number of classes", ICML 2024;
    Wolfe, "Finding the nearest point in a polytope", Math. Programming 1976.
    """
    unit = unit_rows(as_frame(vectors))
    if unit is None:
        return np.nan
    planes = _planes_of_others(unit)
    if planes is None:
        bounds, order = np.zeros(unit.shape[0]), np.argsort(-_closest_cosines(unit), kind="stable")
    else:
        bounds, order = planes[0], np.argsort(planes[0], kind="stable")
    least = 2.0
    for k in order:
        if bounds[k] >= least:
            break
        if planes is None:
            face, weights = _nearest_vertex(unit, k)
        elif np.delete(planes[1][k], k).min() >= 0:
            least = float(bounds[k])
            continue
        else:
            face, weights = _positive_face(unit, k, planes[1][k])
        least = min(least, _hull_distance(unit, k, face, weights, least))
    return least


def _planes_of_others(unit: Float) -> tuple[Float, Float] | None:
    """Distance of each vector to the plane through all others, and the weights that combine its nearest point.

    The plane holds the hull, so the distance is a bound from below, and right if no weight is negative.
    None if the vectors are too many, or too dependent, to span planes.
    """
    k, d = unit.shape
    if k > d + 1 or k == 2:
        return None
    left, values, _ = svd(unit - unit.mean(axis=0), full_matrices=False)
    if values[k - 2] <= 1e-6 * values[0]:
        return None
    # (P U U^T P)^+ with P = I - 11^T/K: column k, scaled to -1 at k, is the best combination of sum 0.
    whitened = np.ascontiguousarray(left[:, : k - 1] / values[: k - 1])
    inverse = _core.gram(whitened)
    squares = np.einsum("kk->k", inverse).copy()
    return 1.0 / np.sqrt(squares), -inverse / squares[:, None]


def _closest_cosines(unit: Float) -> Float:
    """Cosine of each vector with its nearest neighbour."""
    found = sweep(scaled_frame(unit), variances=np.zeros(unit.shape[0]))
    return 1.0 - 0.5 * found.squared_distance_to_nearest


def _nearest_vertex(unit: Float, k: int) -> tuple[Int, Float]:
    cosines = _core.cross_gram(unit, unit[k : k + 1])[:, 0]
    cosines[k] = -np.inf
    return np.array([np.argmax(cosines)]), np.ones(1)


def _positive_face(unit: Float, k: int, weights: Float) -> tuple[Int, Float]:
    """Drop vertices of negative weight until none is left."""
    face = np.flatnonzero(weights > 0)
    while True:
        weights = _affine(unit[face] - unit[k])
        if (weights > 0).all():
            return face, weights
        face = face[weights > 0]


def _hull_distance(unit: Float, k: int, face: Int, weights: Float, enough: float) -> float:
    """Distance of vector k to the hull of the others; anything from `enough` on if it is no less."""
    point = _combine(unit, k, face, weights)
    for _ in range(100 * (unit.shape[1] + 10)):
        size = float(np.sqrt(np.sum(point**2)))
        along = _core.cross_gram(unit, point[None, :])[:, 0]
        along -= along[k]
        along[k] = np.inf
        nearest = int(np.argmin(along))
        gap = size * size - float(along[nearest])
        if gap <= max(_GAP * size * size, 8 * _EPS * size) or nearest in face:
            return _settled(unit, k, face, size) if size < enough else size
        if float(along[nearest]) >= enough * size:  # a bound on the distance from below
            return enough
        larger, weights = _descend(unit, k, np.append(face, nearest), np.append(weights, 0.0))
        lower = _combine(unit, k, larger, weights)
        if float(np.sum(lower**2)) >= size * size:  # rounding is all that is left to gain
            return _settled(unit, k, face, size) if size < enough else size
        face, point = larger, lower
    raise RuntimeError(f"the distance of vector {k} to the hull of the others did not converge")


def _settled(unit: Float, k: int, face: Int, size: float) -> float:
    """Distance to the plane of the face with all its digits."""
    weights = _careful_affine(unit[face] - unit[k])
    exact = float(np.sqrt(np.sum(_combine(unit, k, face, weights) ** 2)))
    return exact if weights.min() >= -1e-6 else size


def _descend(unit: Float, k: int, face: Int, weights: Float) -> tuple[Int, Float]:
    """Go to the point of the face's plane nearest to vector k, dropping vertices met on the way."""
    while True:
        target = _affine(unit[face] - unit[k])
        if (target > 0).all() or face.size == 1:
            return face, target
        falling = target <= 0
        steps = np.full(face.size, np.inf)
        steps[falling] = weights[falling] / (weights[falling] - target[falling])
        first = int(np.argmin(steps))
        weights = weights + float(steps[first]) * (target - weights)
        kept = weights > 0
        kept[first] = False
        face, weights = face[kept], weights[kept] / weights[kept].sum()


def _affine(gaps: Float) -> Float:
    """Weights of sum 1 that combine the rows to the point of their plane nearest to 0."""
    # By the normal equations, unless the products with that point, which must be equal, say they have failed.
    gram = _core.gram(gaps)
    try:
        weights = np.linalg.solve(gram + np.trace(gram) / gaps.shape[0], np.ones(gaps.shape[0]))
    except np.linalg.LinAlgError:
        return _careful_affine(gaps)
    weights /= weights.sum() or 1.0
    products = np.einsum("fg,g->f", gram, weights)
    square = float(np.einsum("f,f->", weights, products))
    good = bool(np.abs(products - square).max() <= 1e-6 * square)
    return weights if good else _careful_affine(gaps)


def _careful_affine(gaps: Float) -> Float:
    edges = gaps[1:] - gaps[0]
    rest = np.linalg.lstsq(np.ascontiguousarray(edges.T), -gaps[0], rcond=None)[0]
    weights: Float = np.concatenate([[1.0 - rest.sum()], rest])
    return weights


def _combine(unit: Float, k: int, face: Int, weights: Float) -> Float:
    point: Float = np.einsum("f,fd->d", weights, unit[face] - unit[k])
    return point
