"""Descents against a plain simulation, sample by sample, and the reduced dynamics against the full one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import threadpoolctl

import ncfast
import reference_ufm_dynamics as plain
from ncfast import ufm

ITERATIONS, EVERY = 300, 50
SIZES: dict[str, Any] = {"num_classes": 4, "num_features": 9, "samples_per_class": 13, "feature_decay": 5e-3}
UNEVEN: dict[str, Any] = {**SIZES, "samples_per_class": (20, 3, 1, 11)}
DEEP: dict[str, Any] = {**SIZES, "weight_decays": (4e-3, 6e-3, 5e-3), "widths": (7, 11)}
LARGE_RELU: dict[str, Any] = {"feature_decay": 1e-3, "weight_decays": (1e-3, 1e-3), "nonlinearity": "relu"}
ENCODING = np.random.default_rng(1).standard_normal((4, 3))

SQUARED: dict[str, ufm.Problem] = {
    "bias-free": ufm.MSE(**SIZES, weight_decay=4e-3),
    "free bias": ufm.MSE(**SIZES, weight_decay=4e-3, bias="free"),
    "decayed bias": ufm.MSE(**SIZES, weight_decay=4e-3, bias=0.02),
    "normalised": ufm.MSE(**SIZES, weight_decay=0.2, bias="free", normalisation="normalised"),
    "imbalanced": ufm.MSE(**UNEVEN, weight_decay=4e-3, bias="free"),
    "more classes than features": ufm.MSE(**{**SIZES, "num_classes": 11, "num_features": 5}, weight_decay=1e-3),
    "one sample a class": ufm.MSE(**{**SIZES, "samples_per_class": 1}, weight_decay=4e-3),
    "encoded targets": ufm.MSE(**SIZES, weight_decay=4e-3, bias="free", targets=ENCODING),
    "two layers": ufm.ExtendedMSE(**SIZES, weight_decays=(4e-3, 6e-3)),
    "three layers": ufm.ExtendedMSE(**DEEP, bias="free"),
    "three layers, imbalanced": ufm.ExtendedMSE(**{**DEEP, **UNEVEN}),
    "large": ufm.ExtendedMSE(
        num_classes=40, num_features=170, samples_per_class=6, feature_decay=1e-3, weight_decays=(1e-3, 1e-3), bias=0.1
    ),
}
OTHERS: dict[str, ufm.Problem] = {
    "relu": ufm.ExtendedMSE(**SIZES, weight_decays=(4e-3, 6e-3), nonlinearity="relu"),
    "deep relu, biased": ufm.ExtendedMSE(**{**DEEP, **UNEVEN}, bias="free", nonlinearity="relu"),
    "large relu": ufm.ExtendedMSE(num_classes=6, num_features=70, samples_per_class=40, **LARGE_RELU),
    "large relu, few outputs": ufm.ExtendedMSE(num_classes=10, num_features=76, samples_per_class=12, **LARGE_RELU),
    "cross-entropy": ufm.CrossEntropy(**SIZES, weight_decay=4e-3),
    "cross-entropy, biased": ufm.CrossEntropy(**UNEVEN, weight_decay=4e-3, bias=0.01),
    "label smoothing": ufm.CrossEntropy(**SIZES, weight_decay=4e-3, label_smoothing=0.1),
    "focal": ufm.CrossEntropy(**SIZES, weight_decay=4e-3, focal=2.0),
    "mildly focal": ufm.CrossEntropy(**SIZES, weight_decay=4e-3, focal=0.5, bias="free"),
    "nonnegative": ufm.CrossEntropy(**SIZES, weight_decay=4e-3, features="nonnegative"),
    "regression": ufm.MSE(
        num_classes=1,
        num_features=5,
        samples_per_class=30,
        weight_decay=0.01,
        feature_decay=0.01,
        bias="free",
        targets=np.random.default_rng(2).standard_normal((30, 2)),
    ),
}
RULES: dict[str, dict[str, Any]] = {
    "gradient descent": {"step": 0.05},
    "heavy ball": {"step": 0.02, "momentum": 0.8},
    "nesterov": {"step": 0.02, "momentum": 0.8, "nesterov": True},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Spare small products the company of idle threads."""
    ncfast.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        yield
    ncfast.set_num_threads(None)


def start_of(name: str) -> tuple[Any, ufm.State, int]:
    """A problem, a state that no rule above diverges from, and how many iterations to make."""
    problem, large = {**SQUARED, **OTHERS}[name], name.startswith("large")
    return problem, problem.initial_state(3, scale=0.2 if large else 0.7), 2 * EVERY if large else ITERATIONS


