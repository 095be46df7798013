"""A descent in progress: stretches of compiled steps, and what happens between them."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from . import _checkpoint, _reduction, _simulation
from ._problem import State
from ._reduction import ReducedState
from ._regularised import Regularised, Squared
from ._simulation import Position, Rule
from .trajectory import Trajectory

Float = NDArray[np.float64]
Progress = Callable[[int, int, float], object]

_PATIENCE = 0.1  # seconds of steps between looks at signals, progress and the clock
_BETWEEN_CHECKPOINTS = 20.0  # seconds
_HOPELESS = 1e8  # times the loss at the start


class Run:
    """One call of `descend`, its arguments checked."""

    def __init__(
        self,
        problem: Regularised,
        rule: Rule,
        dynamics: str,
        settings: dict[str, Any],
        initial: Callable[[], State | ReducedState],
        path: str | os.PathLike[str] | None,
    ) -> None:
        self.problem, self.rule, self.dynamics, self.settings = problem, rule, dynamics, settings
        self.initial, self.path = initial, path
        self.names = _simulation.metric_names(problem)
        self.identity = _checkpoint.identity(problem, dynamics, settings)
        saved = _checkpoint.read(path, self.identity) if path is not None and os.path.exists(path) else None  # noqa: PTH110
        position = saved.position if saved else _simulation.start(initial(), rule)
        self.earlier = saved.records if saved else np.empty((0, 3 + len(self.names)))
        self.ended = saved.status if saved else ""
        last = self.earlier[-1] if len(self.earlier) else (-1, np.nan)
        self.simulation = _simulation.simulation(
            problem,
            rule,
            position,
            dynamics,
            record_every=settings["record_every"],
            recorded=(int(last[0]), float(last[1])),
        )

    def to_the_end(self, show: Progress) -> Trajectory:
        """Make all steps, or stop early."""
        iterations, simulation = self.settings["iterations"], self.simulation
        steps, saved = 1, time.monotonic()
        try:
            if simulation.iteration == 0:
                simulation.record(self._limits(np.finfo(np.float64).max))
            limits = self._limits(_HOPELESS * self.records[0, 1] if len(self.records) else 0.0)
            while not self.status and simulation.iteration < iterations:
                began = time.monotonic()
                self._advance(min(steps, iterations - simulation.iteration), limits)
                took = time.monotonic() - began
                steps = max(1, min(10 * steps, int(steps * _PATIENCE / max(took, 1e-6))))
                show(simulation.iteration, iterations, simulation.recorded_loss)
                if time.monotonic() - saved > _BETWEEN_CHECKPOINTS:
                    self._save()
                    saved = time.monotonic()
            if not self.status:
                simulation.record(limits)
                self.ended = "iterations"
        finally:
            self._save()
        if self.status == "diverged":
            self._warn()
        return self._trajectory()

    @property
    def status(self) -> str:
        """Why the descent has ended; empty while it goes on."""
        return self.simulation.status or self.ended

    @property
    def records(self) -> Float:
        """All records, those before a pause among them."""
        return np.concatenate([self.earlier, self.simulation.records_from(0)])

    def _advance(self, steps: int, limits: _core.UfmLimits) -> None:
        size, first = self.settings["batch_size"], self.simulation.iteration
        rows = None
        if size is not None:
            rows = _simulation.batches(self.problem, size, self.settings["seed"], first, steps)
        self.simulation.advance(steps, rows, limits)

    def _limits(self, largest_loss: float) -> _core.UfmLimits:
        change, norm = self.settings["loss_change"], self.settings["gradient_norm"]
        return _core.UfmLimits(
            gradient_norm=-1.0 if norm is None else norm,
            loss_change=-1.0 if change is None else change,
            largest_loss=largest_loss,
        )

    def _position(self) -> Position:
        simulation = self.simulation
        return Position(simulation.iteration, simulation.parameters, simulation.features)

    def _save(self) -> None:
        if self.path is not None:
            _checkpoint.write(self.path, self.identity, self._position(), self.records, self.status)

    def _warn(self) -> None:
        bound = self._smoothness()
        advice = "a smaller step"
        if np.isfinite(bound):
            advice = f"a step below {1 / bound:.3g}, one over the bound {bound:.3g} of the Hessian's norm at the start"
        warnings.warn(
            f"the descent with step {self.rule.step:g} diverged at iteration {self.simulation.iteration}; "
            f"try {advice}, or a smaller initial state",
            RuntimeWarning,
            stacklevel=4,
        )

    def _smoothness(self) -> float:
        """Bound on the Hessian at the start; infinite where none is known."""
        begin = self.initial()
        with np.errstate(all="ignore"):
            try:
                if isinstance(begin, State):
                    return self.problem.smoothness(begin)
                assert isinstance(self.problem, Squared)
                return _reduction.smoothness(self.problem, begin)
            except (ValueError, np.linalg.LinAlgError):  # the loss has none, or numbers overflow
                return np.inf

    def _trajectory(self) -> Trajectory:
        columns = self.records.T
        return Trajectory(
            self.problem,
            self.settings,
            self.dynamics,
            columns[0].astype(np.int64),
            columns[1].copy(),
            columns[2].copy(),
            {name: column.copy() for name, column in zip(self.names, columns[3:], strict=True) if name},
            _simulation.state_at(self.problem, self._position(), self.dynamics),
            self.status,
            self.simulation.iteration,
        )


@contextmanager
def shown(progress: Progress | bool | None, iterations: int) -> Iterator[Progress]:
    """Yield what shows progress: the callback, a bar for True, nothing for None and False."""
    if progress is None or progress is False:
        yield lambda *_: None
        return
    if progress is not True:
        yield progress
        return
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError('a progress bar needs tqdm: pip install "ncfast[cli]"') from None
    with tqdm(total=iterations, unit="it", unit_scale=True) as bar:

        def show(done: int, _: int, loss: float) -> None:
            bar.set_postfix_str(f"loss {loss:.6g}", refresh=False)
            bar.update(done - bar.n)

        yield show
