"""Closed forms beyond the squared loss of one-hot targets: cross-entropies, regression, SELI, and what has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import reference_imbalance as imbalance
import reference_ufm as ref
from ncfast import metrics, ufm

TABLE: dict[str, Any] = {"num_classes": 4, "num_features": 20, "samples_per_class": 50, "feature_decay": 5e-3}
SIMPLEX = np.eye(4) - 0.25


@pytest.mark.parametrize("side", [0.99, 1.01])
def test_least_count_is_where_minorities_merge(side: float) -> None:
    """With the cross-entropy, two classes of n_B samples have one weight vector iff N sqrt(lW lH) >= sqrt(n_B)."""
    counts = (100, 100, 10, 10)
    decay = side * np.sqrt(10) / 220
    problem = ufm.CrossEntropy(num_classes=4, num_features=6, samples_per_class=counts, weight_decay=decay,
                               feature_decay=decay, bias=0.01)  # fmt: skip
    assert ufm.thresholds(problem).least_count == pytest.approx(10 * side**2)
    np.testing.assert_array_equal(ufm.thresholds(problem).learned, [True, True, side < 1, side < 1])
    (weights,) = ufm.minimise(problem, starts=2).state.weights
    apart = float(np.linalg.norm(weights[2] - weights[3]))
    assert apart < 1e-5 if side > 1 else apart > 0.05


@pytest.mark.parametrize(
    ("fields", "zero"), [({}, 1.0), ({"label_smoothing": 0.3}, 0.7), ({"features": "nonnegative"}, 1.0)]
)
@pytest.mark.parametrize("side", [1 - 1e-9, 1 + 1e-9])
def test_cross_entropy_on_both_sides_of_zero(fields: dict[str, Any], zero: float, side: float) -> None:
    start = ufm.thresholds(ufm.CrossEntropy(**TABLE, weight_decay=5e-3, **fields))
    decay = 5e-3 * side * zero / start.kappa[0]
    problem = ufm.CrossEntropy(**{**TABLE, "feature_decay": decay}, weight_decay=decay, **fields)
    best = ufm.minimizer(problem)
    assert start.zero == pytest.approx(zero)
    assert ufm.thresholds(problem).kappa == pytest.approx(np.full(4, side * zero))
    assert bool(best.weights[0].any()) == ufm.thresholds(problem).learned.all() == (side < 1)
    assert best.value == pytest.approx(np.log(4), abs=1e-12)


def test_label_smoothing_and_nonnegative_logits() -> None:
    n, k, decay, eps = 50, 4, 2e-3, 0.1
    tau = np.sqrt(n) * decay
    fields = {**TABLE, "feature_decay": decay, "weight_decay": decay}
    smoothed = ufm.minimizer(ufm.CrossEntropy(**fields, label_smoothing=eps))
    alpha = np.log(1 / (tau + eps / k) - k + 1)
    np.testing.assert_allclose(smoothed.grams[0].product, alpha * SIMPLEX, atol=1e-13)
    assert smoothed.value == pytest.approx(
        np.log1p((k - 1) * np.exp(-alpha)) + eps * (1 - 1 / k) * alpha + (k - 1) * tau * alpha, rel=1e-14
    )
    relu = ufm.minimizer(ufm.CrossEntropy(**fields, features="nonnegative"), seed=3)
    alpha = np.log((k - 1) / (np.sqrt(k * (k - 1)) * tau) - k + 1)
    np.testing.assert_allclose(relu.grams[0].product, alpha * SIMPLEX, atol=1e-13)
    assert relu.means.min() >= 0
    assert ref.relative_gram_error(relu.grams[0].means, np.eye(k)) < 1e-15
    np.testing.assert_allclose(relu.weights[0].sum(axis=0), 0, atol=1e-13)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("classes", [3, 50])
def test_focal_logits_are_the_best_on_a_grid(gamma: float, classes: int) -> None:
    """Also where the loss is not convex in the logits, and zero is left with a jump."""
    rng = np.random.default_rng(1)
    for cost in np.exp(rng.uniform(-9, 0.7, 20)):
        decay = cost / (classes - 1)
        problem = ufm.CrossEntropy(num_classes=classes, num_features=classes, samples_per_class=1, weight_decay=decay,
                                   feature_decay=decay, focal=gamma)  # fmt: skip
        best = ufm.minimizer(problem)
        alpha = np.linspace(0, 30, 100_001)
        p = 1 / (1 + (classes - 1) * np.exp(-alpha))
        grid = (1 - p) ** gamma * -np.log(p) + cost * alpha
        assert grid.min() - 1e-7 <= best.value <= grid.min() + 1e-14
        assert problem.objective(best.state()) == pytest.approx(best.value, abs=1e-13)


def test_regression_is_that_of_the_literature() -> None:
    """NRC: W W^T = sqrt(lH/lW) [Sigma^(1/2) - sqrt(c)]_+, and H, b, the value; normalised decays."""
    rng = np.random.default_rng(4)
    y = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3)) + rng.normal(size=3)
    lw, lh = 0.02, 0.05
    problem = ufm.MSE(num_classes=1, num_features=7, samples_per_class=40, targets=y, weight_decay=lw, feature_decay=lh,
                      bias="free", normalisation="normalised")  # fmt: skip
    values, axes = np.linalg.eigh(np.cov(y.T, bias=True))
    assert lw * lh < values[0]
    a = axes * (np.sqrt(values) - np.sqrt(lw * lh)) @ axes.T
    inverse_root = axes / np.sqrt(values) @ axes.T
    best = ufm.minimizer(problem)
    np.testing.assert_allclose(best.grams[0].weights, np.sqrt(lh / lw) * a, atol=1e-13)
    np.testing.assert_allclose(
        best.rows, np.sqrt(lw / lh) * (y - y.mean(axis=0)) @ inverse_root @ best.weights[0], atol=1e-13
    )
    assert best.bias == pytest.approx(y.mean(axis=0))
    assert best.value == pytest.approx(3 * lw * lh / 2 + np.sqrt(lw * lh) * np.trace(a), rel=1e-13)
    assert metrics.nrc3(best.weights[0], y, gamma=lw * lh)[0] < 1e-25


def test_class_means_of_a_regression() -> None:
    rng = np.random.default_rng(0)
    problem = ufm.MSE(num_classes=2, num_features=4, samples_per_class=(3, 5), targets=rng.normal(size=(8, 2)),
                      weight_decay=0.01, feature_decay=0.01)  # fmt: skip
    best = ufm.minimizer(problem)
    np.testing.assert_allclose(best.means, [best.rows[:3].mean(axis=0), best.rows[3:].mean(axis=0)], atol=1e-15)
    np.testing.assert_array_equal(best.state().features, best.rows)
    assert ufm.thresholds(problem).least_count is ufm.thresholds(problem).etf_bias_decay is None


def test_sphere() -> None:
    problem = ufm.SphereCrossEntropy(num_classes=4, num_features=3, samples_per_class=5, temperature=2.0)
    best = ufm.minimizer(problem)
    assert best.value == pytest.approx(np.log1p(3 * np.exp(-8 / 3)), rel=1e-15)
    np.testing.assert_allclose(best.grams[0].weights, (4 * np.eye(4) - 1) / 3, atol=1e-14)
    np.testing.assert_allclose(best.weights[0], best.means, atol=1e-15)


@pytest.mark.parametrize("counts", [(1, 1, 1), (5, 2, 1), (10, 10, 1, 1), (100, 50, 20, 3, 1)])
def test_seli(counts: tuple[int, ...]) -> None:
    """Logits, Gram matrices and the certificate of optimality by the whole label matrix; the metric reads 0."""
    k = len(counts)
    best = ufm.seli(counts, k + 2, seed=1)
    weights, means, certificate = imbalance.seli_frames(np.array(counts), np.eye(k))
    np.testing.assert_allclose(best.grams[0].weights, weights @ weights.T, atol=1e-12)
    np.testing.assert_allclose(best.grams[0].means, means @ means.T, atol=1e-12)
    np.testing.assert_allclose(best.grams[0].product, np.eye(k) - 1 / k, atol=1e-13)
    assert (certificate * (imbalance.simplex_labels(np.array(counts)) < 0)).max() <= 1e-12
    state = best.state()
    assert best.value == pytest.approx(float((state.weights[0] ** 2).sum() + (state.features**2).sum()), rel=1e-13)
    assert metrics.seli_distance(best.weights[0], counts, "weights") < 1e-13
    assert metrics.seli_distance(best.means - best.means.mean(axis=0), counts, "means") < 1e-13


def test_seli_is_the_least_that_separates() -> None:
    """Against a constrained optimiser on W and H."""
    labels = np.array([0, 1, 1, 2])

    def margins(x: Any) -> Any:
        w, h = x[:9].reshape(3, 3), x[9:].reshape(4, 3)
        logits = h @ w.T
        own = logits[np.arange(4), labels]
        return np.array([own[i] - logits[i, j] - 1 for i in range(4) for j in range(3) if j != labels[i]])

    rng = np.random.default_rng(0)
    found = min(
        float(minimize(lambda x: x @ x, rng.normal(size=21), jac=lambda x: 2 * x, method="SLSQP",
                       constraints={"type": "ineq", "fun": margins}, options={"maxiter": 500, "ftol": 1e-13}).fun)
        for _ in range(3)
    )  # fmt: skip
    assert found == pytest.approx(ufm.seli([1, 2, 1]).value, abs=1e-6)


def test_layer_peeled_is_the_least_within_bounds() -> None:
    """Against a constrained optimiser; 3 classes of 2 samples."""
    labels = np.array([0, 0, 1, 1, 2, 2])

    def loss(x: Any) -> float:
        logits = x[9:].reshape(6, 3) @ x[:9].reshape(3, 3).T
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(6), labels]))

    def slack(x: Any) -> Any:
        return np.array([1.7 - (x[:9] ** 2).sum() / 3, 0.8 - (x[9:] ** 2).sum() / 6])

    found = minimize(loss, np.random.default_rng(2).normal(size=27), method="SLSQP",
                     constraints={"type": "ineq", "fun": slack}, options={"maxiter": 500, "ftol": 1e-13})  # fmt: skip
    best = ufm.layer_peeled(3, weight_bound=1.7, feature_bound=0.8, samples_per_class=2, seed=5)
    assert found.fun == pytest.approx(best.value, abs=1e-8)
    state = best.state()
    x = np.concatenate([state.weights[0].ravel(), state.features.ravel()])
    assert loss(x) == pytest.approx(best.value, abs=1e-15)
    np.testing.assert_allclose(slack(x), 0, atol=1e-14)
    for singular, matrix in zip(best.singular_values, (state.weights[0], state.features), strict=True):
        np.testing.assert_allclose(np.linalg.svd(matrix)[1][:2], singular, rtol=1e-13)
    with pytest.raises(ValueError, match=r"weight_bound is .*wanted a positive"):
        ufm.layer_peeled(3, weight_bound=-1.0, feature_bound=1.0)


def test_cross_entropy_tends_to_seli() -> None:
    counts = (20, 20, 2, 2)
    goal = ufm.seli(counts).grams[0].weights
    distances = []
    for decay in (1e-2, 1e-4, 1e-6):
        problem = ufm.CrossEntropy(num_classes=4, num_features=4, samples_per_class=counts, weight_decay=decay,
                                   feature_decay=decay / 44)  # fmt: skip
        (weights,) = ufm.minimise(problem).state.weights
        distances.append(ref.relative_gram_error(weights @ weights.T, goal))
    assert distances[0] > 1.3 * distances[1] > 1.6 * distances[2]


SMALL: dict[str, Any] = {"num_classes": 3, "num_features": 4, "samples_per_class": 2, "feature_decay": 1e-2}
RELU: dict[str, Any] = {**SMALL, "weight_decays": (1e-2, 1e-2), "nonlinearity": "relu"}
ENTROPY: dict[str, Any] = {**SMALL, "weight_decay": 1e-2}


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        (ufm.ExtendedMSE(**RELU, bias="free"), "one class may live in the bias alone"),
        (ufm.ExtendedMSE(**RELU, bias=0.1), "one class may live in the bias alone"),
        (ufm.ExtendedMSE(**{**RELU, "samples_per_class": (1, 2, 3)}), "only equal class counts and one-hot targets"),
        (ufm.ExtendedMSE(**RELU, targets=-np.eye(3)), "only equal class counts and one-hot targets"),
        (ufm.ExtendedMSE(**{**RELU, "weight_decays": (0.1,) * 3}), "frames of low rank can lie below"),
        (ufm.ExtendedMSE(**RELU, widths=(2,)), "narrower than the 3 orthogonal class means"),
        (ufm.MSE(**{**ENTROPY, "samples_per_class": (1, 2, 3)}, bias=0.1), "a regularised bias couples"),
        (ufm.CrossEntropy(**{**ENTROPY, "samples_per_class": (1, 2, 3)}), "no closed form for unequal class counts"),
        (ufm.CrossEntropy(**{**ENTROPY, "num_features": 1}), "num_features is 1; the closed form needs at least 2"),
        (ufm.CrossEntropy(**{**ENTROPY, "num_features": 2}, features="nonnegative"), "needs at least 3"),
        (ufm.SphereCrossEntropy(num_classes=4, num_features=2, samples_per_class=1), "at least 3 features for 4"),
        (ufm.SphereCrossEntropy(num_classes=3, num_features=2, samples_per_class=(1, 2, 1)), "needs equal counts"),
    ],
)
def test_no_closed_form(problem: ufm.Problem, why: str) -> None:
    with pytest.raises(ufm.NoClosedFormError, match=why) as error:
        ufm.minimizer(problem)
    assert "ufm.minimise" in str(error.value)
    assert np.isfinite(ufm.minimise(problem, max_iterations=200).value)


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match="wanted a problem of"):
        ufm.minimizer("mse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="without focal"):
        ufm.thresholds(ufm.CrossEntropy(**ENTROPY, focal=2.0))
    with pytest.raises(ValueError, match="wanted a squared loss"):
        ufm.thresholds(ufm.SphereCrossEntropy(num_classes=3, num_features=2, samples_per_class=1))
    with pytest.raises(ValueError, match="known for equal counts only"):
        ufm.thresholds(ufm.CrossEntropy(**{**ENTROPY, "samples_per_class": (1, 2, 3)}, label_smoothing=0.1))
    with pytest.raises(ufm.NoClosedFormError, match="couples"):
        ufm.thresholds(ufm.MSE(**{**ENTROPY, "samples_per_class": (1, 2, 3)}, bias=0.1))
    with pytest.raises(ValueError, match="num_features is 1; wanted at least 2, K - 1 for 3 classes"):
        ufm.seli([1, 2, 3], 1)
    with pytest.raises(ValueError, match="number of classes is 1; wanted at least 2"):
        ufm.seli([3])
