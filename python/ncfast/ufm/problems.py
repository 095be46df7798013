"""The unconstrained-features problems: squared loss, chains of weight matrices, cross-entropy, the sphere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._choices import as_count
from . import _chain
from ._checks import as_fraction, as_one_of, as_positive, as_tuple
from ._problem import Problem, State
from ._regularised import Regularised, Squared

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class MSE(Squared):
    """``||W H + b 1^T - Y||^2 / (2N)`` with decays of W, of the features H, and perhaps of the bias b.

    Parameters
    ----------
    num_classes : int
        K; 1 for a regression, with one target per sample.
    num_features : int
        d, the length of a feature vector.
    samples_per_class : int or sequence of int
        n for every class, or n_k for each.
    weight_decay, feature_decay : float
        ``weight_decay/2 ||W||^2`` and ``feature_decay/2 ||H||^2``, both positive.
    bias : {"none", "free"} or float, default "none"
        No bias, an unregularised one, or the decay of a regularised one.
    targets : array_like, shape (K, m) or (N, m), optional
        Targets by class or by sample; by default one-hot.
    normalisation : {"raw", "normalised"}, default "raw"
        "normalised" divides the decay of W by K and that of H by N. For a regression, K = 1, that is the
        normalisation of the NRC papers.

    References
    ----------
    Tirer, Bruna, "Extended unconstrained features model for exploring deep neural collapse", ICML 2022.
    Andriopoulos et al., "The prevalence of neural collapse in neural multivariate regression", NeurIPS 2024.
    """

    weight_decay: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("weight_decay", as_positive("weight_decay", self.weight_decay))

    @property
    def decays(self) -> tuple[float, ...]:
        """Decay of W as given."""
        return (self.weight_decay,)

    def _with(self, decays: tuple[float, ...], **fields: Any) -> MSE:
        return replace(self, weight_decay=decays[0], **fields)


@dataclass(frozen=True, eq=False, kw_only=True)
class ExtendedMSE(Squared):
    """The squared loss of a chain ``W_M ... W_1 H``, or with a ReLU after every matrix but the outermost, W_M.

    Parameters
    ----------
    num_classes, num_features, samples_per_class, feature_decay, bias, targets, normalisation
        As of `MSE`; the bias is added after the outermost matrix.
    weight_decays : sequence of float
        Decays of W_M, ..., W_1, outermost first.
    widths : sequence of int, optional
        Rows of W_(M-1), ..., W_1; all `num_features` by default.
    nonlinearity : {"none", "relu"}, default "none"

    References
    ----------
    Tirer, Bruna, "Extended unconstrained features model for exploring deep neural collapse", ICML 2022.
    Dang et al., "Neural collapse in deep linear networks: from balanced to imbalanced data", ICML 2023.
    """

    weight_decays: Sequence[float]
    widths: Sequence[int] | None = None
    nonlinearity: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        given = as_tuple("weight_decays", self.weight_decays)
        decays = tuple(as_positive(f"weight_decays[{layer}]", decay) for layer, decay in enumerate(given))
        if not decays:
            raise ValueError("weight_decays is empty; wanted one decay per weight matrix, outermost first")
        widths = (self.num_features,) * (len(decays) - 1) if self.widths is None else as_tuple("widths", self.widths)
        if len(widths) != len(decays) - 1:
            raise ValueError(f"widths has {len(widths)} entries; wanted one per matrix below the outermost, "
                             f"{len(decays) - 1}")  # fmt: skip
        self._set("weight_decays", decays)
        self._set("widths", tuple(as_count(f"widths[{layer}]", width, 1) for layer, width in enumerate(widths)))
        self._set("nonlinearity", as_one_of("nonlinearity", self.nonlinearity, ("none", "relu")))

    @property
    def decays(self) -> tuple[float, ...]:
        """Decays of the weight matrices as given, outermost first."""
        return tuple(self.weight_decays)

    @property
    def weight_shapes(self) -> tuple[tuple[int, int], ...]:
        """Shapes of the weight matrices, outermost first."""
        sizes = (self.num_outputs, *(self.widths or ()), self.num_features)
        return tuple(pairwise(sizes))

    @property
    def relu(self) -> bool:
        """Whether a ReLU follows every weight matrix but the outermost."""
        return self.nonlinearity == "relu" and len(self.weight_decays) > 1

    def _with(self, decays: tuple[float, ...], **fields: Any) -> ExtendedMSE:
        return replace(self, weight_decays=decays, **fields)


@dataclass(frozen=True, eq=False, kw_only=True)
class CrossEntropy(Regularised):
    """Mean cross-entropy of ``softmax(W h + b)`` with decays of W, of the features H, and perhaps of the bias b.

    Parameters
    ----------
    num_classes, num_features, samples_per_class, weight_decay, feature_decay, bias, normalisation
        As of `MSE`; K is at least 2.
    label_smoothing : float, default 0
        eps in [0, 1): targets are ``1 - eps`` on the class plus ``eps/K`` everywhere.
    focal : float, default 0
        gamma of the focal loss ``(1 - p)^gamma (-log p)``; not together with label smoothing.
    features : {"free", "nonnegative"}, default "free"
        Whether features must not be negative, as those after a ReLU.

    References
    ----------
    Zhu et al., "A geometric analysis of neural collapse with unconstrained features", NeurIPS 2021.
    Zhou et al., "Are all losses created equal: a neural collapse perspective", NeurIPS 2022.
    """

    weight_decay: float
    label_smoothing: float = 0.0
    focal: float = 0.0
    features: str = "free"

    def __post_init__(self) -> None:
        super().__post_init__()
        as_count("num_classes", self.num_classes, 2)
        self._set("weight_decay", as_positive("weight_decay", self.weight_decay))
        self._set("label_smoothing", as_fraction("label_smoothing", self.label_smoothing))
        self._set("focal", 0.0 if self.focal == 0 else as_positive("focal", self.focal))
        self._set("features", as_one_of("features", self.features, ("free", "nonnegative")))
        if self.label_smoothing and self.focal:
            raise ValueError("label_smoothing and focal are both given; wanted one of them")

    @property
    def decays(self) -> tuple[float, ...]:
        """Decay of W as given."""
        return (self.weight_decay,)

    @property
    def nonnegative(self) -> bool:
        """Whether features must not be negative."""
        return self.features == "nonnegative"

    def _with(self, decays: tuple[float, ...], **fields: Any) -> CrossEntropy:
        return replace(self, weight_decay=decays[0], **fields)

    @cached_property
    def class_targets(self) -> Float:
        """Probabilities of the classes, one row per class."""
        return (1.0 - self.label_smoothing) * np.eye(self.num_classes) + self.label_smoothing / self.num_classes

    def _loss(self, logits: Any, targets: Float) -> tuple[Any, Any]:
        shifted = logits - logits.real.max(axis=1, keepdims=True)
        powers = np.exp(shifted)
        total = powers.sum(axis=1, keepdims=True)
        logs, shares = shifted - np.log(total), powers / total
        if self.focal == 0:
            return -(targets * logs).sum(axis=1), shares - targets
        own = (targets * shares).sum(axis=1)
        rest = ((1.0 - targets) * shares).sum(axis=1)  # 1 - own would lose its digits, as would log(own)
        sure = own.real > 0.5
        log = np.where(sure, np.log1p(-np.where(sure, rest, 0.0)), (targets * logs).sum(axis=1))
        per_rest = np.divide(log, rest, out=np.full_like(rest, -1.0), where=rest != 0)
        scale = rest**self.focal
        slopes = np.where(targets == 1, rest[:, None], -shares)
        return -scale * log, (scale * (self.focal * own * per_rest - 1.0))[:, None] * slopes

    @property
    def _curvature(self) -> float:
        if self.focal:
            raise ValueError("the focal loss has no smoothness bound here; wanted focal=0")
        return 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class SphereCrossEntropy(Problem):
    """Mean cross-entropy of ``softmax(t cos(w_j, h))``: weight vectors and features count by direction alone.

    Parameters
    ----------
    num_classes, num_features, samples_per_class
        As of `MSE`; K is at least 2.
    temperature : float, default 1
        t, the factor on the cosines, positive.

    References
    ----------
    Yaras et al., "Neural collapse with normalized features: a geometric analysis over the Riemannian manifold",
    NeurIPS 2022.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        as_count("num_classes", self.num_classes, 2)
        self._set("temperature", as_positive("temperature", self.temperature))

    def evaluate(self, state: State, *, collapsed: bool = False) -> tuple[float, State]:
        """Value and gradient together, unchecked; see `Problem.evaluate`."""
        labels = np.arange(self.num_classes) if collapsed else self.labels
        shares = self.counts / self.num_samples if collapsed else np.full(labels.size, 1.0 / labels.size)
        unit = self.canonical(state)
        (weight,), features = unit.weights, unit.features
        levels = _chain.forward((self.temperature * weight,), features)
        shifted = levels[-1] - levels[-1].real.max(axis=1, keepdims=True)
        powers = np.exp(shifted)
        total = powers.sum(axis=1, keepdims=True)
        own = (np.arange(labels.size), labels)
        value = shares @ (np.log(total[:, 0]) - shifted[own])
        slopes = powers / total
        slopes[own] -= 1.0
        (by_weight,), by_features = _chain.backward((self.temperature * weight,), levels, shares[:, None] * slopes)
        return value, State(
            (_tangent(self.temperature * by_weight, weight) / _lengths(state.weights[0]),),
            _tangent(by_features, features) / _lengths(state.features),
        )

    def checked(self, state: State) -> State:
        """Return the state as float64; see `Problem.checked`. Rows of zeros have no direction and raise."""
        state = super().checked(state)
        for name, rows in (("weights[0]", state.weights[0]), ("features", state.features)):
            if not rows.any(axis=1).all():
                raise ValueError(f"{name} has a row of zeros; wanted rows with a direction")
        return state

    def canonical(self, state: State) -> State:
        """Return the state with rows of length 1."""
        (weight,), features = state.weights, state.features
        return State((weight / _lengths(weight),), features / _lengths(features))


def _lengths(rows: Any) -> Any:
    return np.sqrt((rows * rows).sum(axis=1, keepdims=True))


def _tangent(gradient: Any, unit: Any) -> Any:
    """Remove from each row its part along a unit vector."""
    return gradient - (gradient * unit).sum(axis=1, keepdims=True) * unit
