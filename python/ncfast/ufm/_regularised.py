"""Losses of logits with decays of every factor; the squared loss and its targets."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _chain
from ._checks import as_bias, as_matrix, as_one_of, as_positive
from ._problem import Problem, State

Float = NDArray[np.float64]
Self = TypeVar("Self", bound="Regularised")

NORMALISATIONS = ("raw", "normalised")


class Penalties(NamedTuple):
    """Decays of the raw normalisation; `bias` is None without a bias and 0 with an unregularised one."""

    weights: tuple[float, ...]
    features: float
    bias: float | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Regularised(Problem):
    """A loss of ``W_M ... W_1 h + b`` averaged over samples, and decays of all factors."""

    feature_decay: float
    bias: str | float = "none"
    normalisation: str = "raw"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("feature_decay", as_positive("feature_decay", self.feature_decay))
        self._set("bias", as_bias(self.bias))
        self._set("normalisation", as_one_of("normalisation", self.normalisation, NORMALISATIONS))

    @property
    @abstractmethod
    def decays(self) -> tuple[float, ...]:
        """Decays of the weight matrices as given, outermost first."""

    @abstractmethod
    def _with(self: Self, decays: tuple[float, ...], **fields: Any) -> Self:
        """Return a copy with other decays of the weights and other fields."""

    @property
    @abstractmethod
    def class_targets(self) -> Float:
        """Targets, one row per class; one per sample if they were given so."""

    @abstractmethod
    def _loss(self, logits: Any, targets: Float) -> tuple[Any, Any]:
        """Loss of each row, and its slopes in the logits."""

    @property
    @abstractmethod
    def _curvature(self) -> float:
        """Bound on the second derivative of the loss in the logits."""

    @property
    def has_bias(self) -> bool:
        """Whether a bias is added to the logits."""
        return self.bias != "none"

    @cached_property
    def penalties(self) -> Penalties:
        """All decays in the raw normalisation."""
        by_weights, by_features = self._units(self.normalisation)
        bias = {"none": None, "free": 0.0}.get(self.bias, 0.0) if isinstance(self.bias, str) else self.bias
        return Penalties(tuple(decay / by_weights for decay in self.decays), self.feature_decay / by_features, bias)

    def to(self: Self, normalisation: str) -> Self:
        """Return the same problem with its decays in another normalisation.

        "raw" penalises with ``decay/2 ||.||^2``; "normalised" with ``decay/(2K) ||W||^2`` and ``decay/(2N) ||H||^2``,
        which makes the theory free of n and K. The decay of a bias is the same in both.
        """
        by_weights, by_features = self._units(as_one_of("normalisation", normalisation, NORMALISATIONS))
        weights, features, _ = self.penalties
        return self._with(
            tuple(decay * by_weights for decay in weights),
            feature_decay=features * by_features,
            normalisation=normalisation,
        )

    @cached_property
    def _class_rows(self) -> tuple[Float, Float]:
        return self.counts.astype(np.float64), self.class_targets

    def _rows(self, *, collapsed: bool) -> tuple[Float, Float]:
        """How many samples each row of the features stands for, and its targets."""
        if collapsed:
            return self._class_rows
        targets = self.class_targets
        return np.ones(self.num_samples), targets[self.labels] if self.collapsible else targets

    def _units(self, normalisation: str) -> tuple[int, int]:
        return (1, 1) if normalisation == "raw" else (self.num_classes, self.num_samples)

    def evaluate(self, state: State, *, collapsed: bool = False) -> tuple[float, State]:
        """Value and gradient together, unchecked; see `Problem.evaluate`."""
        by_weights, by_features, by_bias = self.penalties
        samples, targets = self._rows(collapsed=collapsed)
        levels = _chain.forward(state.weights, state.features, relu=self.relu)
        logits = levels[-1] if state.bias is None else levels[-1] + state.bias
        losses, slopes = self._loss(logits, targets)
        shares = samples / self.num_samples
        slopes = shares[:, None] * slopes
        weights, features = _chain.backward(state.weights, levels, slopes, relu=self.relu)
        decayed = by_features * samples[:, None] * state.features
        value = shares @ losses + decayed.ravel() @ state.features.ravel() / 2
        features = features + decayed
        for decay, weight in zip(by_weights, state.weights, strict=True):
            value = value + decay / 2 * (weight.ravel() @ weight.ravel())
        weights = tuple(w + decay * x for w, decay, x in zip(weights, by_weights, state.weights, strict=True))
        bias = None
        if state.bias is not None and by_bias is not None:
            value = value + by_bias / 2 * (state.bias @ state.bias)
            bias = slopes.sum(axis=0) + by_bias * state.bias
        return value, State(weights, features, bias)

    def smoothness(self, state: State) -> float:
        """Bound on the spectral norm of the Hessian at a state: gradient steps near it are stable below 2 over that.

        From the spectral norms of all factors and of the residual; with a ReLU it holds wherever the Hessian exists.

        Raises
        ------
        ValueError, TypeError
            If the state does not fit the problem, or the loss has no known bound (focal).
        """
        state = self.checked(state)
        logits = _chain.forward(state.weights, state.features, relu=self.relu)[-1]
        _, targets = self._rows(collapsed=False)
        _, slopes = self._loss(logits if state.bias is None else logits + state.bias, targets)
        norms = [_chain.spectral_norm(factor) for factor in (*state.weights, state.features)]
        offset = float(np.sqrt(self.num_samples)) if self.has_bias else 0.0
        bound = _chain.curvature_bound(norms, _chain.spectral_norm(slopes), curvature=self._curvature, bias=offset)
        by_weights, by_features, by_bias = self.penalties
        return float(bound / self.num_samples + max(*by_weights, by_features, by_bias or 0.0))


@dataclass(frozen=True, eq=False, kw_only=True)
class Squared(Regularised):
    """The squared loss ``||W_M ... W_1 H + b - Y||^2 / (2N)``."""

    targets: ArrayLike | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.targets is None:
            if self.num_classes < 2:
                raise ValueError("num_classes is 1; wanted at least 2, or targets")
            return
        given = np.asarray(self.targets)
        if given.ndim != 2 or given.shape[0] not in (self.num_classes, self.num_samples):
            raise ValueError(
                f"targets has shape {given.shape}; wanted (K, m), one row per class ({self.num_classes}), "
                f"or (N, m), one per sample ({self.num_samples})"
            )
        targets = as_matrix("targets", given, given.shape, "").copy()
        targets.flags.writeable = False
        self._set("targets", targets)

    @classmethod
    def from_pytorch(cls: type[Self], **fields: Any) -> Self:
        """Return the problem that ``torch.nn.MSELoss()`` with an optimiser's ``weight_decay`` minimises.

        PyTorch averages the squares over outputs too and has no half: its objective is 2/m times this problem's,
        m being the outputs, whose decays are m/2 times PyTorch's. A gradient step s there is a step 2s/m here.

        Parameters
        ----------
        **fields
            As of the class, decays as PyTorch takes them. Those of the features and of a bias are not implied by
            those of the weights: give what the optimiser applies to each.
        """
        given = cls(**fields)
        if given.normalisation != "raw":
            raise ValueError(f"normalisation is {given.normalisation!r}; wanted 'raw', in which PyTorch's decays are")
        factor = given.num_outputs / 2
        bias = given.bias if isinstance(given.bias, str) else factor * given.bias
        decays = tuple(factor * decay for decay in given.decays)
        return given._with(decays, feature_decay=factor * given.feature_decay, bias=bias)

    @cached_property
    def class_targets(self) -> Float:
        """Targets, one row per class; one per sample if they were given so."""
        return np.eye(self.num_classes) if self.targets is None else np.asarray(self.targets, dtype=np.float64)

    @property
    def num_outputs(self) -> int:
        """Length of the targets."""
        return int(self.class_targets.shape[1])

    @property
    def one_hot(self) -> bool:
        """Whether the targets are the rows of the identity."""
        given = self.class_targets
        return given.shape == (self.num_classes,) * 2 and bool(np.all(given == np.eye(self.num_classes)))

    @property
    def collapsible(self) -> bool:
        """Whether all samples of a class have one target."""
        return len(self.class_targets) == self.num_classes

    def _loss(self, logits: Any, targets: Float) -> tuple[Any, Any]:
        rest = logits - targets
        return (rest * rest).sum(axis=1) / 2, rest

    @property
    def _curvature(self) -> float:
        return 1.0
