"""Numerical minimisation from many starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._choices import as_count
from . import _optimise
from ._checks import as_one_of, as_positive
from ._problem import Problem, State

Float = NDArray[np.float64]
METHODS = ("L-BFGS-B", "Newton-CG")


@dataclass(frozen=True, eq=False)
class Minima:
    """Where descents from several starts ended, best first.

    Attributes
    ----------
    values, gradient_norms : ndarray, shape (starts,)
        Objective and norm of its gradient in all samples (without what pushes against a bound). Values above the first
        by more than their gradients explain are spurious minima or saddles.
    ends : tuple of State
        Where each descent ended; `states` has them with a row of features for every sample.
    repeats : ndarray of int, or None
        If `ends` have one row of features per class: how many samples it stands for.
    seeds : tuple of int
        Of each start, as `Problem.initial_state` takes them; its index if the starts were given.
    tolerance : float
        The gradient norm that was asked for.
    """

    values: Float
    gradient_norms: Float
    ends: tuple[State, ...]
    repeats: NDArray[np.int64] | None
    seeds: tuple[int, ...]
    tolerance: float

    @property
    def value(self) -> float:
        """Least value found."""
        return float(self.values[0])

    @property
    def state(self) -> State:
        """Where it was found."""
        return self._expanded(self.ends[0])

    @property
    def states(self) -> tuple[State, ...]:
        """Where each descent ended."""
        return tuple(map(self._expanded, self.ends))

    @property
    def gradient_norm(self) -> float:
        """Norm of the gradient there."""
        return float(self.gradient_norms[0])

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Whether each descent reached the tolerance."""
        return self.gradient_norms <= self.tolerance

    def _expanded(self, end: State) -> State:
        return end if self.repeats is None else end.expanded(self.repeats)


def minimise(
    problem: Problem,
    *,
    starts: int | Sequence[State] = 1,
    seed: int = 0,
    scale: float = 1.0,
    method: str = "L-BFGS-B",
    tolerance: float = 1e-12,
    max_iterations: int = 20_000,
    collapsed: bool | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Minima:
    """Minimise a problem from random starts, each to a gradient of about rounding error.

    A SciPy method descends until values of the objective no longer tell a descent; Newton steps with exact products of
    the Hessian finish.

    Parameters
    ----------
    problem : Problem
    starts : int or sequence of State, default 1
        How many to draw: start i is `Problem.initial_state` of ``seed + i``. Or the states to start from; where
        samples share a feature, their class means are taken.
    seed : int, default 0
    scale : float, default 1
        Of the starts that are drawn.
    method : {"L-BFGS-B", "Newton-CG"}, default "L-BFGS-B"
        Nonnegative features need the first.
    tolerance : float, default 1e-12
        Norm of the gradient to reach; what was reached is in the result.
    max_iterations : int, default 20000
        Of the SciPy method, per start.
    collapsed : bool, optional
        Whether all samples of a class share one feature. By default they do if they share their target: the global
        minimum is the same, and the cost does not depend on n. Without it, also minima and saddles with variability
        within classes can be found.
    progress : callable, optional
        Called with (starts done, starts in all) after each.

    Returns
    -------
    Minima

    Raises
    ------
    ImportError
        If SciPy is missing; it names the extra to install.
    ValueError, TypeError
        If an argument is out of range, or the method does not fit the problem.
    """
    given = None if not isinstance(starts, Sequence) else [problem.checked(state) for state in starts]
    total = as_count("starts", starts if given is None else len(given), 1)
    seed = as_count("seed", seed, 0) if given is None else 0
    tolerance, scale = as_positive("tolerance", tolerance), as_positive("scale", scale)
    max_iterations = as_count("max_iterations", max_iterations, 1)
    as_one_of("method", method, METHODS)
    if problem.nonnegative and method != "L-BFGS-B":
        raise ValueError(f"method is {method!r}; nonnegative features need 'L-BFGS-B', which knows bounds")
    if collapsed and not problem.collapsible:
        raise ValueError("collapsed is True, but samples of a class have different targets; wanted False or None")
    try:
        from scipy import optimize
        from scipy.sparse.linalg import LinearOperator, minres
    except ImportError as error:
        raise ImportError('ufm.minimise needs SciPy: pip install "ncfast[ufm]"') from error

    collapsed = problem.collapsible if collapsed is None else collapsed
    vector = _optimise.Vector(problem, collapsed=collapsed)
    found = []
    for start in range(seed, seed + total):
        x = vector.start(start, scale) if given is None else vector.pack(given[start])
        x = _optimise.descend(vector, x, method, tolerance, max_iterations, optimize)
        x = _optimise.polish(vector, x, tolerance, minres, LinearOperator)
        value, gradient = vector.evaluate(x)
        found.append((float(value), float(np.linalg.norm(vector.projected(x, gradient))), start, vector.compact(x)))
        if progress is not None:
            progress(len(found), total)
    found.sort(key=lambda one: one[:3])
    values, norms, seeds, ends = zip(*found, strict=True)
    return Minima(np.array(values), np.array(norms), ends, problem.counts if collapsed else None, seeds, tolerance)
