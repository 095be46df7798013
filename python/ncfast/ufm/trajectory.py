"""The record of a descent."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _archive
from . import _naming
from ._problem import Problem, State
from ._reduction import ReducedState
from .problems import MSE

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

Float = NDArray[np.float64]
_FORMAT = "ncfast descent"
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Loss and metrics along a descent.

    Attributes
    ----------
    problem : Problem
    settings : dict
        The arguments of `descend` that shape the result.
    dynamics : {"reduced", "full"}
        Whether class means and the scatter stood for the samples, or all samples were simulated.
    iterations : ndarray of int64, shape (records,)
        When something was recorded: every `record_every` iterations from 0 on, and at the end.
    loss, gradient_norm : ndarray, shape (records,)
        Objective with all decays, and the norm of its gradient in weights, bias and the features of all samples.
    metrics : dict of str to ndarray, shape (records,)
        The package's keys, of the free features beside the product of all weights. ``nc3_self_duality_of`` compares
        weights with means that are not centred. Deeper features have a prefix and go with the product of the weights
        above them: ``h2/``, ``h3/``, ...; ``pre2/``, ... before a ReLU. nan where a frame is exactly zero, nc1 infinite
        where class means coincide. Without a class structure (one class) there are none; where outputs are not
        classes those of the weights are missing.
    final : State or ReducedState
        Where the descent ended.
    stopped : {"iterations", "gradient_norm", "loss_change", "diverged"}
        Why it ended.
    stopped_at : int
        After how many iterations.
    """

    problem: Problem
    settings: dict[str, Any]
    dynamics: str
    iterations: NDArray[np.int64]
    loss: Float
    gradient_norm: Float
    metrics: dict[str, Float]
    final: State | ReducedState
    stopped: str
    stopped_at: int

    @property
    def diverged_at(self) -> int | None:
        """Iteration at which the descent was given up as diverged; None if it was not."""
        return self.stopped_at if self.stopped == "diverged" else None

    @property
    def slopes(self) -> dict[str, float]:
        """Slopes that theory predicts for the logarithm of a metric, per iteration; see `asymptotic_slopes`."""
        plain = self.settings["optimizer"] == "gd" and not self.settings["momentum"]
        full_batch = self.settings["batch_size"] is None
        return asymptotic_slopes(self.problem, self.settings["step"]) if plain and full_batch else {}

    def to_frame(self) -> pandas.DataFrame:
        """Return a pandas DataFrame: a row per record; iteration, loss, gradient norm and the metrics as columns."""
        try:
            import pandas
        except ImportError:
            raise ImportError('to_frame needs pandas: pip install "ncfast[frame]"') from None
        columns = {"iteration": self.iterations, "loss": self.loss, "gradient_norm": self.gradient_norm}
        return pandas.DataFrame({**columns, **self.metrics})

    def plot(self) -> Figure:
        """Draw loss, variability and geometry over iterations; matplotlib.

        Where theory knows the asymptotic slopes of NC1 they are drawn beside the curves, dashed.
        """
        from ._trajectory_figure import draw

        return draw(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one ``.npz`` file, in one piece or not at all."""
        content: dict[str, Any] = {
            "about": np.array(
                json.dumps(
                    {
                        "problem": _naming.described(self.problem),
                        "settings": self.settings,
                        "dynamics": self.dynamics,
                        "stopped": self.stopped,
                        "stopped_at": self.stopped_at,
                        "metrics": list(self.metrics),
                        "layers": len(self.final.weights),
                    }
                )
            ),
            "iterations": self.iterations,
            "loss": self.loss,
            "gradient_norm": self.gradient_norm,
            "values": np.array(list(self.metrics.values())).reshape(len(self.metrics), self.loss.size),
        }
        for name in ("features", "means", "deviations", "bias"):
            if getattr(self.final, name, None) is not None:
                content[f"final_{name}"] = getattr(self.final, name)
        for layer, weights in enumerate(self.final.weights):
            content[f"final_weights_{layer}"] = weights
        _archive.write(path, _FORMAT, _VERSION, content)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trajectory:
        """Read what `save` wrote.

        Raises
        ------
        OSError
            If the file cannot be opened.
        ValueError
            If it is damaged, or no trajectory.
        """
        content = _archive.read(path, _FORMAT, _VERSION, "descent file")
        try:
            about = json.loads(str(content["about"]))
            weights = tuple(content[f"final_weights_{layer}"] for layer in range(about["layers"]))
            bias = content.get("final_bias")
            final: State | ReducedState
            if about["dynamics"] == "full":
                final = State(weights, content["final_features"], bias)
            else:
                final = ReducedState(weights, content["final_means"], content["final_deviations"], bias)
            return cls(
                _naming.problem_of(about["problem"]),
                about["settings"],
                about["dynamics"],
                content["iterations"],
                content["loss"],
                content["gradient_norm"],
                dict(zip(about["metrics"], content["values"], strict=True)),
                final,
                about["stopped"],
                about["stopped_at"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{os.fspath(path)}: not a whole descent file ({error})") from error


def asymptotic_slopes(problem: Problem, step: float) -> dict[str, float]:
    """Slopes of ``log(metric)`` per iteration of plain gradient descent, once it is close to the optimum.

    Deviations off the span of the weights shrink by ``1 - step lH``, those in it by ``1 - step sqrt(lH / (n lW)) / K``,
    and weights and means agree on that span at the rate ``lW + lH``. The slower of the ways to contribute gives the
    slope.

    Returns
    -------
    dict
        Of ``nc1_trace_ratio`` and ``nc1_pinv`` for the bias-free `MSE` problem with balanced one-hot targets and
        ``sqrt(n lW lH) K < 1``; empty for all others.
    """
    if not (isinstance(problem, MSE) and problem.bias == "none" and problem.balanced and problem.one_hot):
        return {}
    (by_weights,), by_features, _ = problem.penalties
    k, n = problem.num_classes, problem.num_samples / problem.num_classes
    if k * np.sqrt(n * by_weights * by_features) >= 1 or problem.num_features < k or n < 2:
        return {}
    inside = 2 * float(np.log1p(-step * np.sqrt(by_features / (n * by_weights)) / k))
    if problem.num_features == k:
        return {"nc1_trace_ratio": inside, "nc1_pinv": inside}
    outside = 2 * float(np.log1p(-step * by_features))
    turning = 2 * float(np.log1p(-step * (by_weights + by_features)))
    return {"nc1_trace_ratio": max(inside, outside), "nc1_pinv": max(inside, outside + turning)}