def plain_model(problem: Any) -> plain.Model:
    by_weights, by_features, by_bias = problem.penalties
    cross_entropy = isinstance(problem, ufm.CrossEntropy)
    return plain.Model(
        counts=tuple(problem.counts),
        decays=tuple(reversed(by_weights)),
        feature_decay=by_features,
        bias_decay=by_bias,
        relu=problem.relu,
        loss="cross-entropy" if cross_entropy else "square",
        smoothing=problem.label_smoothing if cross_entropy else 0.0,
        focal=problem.focal if cross_entropy else 0.0,
        nonnegative=problem.nonnegative,
        class_targets=None if cross_entropy or problem.collapsible is False else problem.class_targets,
    )


def plain_start(state: ufm.State) -> plain.Variables:
    bias = None if state.bias is None else state.bias.copy()
    return plain.Variables([w.copy() for w in reversed(state.weights)], state.features.T.copy(), bias)


def simulate(
    problem: Any, state: ufm.State, *, step: float, momentum: float = 0.0, nesterov: bool = False, adam: bool = False,
    rows: Callable[[int], Any] = lambda _: None, iterations: int = ITERATIONS,
) -> tuple[list[float], list[list[dict[str, float]]], plain.Variables]:  # fmt: skip
    """Losses and metrics at the records, and the last state, of the plain simulation."""
    model, x = plain_model(problem), plain_start(state)
    if not problem.collapsible:
        model.targets = lambda: np.asarray(problem.class_targets).T  # type: ignore[method-assign]
    losses, metrics = [], []
    for t in range(iterations + 1):
        if t % EVERY == 0:
            losses.append(plain.loss_and_gradient(model, x)[0])
            metrics.append(plain.metrics(model, x) if problem.num_classes > 1 else [])
        if t < iterations:
            plain.step(model, x, step, momentum=momentum, nesterov=nesterov, adam=(t + 1) * adam, rows=rows(t))
    return losses, metrics, x


def prefixes(problem: ufm.Problem) -> list[str]:
    deeper = range(2, len(problem.weight_shapes) + 1)
    return ["", *(p for level in deeper for p in ([f"pre{level}/"] if problem.relu else []) + [f"h{level}/"])]


def assert_same(run: ufm.Trajectory, losses: list[float], metrics: list[list[dict[str, float]]]) -> None:
    np.testing.assert_allclose(run.loss, losses, rtol=1e-12)
    names = set()
    for record, levels in enumerate(metrics):
        for prefix, values in zip(prefixes(run.problem) if levels else [], levels, strict=True):
            for name, value in values.items():
                names.add(prefix + name)
                # Where a frame is within 1e-3 of its target, the plain difference has lost three digits.
                tolerance = 1e-8 if "nc1" in name else 1e-12
                found = run.metrics[prefix + name][record]
                assert found == pytest.approx(value, rel=tolerance, abs=0 if "nc1" in name else 1e-14), (
                    record,
                    prefix + name,
                )
    assert names == set(run.metrics)


