"""Closed forms of the unconstrained-features models: printed values, bisection, thresholds, frames, what has none."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
import pytest

import reference_imbalance as imbalance
import reference_ufm as ref
from ncfast import metrics, ufm
from ncfast.metrics._shrinkage import kappa_spinodal, kappa_threshold, shrunken

TABLE: dict[str, Any] = {"num_classes": 4, "num_features": 20, "samples_per_class": 50, "feature_decay": 5e-3}
SIMPLEX = np.eye(4) - 0.25


def mse(bias: Any = "none", **fields: Any) -> ufm.MSE:
    return ufm.MSE(**{**TABLE, "weight_decay": 5e-3, "bias": bias, **fields})


def chain(layers: int, bias: Any = "none", **fields: Any) -> ufm.ExtendedMSE:
    return ufm.ExtendedMSE(**{**TABLE, "weight_decays": (5e-3,) * (layers - 1), "bias": bias, **fields})


def with_kappa(kappa: float, layers: int, **fields: Any) -> ufm.ExtendedMSE:
    """Four classes, two samples each, equal decays."""
    decay = (kappa / 4) ** 1 / 2 ** (1 / layers)
    return chain(layers, samples_per_class=2, feature_decay=decay, weight_decays=(decay,) * (layers - 1), **fields)


def printed(value: float, text: str) -> None:
    """Equal to all printed digits."""
    assert f"{value:.{len(text.split('.')[1])}f}" == text


# Objective, squared norms of class means and of weight vectors, entries of the bias.
@pytest.mark.parametrize(
    ("problem", "value", "mean", "weight", "bias"),
    [
        (mse(), "0.1314213562", "0.1214213562", "6.0710678119", None),
        (mse("free"), "0.0985660172", "0.0910660172", "4.5533008589", "0.25"),
        (mse(0.005), "0.0991879077", "0.0910660172", "4.5533008589", "0.2487562"),
        (mse(0.05), "0.1045183981", "0.0910660172", "4.5533008589", "0.2380952"),
        (mse(0.2), "0.1189213562", None, None, "0.1767767"),
        (mse(1.0), "0.1289213562", None, None, "0.0353553"),
        (chain(3), "0.1077357156", "0.0699167814", "3.4958390690", None),
        (chain(3, "free"), "0.0808017867", None, None, "0.25"),
        (chain(3, nonlinearity="relu"), "0.1077357156", "0.0699167814", "3.4958390690", None),
        (ufm.CrossEntropy(**TABLE, weight_decay=5e-3), "0.4547359451", "0.3426125939", "17.1306296934", None),
        (ufm.CrossEntropy(**TABLE, weight_decay=5e-3, bias=0.1), "0.4547359451", None, None, "0.0"),
    ],
)  # fmt: skip
def test_printed_values(
    problem: ufm.Problem, value: str, mean: str | None, weight: str | None, bias: str | None
) -> None:
    best = ufm.minimizer(problem, seed=2)
    printed(best.value, value)
    for k in range(4):
        if mean is not None and weight is not None:
            printed(float(best.means[k] @ best.means[k]), mean)
            printed(float(best.weights[0][k] @ best.weights[0][k]), weight)
        if bias is not None:
            assert best.bias is not None
            printed(float(best.bias[k]), bias)
    assert problem.objective(best.state()) == pytest.approx(best.value, abs=1e-15)


def test_printed_values_between_frames() -> None:
    """The part of the all-ones direction, whose logit is the row sum of W Hbar."""
    for decay, factor in ((0.005, "0.0000000"), (0.05, "0.0000000"), (0.2, "0.1514719"), (1.0, "0.7171573")):
        product = ufm.minimizer(mse(decay)).grams[0].product
        printed(abs(float(product.sum(axis=1)[0])), factor)
    printed(float(ufm.thresholds(mse(0.2)).etf_bias_decay or 0), "0.164715670")


def test_printed_values_of_the_chain() -> None:
    best = ufm.minimizer(chain(3))
    upper, lower = best.grams
    for singular in best.singular_values:
        for value in singular:
            printed(value**2, "3.4958390690")
    np.testing.assert_allclose(np.diagonal(upper.means), 0.2444178159, atol=5e-11)
    np.testing.assert_allclose(lower.product, 0.9243621315 * np.eye(4), atol=5e-11)
    printed(float(ufm.thresholds(chain(3)).kappa[0]), "0.0736806300")
    for layers, texts in {
        2: ("1.0", "1.0"),
        3: ("0.3968502630", "0.4724703937"),
        4: ("0.2721655270", "0.3849001795"),
        5: ("0.2103665898", "0.3469754742"),
    }.items():
        found = ufm.thresholds(chain(layers))
        printed(found.zero, texts[0])
        printed(found.spinodal, texts[1])


@pytest.mark.parametrize("layers", [2, 3, 4, 5, 8])
def test_shrinkage_has_all_digits(layers: int) -> None:
    rng = np.random.default_rng(layers)
    top = kappa_threshold(layers)
    for kappa in [*np.exp(rng.uniform(np.log(1e-12), np.log(top), 30)), top * (1 - 1e-9), top * (1 + 1e-9), 2 * top]:
        log_kappa = np.log([kappa])
        with mp.workdps(60):
            x = ref.shrunken(mp.exp(mp.mpf(float(log_kappa[0]))), layers)
            wanted, rest = float(x), float(1 - x)
        found, found_rest = shrunken(log_kappa, layers)
        assert found[0] == pytest.approx(wanted, rel=1e-14, abs=1e-15)
        assert found_rest[0] == pytest.approx(rest, rel=1e-14)


@pytest.mark.parametrize("layers", [3, 4, 5])
def test_spinodal_is_where_the_second_minimum_ends(layers: int) -> None:
    def slopes(kappa: float) -> Any:
        x = np.linspace(0.05, 0.999, 20001)
        return (x - 1) + kappa * x ** (2 / layers - 1)

    assert slopes(kappa_spinodal(layers) * (1 - 1e-4)).min() < 0 < slopes(kappa_spinodal(layers) * (1 + 1e-4)).min()


@pytest.mark.parametrize("layers", [2, 3, 4, 5])
@pytest.mark.parametrize("side", [0.5, 1 - 1e-6, 1 + 1e-6, 1.3])
def test_chains_on_both_sides_of_the_threshold(layers: int, side: float) -> None:
    problem = with_kappa(side * kappa_threshold(layers), layers)
    best = ufm.minimizer(problem)
    decays = [*problem.decays, problem.feature_decay]
    assert best.value == pytest.approx(ref.chain_value([2] * 4, decays), abs=1e-14)
    assert (best.value < 0.5) == (side < 1) == bool(best.weights[0].any())
    assert ufm.thresholds(problem).learned.all() == (side < 1)
    assert problem.objective(best.state()) == pytest.approx(best.value, abs=1e-14)


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_zero_is_a_minimum_of_chains_only(layers: int) -> None:
    near = ufm.minimise(with_kappa(0.2, layers), scale=1e-3)
    assert (near.value == pytest.approx(0.5, abs=1e-12)) == (layers > 2)


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("side", [1 - 1e-3, 1 + 1e-3])
def test_etf_up_to_a_decay_of_the_bias(layers: int, side: float) -> None:
    """At c/(1-c) an orthogonal part begins: continuously with one weight matrix, with a jump in chains."""
    problem = with_kappa(0.15, layers)
    limit = ufm.thresholds(problem).etf_bias_decay
    assert limit is not None
    if layers == 2:
        assert limit == pytest.approx(0.15 / 0.85, rel=1e-13)
    grams = ufm.minimizer(with_kappa(0.15, layers, bias=side * limit)).grams[0]
    errors = [ref.relative_gram_error(gram, SIMPLEX) for gram in grams]
    if side < 1:
        assert max(errors) < 1e-14
    else:
        assert min(errors) > 1e-5


def test_strong_decay_leaves_an_etf_at_any_bias_decay() -> None:
    assert ufm.thresholds(with_kappa(1.1, 2)).etf_bias_decay == np.inf


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_least_count_is_where_a_class_dies(layers: int) -> None:
    """With the squared loss: 1 sample more or less around the threshold, N the same."""
    decay = 0.5 ** (layers - 2) * 0.05
    for n in range(2, 20):
        counts = (n, 60 - n, 60)
        problem = ufm.ExtendedMSE(num_classes=3, num_features=3, samples_per_class=counts, feature_decay=decay,
                                  weight_decays=(decay,) * (layers - 1))  # fmt: skip
        limit = ufm.thresholds(problem).least_count
        best = ufm.minimizer(problem)
        assert limit is not None
        assert limit == pytest.approx((120 * decay / kappa_threshold(layers)) ** (layers / (layers - 1)))
        assert bool(best.weights[0][0].any()) == (n > limit)
        logits = np.diagonal(best.grams[-1].product)
        np.testing.assert_allclose(logits, imbalance.gof_logits(np.array(counts), decay, decay, layers - 1), atol=1e-12)
        np.testing.assert_allclose(
            logits, metrics.gof_logits(counts, weight_decay=decay, feature_decay=decay, depth=layers - 1), atol=1e-14
        )
        assert best.value == pytest.approx(ref.chain_value(counts, [decay] * layers), abs=1e-14)


@pytest.mark.parametrize("classes", [2, 33, 130])
def test_relu_leaves_the_minimiser_alone(classes: int) -> None:
    decay = 0.1 / classes
    problem = ufm.ExtendedMSE(num_classes=classes, num_features=classes + 3, samples_per_class=1,
                              weight_decays=(decay, decay), feature_decay=decay, nonlinearity="relu")  # fmt: skip
    best = ufm.minimizer(problem)
    assert problem.objective(best.state()) == pytest.approx(best.value, rel=1e-13)
    assert best.value == pytest.approx(ref.chain_value([1] * classes, [decay] * 3), rel=1e-13)


@pytest.mark.parametrize("features", [1, 2, 3])
def test_fewer_features_than_directions(features: int) -> None:
    problem = mse(num_features=features)
    best = ufm.minimizer(problem)
    c = np.sqrt(0.02)
    assert best.value == pytest.approx(features / 4 * (c - c**2 / 2) + (4 - features) / 8, abs=1e-15)
    assert problem.objective(best.state()) == pytest.approx(best.value, abs=1e-15)
    assert ufm.minimise(problem, starts=4).value == pytest.approx(best.value, abs=1e-10)


def test_narrow_hidden_layer_and_unequal_counts() -> None:
    """The two smallest classes are given up."""
    problem = ufm.ExtendedMSE(num_classes=4, num_features=6, samples_per_class=(9, 2, 30, 5), widths=(2,),
                              weight_decays=(0.01, 0.02), feature_decay=0.005)  # fmt: skip
    best = ufm.minimizer(problem)
    np.testing.assert_array_equal(np.abs(best.weights[0]).max(axis=1) > 1e-12, [True, False, True, False])
    assert ufm.minimise(problem, starts=6).value == pytest.approx(best.value, abs=1e-10)


@pytest.mark.parametrize("bias", ["none", "free", 0.2])
def test_seeds_rotate(bias: Any) -> None:
    first, second = ufm.minimizer(mse(bias), seed=0), ufm.minimizer(mse(bias), seed=1)
    assert np.abs(first.means - second.means).max() > 1e-3
    for one, other in zip(first.grams[0], second.grams[0], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-14)
    again = ufm.minimizer(mse(bias), seed=0)
    np.testing.assert_array_equal(first.means, again.means)


def test_metrics_read_the_frames() -> None:
    """Bias-free: orthogonal frames; with a bias: simplex ETFs."""
    for problem, distance in ((mse(), metrics.of_distance), (mse("free"), metrics.etf_distance)):
        best = ufm.minimizer(problem)
        assert distance(best.means) < 1e-14
        assert distance(best.weights[0]) < 1e-14


def test_zero_targets() -> None:
    best = ufm.minimizer(mse(targets=np.zeros((4, 2))))
    assert best.value == 0
    assert not best.weights[0].any()


@pytest.mark.parametrize("k", [2, 5])
def test_targets_with_mean_orthogonal_to_their_deviations(k: int) -> None:
    """Then a regularised bias has a closed form also for other codes: here one output more, the same for all."""
    targets = np.column_stack([np.eye(k) - 1 / k, np.full(k, 0.7)])
    problem = ufm.MSE(num_classes=k, num_features=k + 1, samples_per_class=3, weight_decay=0.02, feature_decay=0.01,
                      bias=0.4, targets=targets)  # fmt: skip
    best = ufm.minimizer(problem)
    assert problem.objective(best.state()) == pytest.approx(best.value, abs=1e-14)
    assert ufm.minimise(problem, starts=2).value == pytest.approx(best.value, abs=1e-10)
