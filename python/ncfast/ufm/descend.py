"""Descent along the gradient, with metrics recorded along the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from .._choices import as_count
from . import _checkpoint, _reduction
from ._checks import as_fraction, as_one_of, as_positive
from ._problem import Problem, State
from ._reduction import ReducedState
from ._regularised import Regularised, Squared
from ._run import Progress, Run, shown
from ._simulation import Rule
from .trajectory import Trajectory


@dataclass(frozen=True)
class Stop:
    """When a descent stops early: at the first record that satisfies one of these.

    Attributes
    ----------
    gradient_norm : float, optional
        The gradient is at most this long.
    loss_change : float, optional
        The loss differs by at most this from that of the record before.
    """

    gradient_norm: float | None = None
    loss_change: float | None = None

    def __post_init__(self) -> None:
        for name in ("gradient_norm", "loss_change"):
            if getattr(self, name) not in (None, 0):
                as_positive(name, getattr(self, name))


def descend(
    problem: Problem,
    *,
    step: float = 0.1,
    iterations: int = 50_000,
    record_every: int = 100,
    seed: int = 0,
    initial: State | ReducedState | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    optimizer: str = "gd",
    batch_size: int | None = None,
    dynamics: str = "auto",
    stop: Stop | None = None,
    progress: Progress | bool | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Trajectory:
    """Descend from a state and record loss and collapse metrics.

    The squared loss of linear layers under full-batch gradient descent, heavy ball or Nesterov is followed exactly
    through class means and a factor of the deviations: the cost does not depend on n, and NC1 keeps its slope far below
    the square of float64's precision. Everything else is simulated sample by sample. Results do not depend on the
    number of threads.

    Parameters
    ----------
    problem : MSE, ExtendedMSE or CrossEntropy
    step : float, default 0.1
    iterations : int, default 50000
    record_every : int, default 100
        Iterations between records.
    seed : int, default 0
        Of the initial state and the batches.
    initial : State or ReducedState, optional
        By default `Problem.initial_state` of the seed. With ``dynamics="reduced"`` and more than a million numbers in
        the features, a reduced state of the same distribution is drawn instead, at once for any n.
    momentum : float, default 0
        In [0, 1): ``v <- momentum v + gradient``, then a step along -v (heavy ball).
    nesterov : bool, default False
        A step along ``gradient + momentum v`` instead.
    optimizer : {"gd", "adam"}, default "gd"
        "adam" with the usual constants (0.9, 0.999, 1e-8) on weights, bias and features.
    batch_size : int, optional
        Samples in each step, without replacement within an epoch; less than a batch at the end of an epoch is left
        out. The decay of the features counts N / batch_size times, so that the gradient is right on average. A
        feature, its velocity and its moments change when its sample is drawn.
    dynamics : {"auto", "reduced", "full"}, default "auto"
        "reduced" wherever it is exact.
    stop : Stop, optional
        Early stop at a record.
    progress : callable or bool, optional
        Called about ten times a second with (iterations done, iterations, loss at the last record). True shows a
        tqdm bar.
    checkpoint : path, optional
        A file that is written every 20 seconds, on an interrupt and at the end. If it is there, the descent goes on
        from it, to the same bits as without the pause.

    Returns
    -------
    Trajectory

    Warns
    -----
    RuntimeWarning
        If the descent diverges: the loss exceeds that at the start a hundred million times, or is no number. The
        trajectory holds what was recorded until then; the warning says when that was and which step to try.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, a state does not fit, ``dynamics="reduced"`` would not be exact, or the
        checkpoint is damaged or belongs to other settings.

    References
    ----------
    Tirer, Bruna, "Extended unconstrained features model for exploring deep neural collapse", ICML 2022.
    """
    if not isinstance(problem, Regularised):
        raise TypeError(f"problem is {type(problem).__name__}; wanted MSE, ExtendedMSE or CrossEntropy")
    iterations = as_count("iterations", iterations, 0)
    record_every, seed = as_count("record_every", record_every, 1), as_count("seed", seed, 0)
    as_one_of("optimizer", optimizer, ("gd", "adam"))
    rule = Rule(optimizer, as_positive("step", step), as_fraction("momentum", momentum), bool(nesterov))
    if optimizer == "adam" and (momentum or nesterov):
        raise ValueError("momentum or nesterov is given with optimizer='adam', which has moments of its own")
    if nesterov and not momentum:
        raise ValueError("nesterov is True with momentum 0; wanted a momentum")
    if batch_size is not None and as_count("batch_size", batch_size, 1) > problem.num_samples:
        raise ValueError(f"batch_size is {batch_size}; wanted at most the number of samples, {problem.num_samples}")
    dynamics = _dynamics(problem, optimizer, batch_size, dynamics, initial)
    stop = stop or Stop()
    begin = _initial(problem, dynamics, seed, initial)
    settings = {
        "step": rule.step,
        "iterations": iterations,
        "record_every": record_every,
        "seed": seed,
        "initial": None if initial is None else _checkpoint.digest(begin()),
        "momentum": rule.momentum,
        "nesterov": rule.nesterov,
        "optimizer": optimizer,
        "batch_size": batch_size,
        "gradient_norm": stop.gradient_norm,
        "loss_change": stop.loss_change,
    }
    with shown(progress, iterations) as show:
        return Run(problem, rule, dynamics, settings, begin, checkpoint).to_the_end(show)


def _dynamics(
    problem: Problem, optimizer: str, batch_size: int | None, wanted: str, initial: State | ReducedState | None
) -> str:
    as_one_of("dynamics", wanted, ("auto", "reduced", "full"))
    obstacle = _reduction.obstacle(problem, optimizer, batch_size)
    reduced = isinstance(initial, ReducedState)
    if obstacle and (wanted == "reduced" or reduced):
        what = "initial is a ReducedState" if reduced else "dynamics is 'reduced'"
        raise ValueError(f"{what}, but {obstacle}; wanted {'a State' if reduced else 'auto or full'}")
    if wanted == "full" and reduced:
        raise ValueError("initial is a ReducedState and dynamics 'full'; wanted a State")
    return wanted if wanted != "auto" else "full" if obstacle else "reduced"


def _initial(
    problem: Regularised, dynamics: str, seed: int, initial: State | ReducedState | None
) -> Callable[[], State | ReducedState]:
    """Return how to get the initial state, which a resumed descent does not need."""
    if isinstance(initial, ReducedState) and isinstance(problem, Squared):
        given: State | ReducedState = _reduction.checked(problem, initial)
        return lambda: given
    if initial is not None:
        if not isinstance(initial, State):
            raise TypeError(f"initial is {type(initial).__name__}; wanted a State or ReducedState")
        whole = problem.checked(initial)
        given = _reduction.reduced(problem, whole) if dynamics == "reduced" else whole
        return lambda: given
    if dynamics == "reduced":
        return lambda: _reduction.initial(problem, seed)
    return lambda: problem.initial_state(seed)
