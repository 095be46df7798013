"""Closed forms against optimisation: 40 random settings for each model, on both sides of every threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import reference_ufm as ref
from ncfast import ufm

SETTINGS = 40
Random = np.random.Generator


def sizes(rng: Random, spare: int = 0) -> dict[str, Any]:
    """K, d and n, d being at least K - 1 + spare."""
    k = int(rng.integers(2, 7))
    return {
        "num_classes": k,
        "num_features": k - 1 + spare + int(rng.integers(0, 6)),
        "samples_per_class": int(rng.integers(1, 60)),
    }


def decays(rng: Random, count: int) -> Any:
    return np.exp(rng.uniform(-8.0, 0.0, count))


def strength(rng: Random, threshold: float = 1.0, below: float = 0.8) -> float:
    """Of the decay: three in four below the threshold, the others above; closer, descents end in spurious minima."""
    return threshold * float(rng.uniform(0.02, below) if rng.random() < 0.75 else rng.uniform(1.05, 2.0))


def kappa_of(size: dict[str, Any], values: Any) -> float:
    """``K (n prod lambda)^(1/L)``."""
    return float(size["num_classes"] * (size["samples_per_class"] * np.prod(values)) ** (1.0 / len(values)))


def mse(rng: Random, bias: Any = "none", spare: int = 1) -> ufm.MSE:
    size, values = sizes(rng, spare), decays(rng, 2)
    values = values * strength(rng) / kappa_of(size, values)
    return ufm.MSE(**size, weight_decay=values[0], feature_decay=values[1], bias=bias)


def decayed_bias(rng: Random) -> ufm.MSE:
    """On both sides of lb = c/(1-c), and of c = 1."""
    return mse(rng, bias=float(np.exp(rng.uniform(-5.0, 2.0))))


def clear(problem: ufm.ExtendedMSE) -> bool:
    """Whether no direction is where descents mostly end in spurious minima."""
    found = ufm.thresholds(problem)
    return len(problem.decays) == 1 or not np.any(
        (found.kappa > 0.8 * found.zero) & (found.kappa < 1.05 * found.spinodal)
    )


def chain(rng: Random, layers: int, bias: Any = "none", nonlinearity: str = "none") -> ufm.ExtendedMSE:
    size, values = sizes(rng, 1), decays(rng, layers) ** 0.5
    threshold = {3: 2 ** (-4 / 3), 4: 0.272165527}[layers]
    values = values * strength(rng, threshold, 2 / layers) / kappa_of(size, values)
    problem = ufm.ExtendedMSE(
        **size, weight_decays=values[:-1], feature_decay=values[-1], bias=bias, nonlinearity=nonlinearity
    )
    return problem if isinstance(bias, str) or clear(problem) else chain(rng, layers, bias)


def unequal(rng: Random, layers: int, bias: Any = "none") -> ufm.ExtendedMSE:
    """Some classes may be learned and others not."""
    size = sizes(rng, 1)
    size["samples_per_class"] = rng.integers(1, 40, size["num_classes"])
    values = decays(rng, layers) ** 0.5
    kappa = size["samples_per_class"].sum() * np.prod(values) ** (1.0 / layers) / np.sqrt(10.0)
    values = values * strength(rng, 0.7) / kappa
    problem = ufm.ExtendedMSE(**size, weight_decays=values[:-1], feature_decay=values[-1], bias=bias)
    return problem if clear(problem) else unequal(rng, layers, bias)


def codes(rng: Random) -> ufm.MSE:
    problem = unequal(rng, 2, "none" if rng.random() < 0.5 else "free")
    m = int(rng.integers(1, problem.num_features + 1))
    targets = rng.normal(size=(problem.num_classes, m))
    return ufm.MSE(
        num_classes=problem.num_classes, num_features=problem.num_features, samples_per_class=problem.samples_per_class,
        weight_decay=problem.decays[0], feature_decay=problem.feature_decay, bias=problem.bias, targets=targets,
    )  # fmt: skip


def regression(rng: Random) -> ufm.MSE:
    n, m = int(rng.integers(3, 25)), int(rng.integers(1, 4))
    return ufm.MSE(
        num_classes=1, num_features=m + 2, samples_per_class=n,
        targets=rng.normal(size=(n, m)) @ rng.normal(size=(m, m)),
        weight_decay=float(np.exp(rng.uniform(-5, 1))), feature_decay=float(np.exp(rng.uniform(-5, 1))),
        bias="none" if rng.random() < 0.3 else "free", normalisation="normalised",
    )  # fmt: skip


def entropy(rng: Random, threshold: float = 1.0, **fields: Any) -> ufm.CrossEntropy:
    size = sizes(rng, 1 if "features" in fields else 0)
    below = 0.8
    if "features" in fields:
        threshold, below = float(np.sqrt(1.0 - 1.0 / size["num_classes"])), 0.6
    values = decays(rng, 2)
    values = values * strength(rng, threshold, below) / kappa_of(size, values)
    bias = ["none", 0.03, "free"][int(rng.integers(2 if size["num_classes"] == 2 else 3))]
    return ufm.CrossEntropy(**size, weight_decay=values[0], feature_decay=values[1], bias=bias, **fields)


def smoothed(rng: Random) -> ufm.CrossEntropy:
    eps = float(rng.uniform(0.01, 0.6))
    return entropy(rng, 1.0 - eps, label_smoothing=eps)


def focal(rng: Random) -> ufm.CrossEntropy:
    return entropy(rng, focal=float(rng.uniform(0.5, 4.0)))


def nonnegative(rng: Random) -> ufm.CrossEntropy:
    return entropy(rng, features="nonnegative")


def sphere(rng: Random) -> ufm.SphereCrossEntropy:
    return ufm.SphereCrossEntropy(**sizes(rng), temperature=float(np.exp(rng.uniform(-1.0, 1.5))))


MODELS: dict[str, tuple[Callable[[Random], ufm.Problem], int]] = {  # and how many starts
    "mse": (mse, 1),
    "mse, free bias": (lambda rng: mse(rng, "free", spare=0), 1),
    "mse, decayed bias": (decayed_bias, 1),
    "chain of 3": (lambda rng: chain(rng, 3), 8),
    "chain of 3, free bias": (lambda rng: chain(rng, 3, "free"), 8),
    "chain of 3, decayed bias": (lambda rng: chain(rng, 3, 0.2), 8),
    "chain of 4": (lambda rng: chain(rng, 4), 8),
    "unequal counts": (lambda rng: unequal(rng, 2), 1),
    "unequal counts, free bias": (lambda rng: unequal(rng, 2, "free"), 1),
    "unequal counts, chain of 3": (lambda rng: unequal(rng, 3), 8),
    "codes": (codes, 1),
    "regression": (regression, 1),
    "cross-entropy": (entropy, 1),
    "smoothed": (smoothed, 1),
    "focal": (focal, 1),
    "nonnegative": (nonnegative, 8),
    "sphere": (sphere, 1),
}


def least(problem: ufm.Problem, value: float, starts: int, seed: int) -> ufm.Minima:
    """Descend from random starts, until one gets there; at last, as zero is a minimum of every chain, from near it."""
    for start in range(starts + 1):
        scale = 1.0 if start < starts else 0.01
        found = ufm.minimise(problem, seed=1000 * seed + start, scale=scale, max_iterations=4000)
        assert found.value > value - 1e-12, f"below the closed form: {problem}"
        if found.value < value + 1e-10:
            break
    return found


@pytest.mark.parametrize("name", MODELS)
def test_minimiser_is_what_optimisation_finds(name: str) -> None:
    make, starts = MODELS[name]
    rng = np.random.default_rng(sum(map(ord, name)))
    learned = partly = 0
    for setting in range(SETTINGS):
        problem = make(rng)
        best = ufm.minimizer(problem, seed=setting)
        found = least(problem, best.value, starts, setting)
        where = f"setting {setting}: {problem}, gradients {found.gradient_norms}, values {found.values - best.value}"
        assert abs(found.value - best.value) <= 1e-10, where
        state = best.state()
        assert problem.objective(state) == pytest.approx(best.value, abs=1e-13), where
        for exact, seen in zip(
            ref.grams(state.weights[0], outer_features(state), problem.labels),
            ref.grams(found.state.weights[0], outer_features(found.state), problem.labels),
            strict=True,
        ):
            unit = max(float(np.abs(exact).max()), 1.0)
            np.testing.assert_allclose(seen, exact, rtol=0, atol=1e-6 * unit, err_msg=where)
        if best.bias is not None and problem_bias(problem) != "free":
            assert found.state.bias == pytest.approx(best.bias, abs=1e-6), where
        learned += bool(best.weights[0].any())
        partly += bool((best.singular_values[0] > 0).all())
    assert learned > SETTINGS // 2
    assert min(learned, partly) < SETTINGS or name == "sphere"


def outer_features(state: ufm.State) -> Any:
    features = state.features
    for weight in state.weights[:0:-1]:
        features = features @ weight.T
    return features


def problem_bias(problem: ufm.Problem) -> Any:
    return getattr(problem, "bias", None)
