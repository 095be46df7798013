"""Minimisers of the squared loss, one singular direction of the targets at a time.

Over all chains ``A_1 ... A_L`` with product Z, the least ``sum_l lambda_l/2 ||A_l||^2`` is a sum over singular values
s of Z: ``L/2 Lambda s^(2/L)`` with Lambda the geometric mean of the decays. The fit is a sum over the same directions,
so that each singular value of the targets is shrunken by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..metrics._shrinkage import shrunken
from ._checks import NoClosedFormError
from ._regularised import Squared

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Directions:
    """Singular directions of the targets that a chain may learn.

    Attributes
    ----------
    size : ndarray, shape (r,)
        Singular values y of the targets of all samples.
    share : ndarray, shape (r,)
        Part of the squared error along a direction that no bias takes over: beta = lb/(1 + lb) along the mean target
        with a regularised bias, 1 elsewhere.
    rows, outputs : ndarray, shapes (R, r) and (m, r)
        Orthonormal: over rows of the features (scaled by the root of how many samples each stands for), over outputs.
    samples : ndarray, shape (R,)
        How many samples each row stands for.
    log_kappa : ndarray, shape (r,)
        Logarithm of the decay's strength, ``N Lambda y^(2/L - 2) / share``.
    """

    size: Float
    share: Float
    rows: Float
    outputs: Float
    samples: Float
    log_kappa: Float


def directions(problem: Squared) -> Directions:
    """Split the targets into directions that do not compete.

    Raises
    ------
    NoClosedFormError
        If a regularised bias couples them: the mean target is not orthogonal to the deviations from it.
    """
    weights, features, bias = problem.penalties
    samples, targets = problem._rows(collapsed=problem.collapsible)
    mean = samples @ targets / problem.num_samples
    roots = np.sqrt(samples)[:, None]
    rows, size, outputs = _svd(roots * (targets if bias is None else targets - mean))
    share = np.ones(size.size)
    if bias and (length := float(np.linalg.norm(mean))) > 0:
        _check_uncoupled(targets, mean, length)
        rows = np.column_stack([rows, roots / np.linalg.norm(roots)])
        size = np.append(size, length * np.linalg.norm(roots))
        outputs = np.column_stack([outputs, mean / length])
        share = np.append(share, bias / (1.0 + bias))
    layers = len(weights) + 1
    log_decay = float(np.log([*weights, features]).sum()) / layers
    log_kappa = np.log(problem.num_samples) + log_decay + (2.0 / layers - 2.0) * np.log(size) - np.log(share)
    return Directions(size, share, rows, outputs, samples, log_kappa)


@dataclass(frozen=True, eq=False)
class Factors:
    """A minimiser: its value, singular values of every factor, and the factors; the features last."""

    value: float
    singular_values: tuple[Float, ...]
    factors: tuple[Float, ...]
    bias: Float | None


def linear_factors(problem: Squared, seed: int, *, aligned: bool = False) -> Factors:
    """Build a minimiser of a linear chain.

    With `aligned`, hidden layers are rotated onto coordinate axes, where a ReLU leaves them alone if the targets are
    one-hot.
    """
    found = directions(problem)
    weights, features, _ = problem.penalties
    decays = np.array([*weights, features])
    layers = decays.size
    x, rest = shrunken(found.log_kappa, layers)
    error = found.share * found.size**2 / problem.num_samples
    gain = error * (1.0 - rest * (1.0 + (layers - 1.0) * x)) / 2.0
    widths = [cols for _, cols in problem.weight_shapes]
    kept = np.zeros(x.size, dtype=bool)
    kept[np.argsort(-gain, kind="stable")[: min(widths)]] = True
    x, rest = np.where(kept, x, 0.0), np.where(kept, rest, 1.0)
    value = float(np.sum(error * rest * (1.0 + (layers - 1.0) * x))) / 2.0

    common = np.exp(np.log(decays).sum() / layers) * (found.size * x) ** (2.0 / layers)
    singular = tuple(np.sqrt(common / decay) for decay in decays)
    random = np.random.default_rng(seed)
    frames = [np.zeros((width, x.size)) for width in widths]
    for layer, frame in enumerate(frames, start=1):
        draw = random_axes if aligned and layer < len(frames) else random_frame
        frame[:, kept] = draw(frame.shape[0], int(kept.sum()), random)
    ends = [found.outputs, *frames]
    factors = [left * s @ right.T for left, s, right in zip(ends[:-1], singular[:-1], ends[1:], strict=True)]
    factors.append(found.rows / np.sqrt(found.samples)[:, None] * singular[-1] @ frames[-1].T)
    return Factors(value, singular, tuple(factors), _bias(problem, found, x))


def random_frame(size: int, count: int, random: np.random.Generator) -> Float:
    """`count` orthonormal columns of length `size`, in random directions."""
    q, r = np.linalg.qr(random.standard_normal((size, count)))
    return np.asarray(q * np.sign(np.diagonal(r)))


def random_axes(size: int, count: int, random: np.random.Generator) -> Float:
    """`count` different columns of the identity."""
    return np.eye(size)[:, random.permutation(size)[:count]]


def _bias(problem: Squared, found: Directions, x: Float) -> Float | None:
    decay = problem.penalties.bias
    if decay is None:
        return None
    samples, targets = problem._rows(collapsed=problem.collapsible)
    fitted = found.rows * (found.size * x) @ found.outputs.T * np.sqrt(samples)[:, None]
    return np.asarray((samples @ targets - fitted.sum(axis=0)) / problem.num_samples / (1.0 + decay))


def _svd(matrix: Float) -> tuple[Float, Float, Float]:
    """Singular value decomposition without the directions that are zero."""
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    rank = int(np.count_nonzero(singular > singular[0] * max(matrix.shape) * np.finfo(np.float64).eps))
    return left[:, :rank], singular[:rank], right[:rank].T


def _check_uncoupled(targets: Float, mean: Float, length: float) -> None:
    overlap = float(np.abs((targets - mean) @ mean).max()) / length
    if overlap > 1e-12 * float(np.abs(targets).max()):
        raise NoClosedFormError(
            "a regularised bias couples the mean target to deviations from it, as unequal class counts do: there is no "
            "closed form; use ufm.minimise, or bias='none' or 'free'"
        )