def assert_same_end(run: ufm.Trajectory, end: plain.Variables) -> None:
    assert isinstance(run.final, ufm.State)
    np.testing.assert_allclose(run.final.features, end.features.T, rtol=1e-10, atol=1e-12)
    for found, wanted in zip(run.final.weights, reversed(end.weights), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)
    if end.bias is not None:
        np.testing.assert_allclose(run.final.bias, end.bias, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", SQUARED)
def test_reduced_dynamics_are_those_of_all_samples(name: str, rule: str) -> None:
    (problem, start, iterations), settings = start_of(name), RULES[rule]
    run = ufm.descend(problem, initial=start, iterations=iterations, record_every=EVERY, **settings)
    assert run.dynamics == "reduced"
    assert run.iterations.tolist() == list(range(0, iterations + 1, EVERY))
    losses, metrics, end = simulate(problem, start, iterations=iterations, **settings)
    assert losses[-1] < 0.99 * losses[0]
    assert_same(run, losses, metrics)
    final = run.final
    assert isinstance(final, ufm.ReducedState)
    for found, wanted in zip(final.weights, reversed(end.weights), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)
    labels = problem.labels
    means = np.stack([end.features[:, labels == k].mean(axis=1) for k in range(problem.num_classes)])
    deviations = end.features.T - means[labels]
    np.testing.assert_allclose(final.means, means, rtol=1e-11, atol=1e-13)
    scatter = deviations.T @ deviations
    np.testing.assert_allclose(
        final.deviations.T @ final.deviations, scatter, rtol=0, atol=1e-11 * np.abs(scatter).max()
    )
    if end.bias is not None:
        np.testing.assert_allclose(final.bias, end.bias, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("rule", ["gradient descent", "nesterov"])
@pytest.mark.parametrize("name", [*SQUARED, *OTHERS])
def test_full_dynamics_are_those_of_a_plain_simulation(name: str, rule: str) -> None:
    (problem, start, iterations), settings = start_of(name), RULES[rule]
    run = ufm.descend(problem, initial=start, iterations=iterations, record_every=EVERY, dynamics="full", **settings)
    assert run.dynamics == "full"
    losses, metrics, end = simulate(problem, start, iterations=iterations, **settings)
    assert losses[-1] < 0.99 * losses[0]
    assert_same(run, losses, metrics)
    assert_same_end(run, end)


def sleepy(layers: int) -> tuple[ufm.Problem, ufm.State]:
    """A problem and a start where most classes leave most units asleep."""
    problem = ufm.ExtendedMSE(
        num_classes=5,
        num_features=70,
        samples_per_class=(70, 40, 30, 1, 60),
        feature_decay=1e-3,
        weight_decays=(1e-3,) * layers,
        bias="free",
        nonlinearity="relu",
    )
    start = problem.initial_state(5, scale=0.3)
    features = 0.1 * start.features
    features[np.arange(len(features)), problem.labels] += 2.0
    features[problem.labels == 4] = -1.0  # of this class all units sleep in the first layer
    outer, *inner = start.weights
    return problem, ufm.State((outer, *(np.where(w < 0.03, w - 0.05, w) for w in inner)), features, start.bias)


def awake_in_tiles(model: plain.Model, x: plain.Variables) -> list[Any]:
    """Whether a unit is awake somewhere in a tile of 56 samples, at each level after a ReLU."""
    tiles = [slice(t, t + 56) for t in range(0, 201, 56)]
    return [np.stack([level[:, t].any(axis=1) for t in tiles]) for level in plain.levels_of(model, x)[2::2]]


@pytest.mark.parametrize(
    ("layers", "rule"),
    [
        (2, {"step": 0.01}),
        (2, {"step": 0.003, "momentum": 0.8}),
        (2, {"step": 0.003, "optimizer": "adam"}),
        (3, {"step": 0.003, "optimizer": "adam"}),
    ],
)
def test_units_that_are_asleep(layers: int, rule: dict[str, Any]) -> None:
    """Units asleep for all of a tile are left out of the products, until they wake; nothing else changes."""
    problem, start = sleepy(layers)
    model, x = plain_model(problem), plain_start(start)
    awake = [awake_in_tiles(model, x)]
    for t in range(100):
        adam = (t + 1) * ("optimizer" in rule)
        plain.step(model, x, rule["step"], momentum=rule.get("momentum", 0.0), nesterov=False, adam=adam, rows=None)
        awake.append(awake_in_tiles(model, x))
    for level in zip(*awake, strict=True):
        assert np.mean(np.mean(level, axis=2) < 0.75) > 0.3  # of tiles leave units out
    first = np.array([level[0] for level in awake])
    assert np.sum(first[1:] & ~first[:-1]) >= 5
    run = ufm.descend(problem, initial=start, iterations=100, record_every=100, **rule)
    assert run.loss[-1] == pytest.approx(plain.loss_and_gradient(model, x)[0], rel=1e-12)
    assert_same_end(run, x)


@pytest.mark.parametrize("layers", [2, 3])
def test_what_is_known_of_units_asleep_leaves_no_trace(layers: int) -> None:
    """A descent that starts again knows nothing of them, and goes on bit for bit."""
    problem, start = sleepy(layers)
    settings: dict[str, Any] = {"step": 0.01, "record_every": 50}
    whole = ufm.descend(problem, initial=start, iterations=60, **settings)
    pieces = start
    for iterations in (1, 2, 17, 40):
        pieces = ufm.descend(problem, initial=pieces, iterations=iterations, **settings).final
    for found, wanted in zip(
        (*pieces.weights, pieces.features), (*whole.final.weights, whole.final.features), strict=True
    ):
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("name", ["free bias", "three layers", "relu", "cross-entropy"])
def test_adam(name: str) -> None:
    problem = {**SQUARED, **OTHERS}[name]
    start = problem.initial_state(3)
    run = ufm.descend(
        problem, initial=start, iterations=ITERATIONS, record_every=EVERY, optimizer="adam", step=0.01
    )  # fmt: skip
    assert run.dynamics == "full"
    assert_same(run, *simulate(problem, start, step=0.01, adam=True)[:2])


@pytest.mark.parametrize("settings", [{"momentum": 0.8}, {"optimizer": "adam"}])
@pytest.mark.parametrize("name", ["decayed bias", "relu", "cross-entropy, biased"])
def test_batches(name: str, settings: dict[str, Any]) -> None:
    problem = {**SQUARED, **OTHERS}[name]
    start = problem.initial_state(3)
    run = ufm.descend(
        problem, initial=start, iterations=ITERATIONS, record_every=EVERY, batch_size=10, seed=8, step=0.02, **settings
    )
    assert run.dynamics == "full"
    per_epoch = problem.num_samples // 10

    def rows(t: int) -> Any:
        order = np.random.default_rng((8, t // per_epoch)).permutation(problem.num_samples)
        return order[t % per_epoch * 10 :][:10]

    adam = settings.get("optimizer") == "adam"
    plainly = simulate(problem, start, step=0.02, momentum=settings.get("momentum", 0.0), adam=adam, rows=rows)
    assert_same(run, *plainly[:2])


def test_the_dynamics_are_chosen_and_named() -> None:
    short: dict[str, Any] = {"iterations": 2, "step": 0.01}
    for name, problem in {**SQUARED, **OTHERS}.items():
        run = ufm.descend(problem, **short)
        assert run.dynamics == ("reduced" if name in SQUARED else "full"), name
    for settings in ({"optimizer": "adam"}, {"batch_size": 5}):
        assert ufm.descend(SQUARED["bias-free"], **short, **settings).dynamics == "full"


def test_the_same_seed_starts_both_dynamics_alike() -> None:
    problem = SQUARED["three layers, imbalanced"]
    reduced, full = (
        ufm.descend(problem, seed=4, iterations=200, record_every=20, step=0.02, dynamics=dynamics)
        for dynamics in ("reduced", "full")
    )  # fmt: skip
    np.testing.assert_allclose(reduced.loss, full.loss, rtol=1e-12)
    np.testing.assert_allclose(reduced.gradient_norm, full.gradient_norm, rtol=1e-11)
    for name, values in full.metrics.items():
        np.testing.assert_allclose(reduced.metrics[name], values, rtol=1e-8 if "nc1" in name else 1e-11)


@pytest.mark.parametrize("name", ["imbalanced", "three layers", "relu", "cross-entropy, biased", "focal"])
def test_the_gradient_norm_is_that_of_the_problem(name: str) -> None:
    problem = {**SQUARED, **OTHERS}[name]
    start = problem.initial_state(5)
    run = ufm.descend(problem, initial=start, iterations=0)
    gradient = problem.gradient(start)
    parts = [*gradient.weights, gradient.features, *([] if gradient.bias is None else [gradient.bias])]
    assert run.gradient_norm[0] == pytest.approx(np.sqrt(sum(np.sum(part**2) for part in parts)), rel=1e-12)


def test_metrics_are_those_of_the_package() -> None:
    problem = SQUARED["imbalanced"]
    run = ufm.descend(problem, iterations=120, record_every=120, step=0.05, dynamics="full")
    assert isinstance(run.final, ufm.State)
    report = ncfast.measure(run.final.features, problem.labels, run.final.weights[0], run.final.bias)
    shared = set(run.metrics) & set(report)
    assert len(shared) == 9
    for name in shared:
        assert run.metrics[name][-1] == pytest.approx(report[name], rel=1e-9), name


@pytest.mark.parametrize("name", ["large", "large relu", "large relu, few outputs", "three layers", "cross-entropy"])
@pytest.mark.parametrize("settings", [{}, {"optimizer": "adam", "batch_size": 70}])
def test_same_bits_for_any_number_of_threads(name: str, settings: dict[str, Any]) -> None:
    problem, start, _ = start_of(name)
    settings = {k: min(v, problem.num_samples) if k == "batch_size" else v for k, v in settings.items()}

    def bits(threads: int) -> list[bytes]:
        ncfast.set_num_threads(threads)
        run = ufm.descend(problem, initial=start, iterations=20, record_every=10, step=0.01, **settings)
        final = run.final.features if isinstance(run.final, ufm.State) else run.final.deviations
        return [final.tobytes(), run.loss.tobytes(), np.array(list(run.metrics.values())).tobytes()]

    alone = bits(1)
    for threads in (2, 3, 8):
        assert bits(threads) == alone
