"""Unconstrained-features problems refuse what they cannot mean, and stay finite at the ends of what they can."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ncfast import ufm

SIZES: dict[str, Any] = {"num_classes": 3, "num_features": 4, "feature_decay": 0.03}
MSE: dict[str, Any] = {"samples_per_class": 2, "weight_decay": 0.1, **SIZES}
CHAIN: dict[str, Any] = {"samples_per_class": 2, "weight_decays": (0.1, 0.1), **SIZES}


@pytest.mark.parametrize("value", [0.0, -1e-3, np.nan, np.inf])
@pytest.mark.parametrize("name", ["weight_decay", "feature_decay", "bias"])
def test_decays_must_be_positive(name: str, value: float) -> None:
    for kind in (ufm.MSE, ufm.CrossEntropy):
        with pytest.raises(ValueError, match=f"{name} is .*wanted a positive finite number"):
            kind(**{**MSE, name: value})
    with pytest.raises(ValueError, match=r"weight_decays\[1\] is .*wanted a positive finite number"):
        ufm.ExtendedMSE(**{**CHAIN, "weight_decays": (0.1, value)})


@pytest.mark.parametrize(
    ("kind", "fields", "error", "message"),
    [
        (ufm.MSE, {"weight_decay": "much"}, TypeError, "weight_decay is 'much'; wanted a positive number"),
        (ufm.MSE, {"num_classes": 1}, ValueError, "num_classes is 1; wanted at least 2, or targets"),
        (ufm.MSE, {"num_features": 0}, ValueError, "num_features is 0; wanted at least 1"),
        (ufm.MSE, {"num_features": 2.5}, TypeError, "num_features is 2.5; wanted an integer"),
        (ufm.MSE, {"samples_per_class": (1, 2)}, ValueError, "samples_per_class has 2 entries; wanted one per"),
        (ufm.MSE, {"samples_per_class": (1, 0, 2)}, ValueError, "samples_per_class is 0; wanted at least 1"),
        (ufm.MSE, {"bias": "yes"}, ValueError, "bias is 'yes'; wanted 'none', 'free' or a positive decay"),
        (ufm.MSE, {"bias": True}, ValueError, "bias is True; wanted 'none', 'free' or a positive decay"),
        (ufm.MSE, {"normalisation": "B"}, ValueError, "normalisation is 'B'; wanted one of 'raw', 'normalised'"),
        (ufm.MSE, {"targets": np.ones((4, 2))}, ValueError, r"targets has shape \(4, 2\); wanted \(K, m\)"),
        (ufm.MSE, {"targets": np.full((3, 2), np.nan)}, ValueError, "targets has a non-finite value"),
        (ufm.MSE, {"targets": np.full((3, 2), "a")}, TypeError, "targets has dtype"),
        (ufm.ExtendedMSE, {"weight_decays": ()}, ValueError, "weight_decays is empty"),
        (ufm.ExtendedMSE, {"weight_decays": 0.1}, TypeError, "weight_decays is 0.1; wanted a sequence"),
        (ufm.ExtendedMSE, {"widths": (3, 3)}, ValueError, "widths has 2 entries; wanted one per matrix below"),
        (ufm.ExtendedMSE, {"widths": (0,)}, ValueError, r"widths\[0\] is 0; wanted at least 1"),
        (ufm.ExtendedMSE, {"nonlinearity": "tanh"}, ValueError, "nonlinearity is 'tanh'; wanted one of 'none', 'relu'"),
        (ufm.CrossEntropy, {"label_smoothing": 1.0}, ValueError, r"label_smoothing is 1\.0; wanted at least 0 and"),
        (ufm.CrossEntropy, {"focal": -1.0}, ValueError, "focal is -1.0; wanted a positive"),
        (ufm.CrossEntropy, {"focal": 1.0, "label_smoothing": 0.1}, ValueError, "label_smoothing and focal are both"),
        (ufm.CrossEntropy, {"num_classes": 1}, ValueError, "num_classes is 1; wanted at least 2"),
        (ufm.CrossEntropy, {"features": "relu"}, ValueError, "features is 'relu'; wanted one of 'free', 'nonnegative'"),
    ],
)  # fmt: skip
def test_bad_problems(kind: Any, fields: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        kind(**{**(CHAIN if kind is ufm.ExtendedMSE else MSE), **fields})


def test_bad_temperature() -> None:
    with pytest.raises(ValueError, match=r"temperature is -1\.0; wanted a positive"):
        ufm.SphereCrossEntropy(num_classes=3, num_features=4, samples_per_class=2, temperature=-1.0)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 3.0])
def test_focal_is_finite_and_right_when_all_but_certain(gamma: float) -> None:
    """Logits far apart: the loss is about rest^(gamma+1), and its slope -(gamma+1) of that."""
    problem = ufm.CrossEntropy(num_classes=2, num_features=2, samples_per_class=1, weight_decay=1e-300,
                               feature_decay=1e-300, focal=gamma)  # fmt: skip
    for gap in (30.0, 60.0, 200.0, 2000.0):
        state = ufm.State((np.eye(2),), gap * np.eye(2))
        wanted = np.exp(-(gamma + 1) * gap)
        assert problem.objective(state) == pytest.approx(wanted, rel=1e-11, abs=1e-290)
        slopes = problem.gradient(state).features
        assert slopes[0] == pytest.approx([-(gamma + 1) / 2 * wanted, (gamma + 1) / 2 * wanted], rel=1e-11, abs=1e-290)


def test_sphere_needs_directions() -> None:
    problem = ufm.SphereCrossEntropy(num_classes=3, num_features=4, samples_per_class=2)
    state = problem.initial_state()
    with pytest.raises(ValueError, match="features has a row of zeros"):
        problem.objective(ufm.State(state.weights, state.features * (np.arange(6) != 2)[:, None]))


def test_bad_states() -> None:
    problem = ufm.MSE(bias="free", **MSE)
    good = problem.initial_state()
    w, h, b = good.weights, good.features, good.bias
    bad: list[tuple[ufm.State, type[Exception], str]] = [
        (ufm.State((*w, *w), h, b), ValueError, "weights holds 2 matrices; wanted 1"),
        (ufm.State((w[0].T,), h, b), ValueError, r"weights\[0\] has shape \(4, 3\); wanted \(3, 4\)"),
        (ufm.State(w, h[1:], b), ValueError, r"features has shape \(5, 4\); wanted \(6, 4\), one row per sample"),
        (ufm.State(w, h, None), ValueError, "bias is None; the problem has a bias"),
        (ufm.State(w, h, np.zeros(4)), ValueError, r"bias has shape \(4,\); wanted \(3,\)"),
        (ufm.State(w, np.where(h > 1, np.nan, h), b), ValueError, "features has a non-finite value"),
        (ufm.State(w, h.astype(complex), b), TypeError, "features has dtype complex128"),
    ]
    for state, error, message in bad:
        for call in (problem.objective, problem.gradient, problem.smoothness):
            with pytest.raises(error, match=message):
                call(state)
    with pytest.raises(ValueError, match="bias is given; the problem has no bias"):
        ufm.MSE(**MSE).objective(good)
    with pytest.raises(ValueError, match=r"scale is 0\.0; wanted a positive"):
        problem.initial_state(scale=0.0)


def test_float32_states_are_taken_as_float64() -> None:
    problem = ufm.MSE(**MSE)
    state = problem.initial_state()
    single = ufm.State((state.weights[0].astype(np.float32),), state.features.astype(np.float32))
    assert problem.gradient(single).features.dtype == np.float64
    assert problem.objective(single) == pytest.approx(problem.objective(state), rel=1e-6)
