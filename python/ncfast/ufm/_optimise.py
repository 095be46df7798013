"""One descent: SciPy's optimisers, then Newton steps with exact Hessian products."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._problem import Problem, State

Array = NDArray[Any]
# Any step this small is exact: the imaginary part carries the derivative, and nothing is subtracted.
_STEP = 1e-30
_NEWTON_STEPS = 20
_ROUNDING = 1e-14


class Vector:
    """A problem as a function of one vector: weights, features, bias; features per class where that is exact.

    A row of features that stands for n samples enters times sqrt(n), which makes the norm of the gradient that of the
    gradient in all samples, and the curvature independent of n.
    """

    def __init__(self, problem: Problem, *, collapsed: bool) -> None:
        self._problem, self._collapsed = problem, collapsed
        rows = problem.num_classes if collapsed else problem.num_samples
        self._roots = np.sqrt(problem.counts)[:, None] if collapsed else np.ones((rows, 1))
        self._shapes: list[tuple[int, ...]] = [*problem.weight_shapes, (rows, problem.num_features)]
        if problem.has_bias:
            self._shapes.append((problem.num_outputs,))
        self._layers = len(problem.weight_shapes)
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in self._shapes])
        self._slices = [slice(*pair) for pair in pairwise((0, *ends.tolist()))]
        self.nonnegative = np.zeros(ends[-1], dtype=bool)
        self.nonnegative[self._slices[self._layers]] = problem.nonnegative

    def start(self, seed: int, scale: float) -> Array:
        """Draw where to start."""
        return self.pack(self._problem.initial_state(seed, scale=scale, collapsed=self._collapsed))

    def pack(self, state: State) -> Array:
        """Return the vector of a state; of its class means if collapsed, unless it has one row per class already."""
        features = state.features
        if self._collapsed and features.shape[0] != self._problem.num_classes:
            counts = self._problem.counts
            features = np.add.reduceat(features, np.cumsum(counts) - counts, axis=0) / counts[:, None]
        return _flat(State(state.weights, features * self._roots, state.bias))

    def evaluate(self, x: Array) -> tuple[Any, Array]:
        """Value and gradient."""
        value, gradient = self._problem.evaluate(self._unpack(x), collapsed=self._collapsed)
        return value, _flat(State(gradient.weights, gradient.features / self._roots, gradient.bias))

    def hessian_product(self, x: Array, direction: Array) -> Array:
        """Hessian times a vector, exact to rounding."""
        return np.asarray(self.evaluate(x + 1j * _STEP * direction)[1].imag / _STEP)

    def projected(self, x: Array, gradient: Array) -> Array:
        """Gradient without the parts that push against a bound."""
        return np.where(self.nonnegative & (x <= 0) & (gradient > 0), 0.0, gradient)

    def compact(self, x: Array) -> State:
        """Return the state, with one row of features per class if collapsed."""
        return self._problem.canonical(self._unpack(x))

    def state(self, x: Array) -> State:
        """Return the state of all samples."""
        return self.compact(x).expanded(self._problem.counts) if self._collapsed else self.compact(x)

    def _unpack(self, x: Array) -> State:
        parts = [x[part].reshape(shape) for part, shape in zip(self._slices, self._shapes, strict=True)]
        layers = self._layers
        return State(tuple(parts[:layers]), parts[layers] / self._roots, parts[-1] if len(parts) > layers + 1 else None)


def _flat(state: State) -> Array:
    parts = [*state.weights, state.features, *([] if state.bias is None else [state.bias])]
    return np.concatenate([part.ravel() for part in parts])


def descend(
    vector: Vector, x: Array, method: str, tolerance: float, max_iterations: int, optimize: ModuleType
) -> Array:
    """Descend with a SciPy method as far as values of the objective can tell."""
    common: dict[str, Any] = {"fun": vector.evaluate, "x0": x, "jac": True}
    if method == "Newton-CG":
        options = {"xtol": 1e-15, "maxiter": max_iterations}
        return np.asarray(optimize.minimize(**common, method=method, hessp=vector.hessian_product, options=options).x)
    options = {"gtol": tolerance, "ftol": 1e-16, "maxiter": max_iterations, "maxfun": 2 * max_iterations, "maxcor": 20}
    bounds = optimize.Bounds(np.where(vector.nonnegative, 0.0, -np.inf)) if vector.nonnegative.any() else None
    return np.asarray(optimize.minimize(**common, method=method, bounds=bounds, options=options).x)


def polish(
    vector: Vector, x: Array, tolerance: float, minres: Callable[..., Any], operator: Callable[..., Any]
) -> Array:
    """Take Newton steps while they shrink the gradient and, but for rounding, do not raise the value.

    MINRES gives the shortest step where rotations leave the Hessian singular.
    """
    value, gradient = vector.evaluate(x)
    gradient = vector.projected(x, gradient)
    for _ in range(_NEWTON_STEPS):
        if np.linalg.norm(gradient) <= tolerance:
            break
        free = ~(vector.nonnegative & (x <= 0))

        def product(direction: Array, x: Array = x, free: Array = free) -> Array:
            return np.where(free, vector.hessian_product(x, np.where(free, direction.ravel(), 0.0)), 0.0)

        hessian = operator((x.size, x.size), matvec=product, dtype=np.float64)
        step = minres(hessian, -np.where(free, gradient, 0.0), rtol=1e-10, maxiter=500)[0]
        new = x + step
        new_value, new_gradient = vector.evaluate(new)
        new_gradient = vector.projected(new, new_gradient)
        higher = new_value > value + _ROUNDING * (1.0 + abs(value))
        outside = np.any(new[vector.nonnegative] < 0)
        if higher or outside or not np.linalg.norm(new_gradient) < np.linalg.norm(gradient):
            break
        x, value, gradient = new, new_value, new_gradient
    return x
