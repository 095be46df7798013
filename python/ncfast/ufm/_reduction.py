"""Problems whose descent needs no single sample: class means and a factor of the deviations from them do.

For the squared loss and linear layers, deviations of all classes are multiplied by one matrix in each step, and
everything else depends on them through ``S = sum (h - mean)(h - mean)^T`` alone. So a factor ``S = F^T F`` of at most
d rows stands for them, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from . import _chain
from ._checks import as_matrix
from ._problem import Problem, State
from ._regularised import Squared

Float = NDArray[np.float64]
_BLOCK = 1 << 14  # rows factored at a time
_LARGE = 1 << 20  # numbers in the features beyond which only their distribution is drawn


@dataclass(frozen=True, eq=False)
class ReducedState:
    """A state with its features reduced to class means and the scatter about them.

    Attributes
    ----------
    weights : tuple of ndarray of float64
        ``(W_M, ..., W_1)``, outermost first.
    means : ndarray of float64, shape (K, d)
        Class means of the features.
    deviations : ndarray of float64, shape (r, d)
        F with ``F^T F`` the pooled scatter of the features about their class means; r is at most d.
    bias : ndarray of float64, shape (K,), or None
    """

    weights: tuple[Float, ...]
    means: Float
    deviations: Float
    bias: Float | None = None


def obstacle(problem: Problem, optimizer: str, batch_size: int | None) -> str | None:
    """Say what keeps a descent from being reduced; None if nothing does."""
    if not isinstance(problem, Squared):
        return f"the loss of {type(problem).__name__} is not squared"
    if problem.relu:
        return "a ReLU treats samples of a class differently"
    if not problem.collapsible:
        return "samples of a class have different targets"
    if optimizer != "gd":
        return f"{optimizer!r} treats the coordinates of a feature differently"
    return None if batch_size is None else "a batch treats samples of a class differently"


def reduced(problem: Problem, state: State) -> ReducedState:
    """Reduce a state, exactly."""
    ends = np.cumsum(problem.counts)
    means = np.add.reduceat(state.features, ends - problem.counts) / problem.counts[:, None]
    means += np.add.reduceat(state.features - means[problem.labels], ends - problem.counts) / problem.counts[:, None]
    factor = np.empty((0, problem.num_features))
    for first in range(0, problem.num_samples, _BLOCK):
        rows = slice(first, first + _BLOCK)
        deviations = state.features[rows] - means[problem.labels[rows]]
        if deviations.any():
            factor = np.asarray(np.linalg.qr(np.concatenate([factor, deviations]), mode="r"))
    return ReducedState(state.weights, means, factor, state.bias)


def initial(problem: Problem, seed: int) -> ReducedState:
    """Draw the reduction of `Problem.initial_state`; that very one unless it is large."""
    if problem.num_samples * problem.num_features <= _LARGE:
        return reduced(problem, problem.initial_state(seed))
    start = problem.initial_state(seed, collapsed=True)
    means = start.features / np.sqrt(problem.counts)[:, None]
    factor = _wishart_factor(problem.num_samples - problem.num_classes, problem.num_features, seed)
    return ReducedState(start.weights, means, factor, start.bias)


def _wishart_factor(samples: int, size: int, seed: int) -> Float:
    """F with ``F^T F`` distributed as the scatter of that many standard normal vectors (Bartlett 1933)."""
    random = np.random.default_rng((seed, size))
    if samples < size:
        return random.standard_normal((samples, size))
    factor = np.triu(random.standard_normal((size, size)), 1)
    factor[np.diag_indices(size)] = np.sqrt(random.chisquare(samples - np.arange(size)))
    return factor


def checked(problem: Squared, state: ReducedState) -> ReducedState:
    """Check a reduced state as `Problem.checked` does a whole one."""
    shape = (problem.num_classes, problem.num_features)
    means = as_matrix("means", state.means, shape, "one row per class")
    deviations = np.asarray(state.deviations)
    rows = deviations.shape[0] if deviations.ndim == 2 else 0
    deviations = as_matrix("deviations", deviations, (rows, problem.num_features), "rows of a factor of the scatter")
    whole = replace(problem, samples_per_class=1).checked(State(state.weights, means, state.bias))
    return ReducedState(whole.weights, means, deviations, whole.bias)


def smoothness(problem: Squared, state: ReducedState) -> float:
    """`Regularised.smoothness` of a reduced state."""
    roots = np.sqrt(problem.counts)[:, None]
    features = np.concatenate([roots * state.means, state.deviations])
    outputs = _chain.forward(state.weights, features)[-1]
    targets = np.zeros_like(outputs)
    targets[: problem.num_classes] = roots * (problem.class_targets - (0.0 if state.bias is None else state.bias))
    norms = [_chain.spectral_norm(factor) for factor in (*state.weights, features)]
    offset = float(np.sqrt(problem.num_samples)) if problem.has_bias else 0.0
    bound = _chain.curvature_bound(norms, _chain.spectral_norm(outputs - targets), curvature=1.0, bias=offset)
    by_weights, by_features, by_bias = problem.penalties
    return float(bound / problem.num_samples + max(*by_weights, by_features, by_bias or 0.0))
