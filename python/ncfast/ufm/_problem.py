"""What all unconstrained-features problems share: sizes, states, objective and gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .._choices import as_count
from ._checks import as_matrix, as_positive, as_samples

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class State:
    """Weights, features and bias of a problem; also the shape of its gradient.

    Attributes
    ----------
    weights : tuple of ndarray of float64
        ``(W_M, ..., W_1)``, outermost first; the first has one row per output, (K, d), the last acts on the features.
    features : ndarray of float64, shape (N, d)
        One row per sample, sorted by class.
    bias : ndarray of float64, shape (K,), or None
    """

    weights: tuple[Float, ...]
    features: Float
    bias: Float | None = None

    def expanded(self, counts: NDArray[np.int64]) -> State:
        """Repeat row k of the features counts[k] times: one row per class becomes one per sample."""
        return State(self.weights, np.repeat(self.features, counts, axis=0), self.bias)


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem(ABC):
    """Sizes of a problem, and what follows from them."""

    num_classes: int
    num_features: int
    samples_per_class: int | Sequence[int]

    def __post_init__(self) -> None:
        self._set("num_classes", as_count("num_classes", self.num_classes, 1))
        self._set("num_features", as_count("num_features", self.num_features, 1))
        self._set("samples_per_class", as_samples(self.samples_per_class, self.num_classes))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Samples of each class, shape (K,)."""
        return np.broadcast_to(np.asarray(self.samples_per_class, dtype=np.int64), self.num_classes)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Class of each row of the features, shape (N,): sorted."""
        return np.repeat(np.arange(self.num_classes), self.counts)

    @cached_property
    def num_samples(self) -> int:
        """N."""
        return int(self.counts.sum())

    @property
    def balanced(self) -> bool:
        """Whether all classes have equally many samples."""
        return bool(np.all(self.counts == self.counts[0]))

    @property
    def num_outputs(self) -> int:
        """Rows of the outermost weight matrix."""
        return self.num_classes

    @property
    def weight_shapes(self) -> tuple[tuple[int, int], ...]:
        """Shapes of the weight matrices, outermost first."""
        return ((self.num_outputs, self.num_features),)

    @property
    def has_bias(self) -> bool:
        """Whether a bias is added to the logits."""
        return False

    @property
    def relu(self) -> bool:
        """Whether a ReLU follows every weight matrix but the outermost."""
        return False

    @property
    def nonnegative(self) -> bool:
        """Whether features must not be negative."""
        return False

    @property
    def collapsible(self) -> bool:
        """Whether samples of a class are alike, so that the least value is reached with one feature per class."""
        return True

    def objective(self, state: State) -> float:
        """Value at a state.

        Raises
        ------
        ValueError, TypeError
            If the state does not fit the problem.
        """
        return float(self.evaluate(self.checked(state))[0])

    def gradient(self, state: State) -> State:
        """Gradient at a state, in the shape of a state.

        Raises
        ------
        ValueError, TypeError
            If the state does not fit the problem.
        """
        return self.evaluate(self.checked(state))[1]

    @abstractmethod
    def evaluate(self, state: State, *, collapsed: bool = False) -> tuple[float, State]:
        """Value and gradient together, unchecked.

        With `collapsed`, features have one row per class that stands for all its samples, and the gradient is in
        those rows.
        """

    def canonical(self, state: State) -> State:
        """Return the state that stands for all those the problem cannot tell from this one, if there are any."""
        return state

    def checked(self, state: State) -> State:
        """Return the state as float64.

        Raises
        ------
        ValueError, TypeError
            Naming the array that does not fit the problem.
        """
        shapes = self.weight_shapes
        if len(state.weights) != len(shapes):
            raise ValueError(f"weights holds {len(state.weights)} matrices; wanted {len(shapes)}, outermost first")
        if (state.bias is not None) != self.has_bias:
            raise ValueError(f"bias is {'given' if state.bias is not None else 'None'}; "
                             f"the problem has {'a' if self.has_bias else 'no'} bias")  # fmt: skip
        weights = tuple(
            as_matrix(f"weights[{layer}]", weight, shape, "one row per output of the layer")
            for layer, (weight, shape) in enumerate(zip(state.weights, shapes, strict=True))
        )
        shape = (self.num_samples, self.num_features)
        features = as_matrix("features", state.features, shape, "one row per sample, sorted by class")
        bias = None
        if state.bias is not None:
            bias = as_matrix("bias", state.bias, (self.num_outputs,), "one per output")
        return State(weights, features, bias)

    def initial_state(self, seed: int = 0, *, scale: float = 1.0, collapsed: bool = False) -> State:
        """Draw a random state: standard normal, bias zero.

        Matrices below the outermost are divided by the root of their number of columns, so that they keep lengths.

        Parameters
        ----------
        seed : int, default 0
            Of numpy's default generator.
        scale : float, default 1
            Factor on weights and features.
        collapsed : bool, default False
            One row of features per class, as `evaluate` takes them then.
        """
        scale = as_positive("scale", scale)
        random = np.random.default_rng(seed)
        outer, *inner = self.weight_shapes
        weights = [scale * random.standard_normal(outer)]
        weights += [scale / np.sqrt(shape[1]) * random.standard_normal(shape) for shape in inner]
        rows = self.num_classes if collapsed else self.num_samples
        features = scale * random.standard_normal((rows, self.num_features))
        bias = np.zeros(self.num_outputs) if self.has_bias else None
        return State(tuple(weights), np.abs(features) if self.nonnegative else features, bias)
