"""One cell of a sweep: its problem, its minimisation, and what kind of minimum that is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import _chain
from ._checks import NoClosedFormError, as_one_of
from ._problem import State
from ._regularised import Regularised
from .minimise import minimise
from .minimizer import minimizer
from .problems import MSE, CrossEntropy, ExtendedMSE
from .thresholds import thresholds

RESULTS = ("kappa", "minimum", "value", "gradient_norm", "signal", "common", "phase")
STARTS = ("random", "small", "learned")
_SMALL = 0.01
_TOLERANCE = 1e-9  # of the gradient
_ALIKE = 1e-4  # of eigenvalues of the logits, which go from 0 to 1 with the squared loss


class Cell(NamedTuple):
    """Where a cell is in its grid."""

    loss: str
    layers: int
    nonlinearity: str
    num_classes: int
    num_features: int
    samples_per_class: int
    weight_decay: float
    feature_decay: float | str
    bias: float | str
    start: str

    def problem(self) -> Regularised:
        """Make the problem; raise ValueError or TypeError if there is none."""
        as_one_of("loss", self.loss, ("mse", "cross-entropy"))
        as_one_of("start", self.start, STARTS)
        common: dict[str, Any] = {
            "num_classes": self.num_classes,
            "num_features": self.num_features,
            "samples_per_class": self.samples_per_class,
            "feature_decay": self.weight_decay if self.feature_decay == "same" else self.feature_decay,
            "bias": self.bias,
        }
        if self.layers > 2 and self.loss == "mse":
            decays = (self.weight_decay,) * (self.layers - 1)
            return ExtendedMSE(**common, weight_decays=decays, nonlinearity=self.nonlinearity)
        if self.layers != 2 or self.nonlinearity != "none":
            raise ValueError(f"layers is {self.layers} and nonlinearity {self.nonlinearity!r}; wanted 2 and 'none' for "
                             f"loss {self.loss!r}, or at least 3 for 'mse'")  # fmt: skip
        return (MSE if self.loss == "mse" else CrossEntropy)(**common, weight_decay=self.weight_decay)


def solve(cell: Cell, *, seed: int, starts: int) -> dict[str, Any]:
    """Minimise a cell's problem and describe the minimum."""
    problem = cell.problem()
    count = {"random": starts, "small": 1}.get(cell.start) or [_learned(cell, seed)]
    scale = _SMALL if cell.start == "small" else 1.0
    found = minimise(problem, starts=count, seed=seed, scale=scale, tolerance=_TOLERANCE)
    try:
        minimum = minimizer(problem).value
    except NoClosedFormError:
        minimum = float("nan")
    signal, common = _eigenvalues(problem, found.state)
    results = (
        float(thresholds(problem).kappa[0]),
        minimum,
        found.value,
        found.gradient_norm,
        signal,
        common,
        _phase(signal, common),
    )
    return {**cell._asdict(), **dict(zip(RESULTS, results, strict=True))}


def _learned(cell: Cell, seed: int) -> State:
    """Start near the minimum at weak decay: a descent stays in what is learned as long as that is a minimum at all."""
    feature_decay = cell.feature_decay if cell.feature_decay == "same" else float(cell.feature_decay) / 1000
    weak = cell._replace(weight_decay=cell.weight_decay / 1000, feature_decay=feature_decay)
    state = minimizer(weak.problem(), seed).state()
    random = np.random.default_rng(seed)
    weights = tuple(w + 0.01 * np.abs(w).mean() * random.standard_normal(w.shape) for w in state.weights)
    return State(weights, state.features, state.bias)


def _eigenvalues(problem: Regularised, state: State) -> tuple[float, float]:
    """Of the logits at the class means, without bias: along differences of classes, their mean; along their sum."""
    first = np.cumsum(problem.counts) - problem.counts  # samples of a class are alike
    logits = _chain.forward(state.weights, state.features[first], relu=problem.relu)[-1]
    common = float(logits.mean(axis=1).sum())
    return (float(np.trace(logits)) - common) / (problem.num_classes - 1), common


def _phase(signal: float, common: float) -> str:
    if abs(signal) < _ALIKE and abs(common) < _ALIKE:
        return "zero"
    if abs(common) < _ALIKE:
        return "etf"
    return "of" if abs(signal - common) < _ALIKE else "between"
