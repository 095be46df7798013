"""Between a problem with its state and the compiled descent, which knows columns and flat parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ._problem import Problem, State
from ._reduction import ReducedState
from ._regularised import Regularised, Squared
from .problems import CrossEntropy

Float = NDArray[np.float64]

LEVEL_METRICS = (
    "nc1_pinv",
    "nc1_trace_ratio",
    "nc2_etf_means",
    "nc2_of_means",
    "nc2_etf_weights",
    "nc2_of_weights",
    "nc3_self_duality",
    "nc3_self_duality_of",
    "nc3_alignment_etf",
    "nc3_alignment_of",
)
_OF_MEANS_ALONE = 4


@dataclass(frozen=True)
class Rule:
    """How variables follow their gradients."""

    optimizer: str
    step: float
    momentum: float
    nesterov: bool

    @property
    def slots(self) -> int:
        """Numbers kept for each variable, itself among them."""
        return 3 if self.optimizer == "adam" else 1 + (self.momentum != 0)

    def compiled(self) -> _core.UfmRule:
        """As the kernels take it; Adam with the usual constants."""
        return _core.UfmRule(
            step=self.step,
            momentum=self.momentum,
            nesterov=self.nesterov,
            adam=self.optimizer == "adam",
            beta1=0.9,
            beta2=0.999,
            epsilon=1e-8,
        )


@dataclass(frozen=True, eq=False)
class Position:
    """All that changes in a descent.

    `parameters` (slots, size) are W_1, ..., W_M, b flat one after the other, `features` (slots, rows, d) those of all
    samples, or class means and then a factor of the deviations; slots beyond the first are what the rule remembers.
    """

    iteration: int
    parameters: Float
    features: Float


def start(state: State | ReducedState, rule: Rule) -> Position:
    """Position of a state before the first step."""
    flat = [weight.ravel() for weight in reversed(state.weights)]
    if state.bias is not None:
        flat.append(state.bias)
    features = state.features if isinstance(state, State) else np.concatenate([state.means, state.deviations])
    parameters = np.concatenate(flat)
    both = np.zeros((rule.slots, parameters.size)), np.zeros((rule.slots, *features.shape))
    both[0][0], both[1][0] = parameters, features
    return Position(0, *both)


def state_at(problem: Problem, position: Position, dynamics: str) -> State | ReducedState:
    """Return the state at a position."""
    flat, features = position.parameters[0], position.features[0]
    weights: list[Float] = []
    for rows, cols in reversed(problem.weight_shapes):
        weights.insert(0, flat[: rows * cols].reshape(rows, cols).copy())
        flat = flat[rows * cols :]
    bias = flat.copy() if problem.has_bias else None
    if dynamics == "full":
        return State(tuple(weights), features, bias)
    means, deviations = np.split(features, [problem.num_classes])
    return ReducedState(tuple(weights), means, deviations, bias)


def simulation(
    problem: Regularised,
    rule: Rule,
    position: Position,
    dynamics: str,
    *,
    record_every: int,
    recorded: tuple[int, float],
) -> _core.UfmDescent:
    """Set up the compiled descent; `recorded` is the iteration and loss of the last record, (-1, nan) before any."""
    rows = position.features.shape[1]
    labels = np.full(rows, -1, dtype=np.int64)
    multiplicities = np.ones(rows)
    targets = np.zeros((rows, problem.num_outputs))
    _, own = problem._rows(collapsed=dynamics == "reduced")
    if dynamics == "reduced":
        labels[: problem.num_classes] = np.arange(problem.num_classes)
        multiplicities[: problem.num_classes] = problem.counts
        targets[: problem.num_classes] = own
    else:
        labels[:] = problem.labels
        targets[:] = own
    return _core.UfmDescent(
        _model(problem),
        rule.compiled(),
        _core.UfmProgress(
            iteration=position.iteration,
            record_every=record_every,
            recorded=recorded[0],
            recorded_loss=recorded[1],
        ),
        np.ascontiguousarray(position.parameters),
        np.ascontiguousarray(position.features),
        labels,
        multiplicities,
        targets,
    )


def _model(problem: Regularised) -> _core.UfmModel:
    by_weights, by_features, by_bias = problem.penalties
    focal = problem.focal if isinstance(problem, CrossEntropy) else 0.0
    if isinstance(problem, Squared):
        loss = _core.UfmLoss.square
    else:
        loss = _core.UfmLoss.focal if focal else _core.UfmLoss.cross_entropy
    return _core.UfmModel(
        sizes=[problem.num_features, *(rows for rows, _ in reversed(problem.weight_shapes))],
        relu=problem.relu,
        bias=problem.has_bias,
        loss=loss,
        focal=focal,
        nonnegative=problem.nonnegative,
        num_classes=problem.num_classes if problem.num_classes > 1 else 0,
        samples=float(problem.num_samples),
        decays=[*reversed(by_weights), by_bias or 0.0, by_features],
    )


def metric_names(problem: Problem) -> list[str | None]:
    """Name each metric of a record; None where the problem has no such thing.

    Features after j layers are ``h(j+1)/``, before their ReLU ``pre(j+1)/``; the free features have no prefix.
    """
    if problem.num_classes < 2:
        return []
    prefixes = [""]
    for level in range(2, len(problem.weight_shapes) + 1):
        prefixes += [f"pre{level}/", f"h{level}/"] if problem.relu else [f"h{level}/"]
    known = LEVEL_METRICS if problem.num_outputs == problem.num_classes else LEVEL_METRICS[:_OF_MEANS_ALONE]
    return [prefix + name if name in known else None for prefix in prefixes for name in LEVEL_METRICS]


def batches(problem: Problem, size: int, seed: int, first: int, count: int) -> NDArray[np.int64]:
    """Rows of the features in the batches of iterations first, ..., first + count - 1.

    Each epoch takes a new order of all samples and leaves out what is less than a batch at its end.
    """
    per_epoch = problem.num_samples // size
    rows = np.empty((count, size), dtype=np.int64)
    done = 0
    while done < count:
        epoch, index = divmod(first + done, per_epoch)
        order = np.random.default_rng((seed, epoch)).permutation(problem.num_samples)
        whole = order[: per_epoch * size].reshape(per_epoch, size)[index : index + count - done]
        rows[done : done + whole.shape[0]] = whole
        done += whole.shape[0]
    return rows
