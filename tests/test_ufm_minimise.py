"""Numerical minimisation: what it reaches, spurious minima, the ReLU models, bad input."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import reference_ufm as ref
from ncfast import ufm

PAPER: dict[str, Any] = {"num_classes": 4, "num_features": 20, "samples_per_class": 50, "feature_decay": 5e-3}
PROBLEMS: dict[str, ufm.Problem] = {
    "mse": ufm.MSE(**PAPER, weight_decay=5e-3),
    "mse, free bias": ufm.MSE(**PAPER, weight_decay=5e-3, bias="free"),
    "mse, decayed bias": ufm.MSE(**PAPER, weight_decay=5e-3, bias=0.2),
    "chain": ufm.ExtendedMSE(**PAPER, weight_decays=(5e-3, 5e-3)),
    "chain, free bias": ufm.ExtendedMSE(**PAPER, weight_decays=(5e-3, 5e-3), bias="free"),
    "cross-entropy": ufm.CrossEntropy(**PAPER, weight_decay=5e-3),
    "focal": ufm.CrossEntropy(**PAPER, weight_decay=5e-3, focal=1.0),
    "sphere": ufm.SphereCrossEntropy(num_classes=4, num_features=20, samples_per_class=50),
}


def norm(state: ufm.State) -> float:
    parts = [*state.weights, state.features, *([] if state.bias is None else [state.bias])]
    return float(np.sqrt(sum((part**2).sum() for part in parts)))


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("method", ["L-BFGS-B", "Newton-CG"])
def test_gradients_reach_rounding(name: str, method: str) -> None:
    """And the state, value and gradient that are reported belong together, in all samples."""
    problem = PROBLEMS[name]
    found = ufm.minimise(problem, starts=2, method=method)
    assert found.converged.all()
    for value, gradient_norm, state in zip(found.values, found.gradient_norms, found.states, strict=True):
        assert state.features.shape == (200, 20)
        assert norm(problem.gradient(state)) <= 1e-12
        assert gradient_norm <= 1e-12
        assert problem.objective(state) == pytest.approx(value, abs=1e-15)
    assert found.value == pytest.approx(ufm.minimizer(problem).value, abs=1e-14)
    assert (found.value, found.gradient_norm) == (found.values[0], found.gradient_norms[0])


@pytest.mark.parametrize("name", ["mse", "chain", "cross-entropy"])
def test_all_samples_collapse_by_themselves(name: str) -> None:
    problem = PROBLEMS[name]
    found = ufm.minimise(problem, collapsed=False)
    features = found.state.features
    means = np.repeat([features[problem.labels == k].mean(axis=0) for k in range(4)], 50, axis=0)
    assert np.abs(features - means).max() < 1e-11
    assert found.value == pytest.approx(ufm.minimizer(problem).value, abs=1e-14)
    assert found.gradient_norm < 1e-12


def test_starts_expose_spurious_minima() -> None:
    """Between threshold and spinodal some directions stay learned, each at its price."""
    decay = 0.42 / 4 / 2 ** (1 / 3)
    problem = ufm.ExtendedMSE(num_classes=4, num_features=6, samples_per_class=2, weight_decays=(decay, decay),
                              feature_decay=decay)  # fmt: skip
    seen: list[tuple[int, int]] = []
    found = ufm.minimise(problem, starts=12, seed=3, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(done, 12) for done in range(1, 13)]
    assert (np.diff(found.values) >= 0).all()
    assert sorted(found.seeds) == list(range(3, 15))
    assert found.converged.all()
    x = float(np.roots([-1, 0, 0, 1, -0.42])[np.argmax(np.roots([-1, 0, 0, 1, -0.42]).real)].real) ** 3
    price = ((1 - x) * (1 + 2 * x) - 1) / 8  # of one direction at the spurious minimum
    learned = (found.values - 0.5) / price
    np.testing.assert_allclose(learned, np.round(learned), atol=1e-9)
    assert len(set(np.round(learned))) > 1
    assert np.round(learned).max() > 0
    again = ufm.minimise(problem, seed=found.seeds[0])
    np.testing.assert_array_equal(again.state.features, found.state.features)


def test_given_starts() -> None:
    """From the minimum at weak decay a descent stays in what is learned, up to the spinodal."""
    for kappa, learned in ((0.46, True), (0.48, False)):
        decay = kappa / 4 / 2 ** (1 / 3)
        problem, weak = (
            ufm.ExtendedMSE(num_classes=4, num_features=6, samples_per_class=2, weight_decays=(x, x), feature_decay=x)
            for x in (decay, decay / 2)
        )
        found = ufm.minimise(problem, starts=[ufm.minimizer(weak).state(), problem.initial_state(scale=0.01)])
        assert sorted(found.seeds) == [0, 1]
        assert found.value == pytest.approx(0.5, abs=1e-12)
        assert bool(np.abs(found.states[1].weights[0]).max() > 0.1) == learned
    with pytest.raises(ValueError, match="features has shape"):
        ufm.minimise(problem, starts=[ufm.State(found.state.weights, found.state.features[1:])])
    with pytest.raises(ValueError, match="starts is 0; wanted at least 1"):
        ufm.minimise(problem, starts=[])


@pytest.mark.parametrize("collapsed", [True, False])
def test_given_starts_that_are_minima_stay(collapsed: bool) -> None:
    problem = ufm.MSE(**{**PAPER, "samples_per_class": (5, 1, 3, 8)}, weight_decay=5e-3, bias="free")
    state = ufm.minimizer(problem).state()
    found = ufm.minimise(problem, starts=[state], collapsed=collapsed)
    np.testing.assert_allclose(found.state.features, state.features, atol=1e-12)
    np.testing.assert_allclose(found.ends[0].features, state.features[[0, 5, 6, 9]] if collapsed else state.features,
                               atol=1e-12)  # fmt: skip


def relu(classes: int, features: int, samples: int, decays: tuple[float, ...]) -> ufm.ExtendedMSE:
    return ufm.ExtendedMSE(num_classes=classes, num_features=features, samples_per_class=samples,
                           weight_decays=decays[:-1], feature_decay=decays[-1], nonlinearity="relu")  # fmt: skip


def reach(problem: ufm.Problem, value: float, tolerance: float, starts: int, **arguments: Any) -> ufm.Minima:
    """Descend from one start after the other until one comes to the value; none may come below."""
    for seed in range(starts):
        found = ufm.minimise(problem, seed=seed, max_iterations=3000, **arguments)
        assert found.value > value - 1e-12
        if found.value < value + tolerance:
            break
    assert found.value == pytest.approx(value, abs=tolerance), problem
    return found


def hidden(state: ufm.State) -> Any:
    return np.maximum(state.features @ state.weights[1].T, 0)


def test_relu_reaches_the_linear_optimum_and_never_below() -> None:
    """40 random settings; the frames of W2 and H2 are orthogonal at the optimum, those below the ReLU need not be."""
    rng = np.random.default_rng(8)
    learned = 0
    apart = []
    for setting in range(40):
        k = int(rng.integers(2, 5))
        n, d = int(rng.integers(1, 40)), k + int(rng.integers(1, 8))
        values = np.exp(rng.uniform(-1, 1, 3))
        kappa = 2 ** (-4 / 3) * (rng.uniform(0.1, 0.75) if setting % 4 else rng.uniform(1.1, 1.5))
        problem = relu(k, d, n, tuple(values * kappa / (k * (n * values.prod()) ** (1 / 3))))
        best = ufm.minimizer(problem, seed=setting)
        assert problem.objective(best.state()) == pytest.approx(best.value, abs=1e-14)
        found = reach(problem, best.value, 1e-10, starts=20, scale=1.0 if setting % 4 else 0.3)
        if best.weights[0].any():
            learned += 1
            for seen, exact in zip(
                ref.grams(found.state.weights[0], hidden(found.state), problem.labels), best.grams[0], strict=True
            ):
                assert ref.relative_gram_error(seen, exact) < 2e-4
            below = found.state.features @ found.state.weights[1].T
            apart.append(ref.relative_gram_error(ref.grams(below, below, problem.labels)[1], np.eye(k)))
    assert learned == 30
    assert max(apart) > 0.05


@pytest.mark.parametrize(
    ("classes", "features", "gap", "error"),
    [(3, 8, 1e-15, 1e-6), (4, 8, 1e-15, 1e-6), (6, 6, 1e-15, 1e-6), (4, 20, 1e-10, 1e-3)],  # the last ends at kinks
)
def test_relu_frames(classes: int, features: int, gap: float, error: float) -> None:
    problem = relu(classes, features, 7, (4e-3, 2e-3, 4e-3))
    best = ufm.minimizer(problem)
    found = reach(problem, best.value, gap, starts=30)
    for seen, exact in zip(
        ref.grams(found.state.weights[0], hidden(found.state), problem.labels), best.grams[0], strict=True
    ):
        np.testing.assert_allclose(seen, exact, atol=error * exact.max())


def test_relu_stops_at_dead_classes() -> None:
    """Some starts end in minima where a class is not learned."""
    found = ufm.minimise(relu(6, 6, 7, (4e-3, 2e-3, 4e-3)), starts=16)
    worse = found.values > found.value + 1e-3
    assert worse.any()
    assert (found.gradient_norms[worse] < 1e-8).any()


def test_relu_with_a_free_bias_is_below_the_orthogonal_frame() -> None:
    problem = ufm.ExtendedMSE(**{**PAPER, "samples_per_class": 10}, weight_decays=(5e-3, 5e-3), nonlinearity="relu",
                              bias="free")  # fmt: skip
    found = ufm.minimise(problem, starts=3)
    assert found.value == pytest.approx(0.056896, abs=5e-7)
    means = np.array([hidden(found.state)[problem.labels == k].mean(axis=0) for k in range(4)])
    assert np.linalg.norm(means, axis=1).min() < 1e-5  # one class lives in the bias
    frame = relu(4, 20, 10, (5e-3,) * 3)
    assert ufm.minimizer(frame).value == pytest.approx(0.063691, abs=5e-7)


def test_deep_relu_with_many_classes_goes_below_the_orthogonal_frame() -> None:
    problem = relu(10, 30, 1, (4e-3,) * 5)
    linear = ufm.minimizer(ufm.ExtendedMSE(num_classes=10, num_features=30, samples_per_class=1,
                                           weight_decays=(4e-3,) * 4, feature_decay=4e-3))  # fmt: skip
    assert linear.value == pytest.approx(0.099180, abs=5e-7)
    assert ufm.minimise(problem, max_iterations=500).value < linear.value - 5e-4


@pytest.mark.parametrize("weights", [2, 3, 4])
def test_deep_relu_with_two_classes(weights: int) -> None:
    problem = relu(2, 12, 3, (1e-2,) * (weights + 1))
    best = ufm.minimizer(problem)
    assert problem.objective(best.state()) == pytest.approx(best.value, abs=1e-14)
    reach(problem, best.value, 1e-10, starts=20)


def test_nonnegative_features_stay_so() -> None:
    problem = ufm.CrossEntropy(num_classes=3, num_features=5, samples_per_class=(4, 3, 2), weight_decay=5e-3,
                               feature_decay=5e-3, features="nonnegative")  # fmt: skip
    found = ufm.minimise(problem, starts=3)
    assert found.state.features.min() == 0.0
    assert found.converged.all()
    gradient = problem.gradient(found.state).features
    assert np.abs(gradient[found.state.features > 0]).max() < 1e-12
    assert gradient[found.state.features == 0].min() > 0
    means = found.state.features[[0, 4, 7]]
    grams = means @ means.T
    assert np.abs(grams - np.diag(np.diagonal(grams))).max() < 1e-10  # orthogonal, and longer for rarer classes
    assert (np.diff(np.diagonal(grams)) > 0).all()
    with pytest.raises(ValueError, match="nonnegative features need 'L-BFGS-B'"):
        ufm.minimise(problem, method="Newton-CG")


def test_regression_has_no_collapsed_form() -> None:
    problem = ufm.MSE(num_classes=1, num_features=3, samples_per_class=5, weight_decay=0.1, feature_decay=0.1,
                      targets=np.random.default_rng(0).normal(size=(5, 2)))  # fmt: skip
    assert ufm.minimise(problem).value == pytest.approx(ufm.minimizer(problem).value, abs=1e-14)
    with pytest.raises(ValueError, match="collapsed is True, but samples of a class have different targets"):
        ufm.minimise(problem, collapsed=True)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"starts": 0}, ValueError, "starts is 0; wanted at least 1"),
        ({"seed": -1}, ValueError, "seed is -1; wanted at least 0"),
        ({"method": "BFGS"}, ValueError, "method is 'BFGS'; wanted one of 'L-BFGS-B', 'Newton-CG'"),
        ({"tolerance": 0.0}, ValueError, "tolerance is .*wanted a positive finite number"),
        ({"scale": np.inf}, ValueError, "scale is inf; wanted a positive finite number"),
        ({"max_iterations": 1.5}, TypeError, "max_iterations is .*wanted an integer"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ufm.minimise(PROBLEMS["mse"], **arguments)


def test_missing_scipy_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r'pip install "ncfast\[ufm\]"'):
        ufm.minimise(PROBLEMS["mse"])


def test_what_was_not_reached_is_said() -> None:
    found = ufm.minimise(PROBLEMS["chain"], max_iterations=3, tolerance=1e-300)
    assert not found.converged.any()
    assert found.tolerance == 1e-300
