"""Nearest class mean and linear decisions: the exact answer for every sample.

The oracle decides in extended precision. Where a test compares counts over random
samples it first makes sure that no decision hangs on the last bits of the data.
"""

from __future__ import annotations

import numpy as np
import pytest

import ncfast
import reference as ref
import reference_report as refrep
from compare import degenerate, shares
from data import make_features
from ncfast import _core
from ncfast.decisions import AffineRule


def expected(features, labels, weights=None, bias=None, margin=1e-10):
    nearest, gap = refrep.nearest_mean(features, ref.two_pass(features, labels))
    assert gap > margin, "the sample data leave a decision to rounding"
    right = int((nearest == labels).sum())
    if weights is None:
        return right, 0
    choice, gap = refrep.linear(features, weights, bias)
    assert gap > margin, "the sample data leave a decision to rounding"
    return right, int((choice != nearest).sum())


def classifier(features, labels, rng, noise):
    """Weights near the centred means, as a trained head has them, with noise."""
    means = ref.centred_means(ref.two_pass(features, labels))
    noise = rng.standard_normal(means.shape) * (noise * np.abs(means).mean())
    return (means + noise).astype(features.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distance", [1, 0.1])
@pytest.mark.parametrize("spread", [1.5, 0.3, 1e-4])
@pytest.mark.parametrize("offset", [0, 10, 1000])
@pytest.mark.parametrize("shape", [(700, 48, 60), (700, 12, 60), (700, 48, 3)])
def test_decisions_over_offsets(shape, offset, spread, distance, dtype, rng):
    n, d, k = shape
    features, labels = make_features(n, d, k, spread, offset / distance, dtype, rng, scale=distance)
    weights = classifier(features, labels, rng, 0.5)
    bias = -(weights.astype(float) @ features.astype(float).mean(axis=0))
    bias = (bias + rng.standard_normal(k) * 0.1 * distance**2).astype(dtype)
    want = expected(features, labels, weights, bias)
    assert shares(features, labels, k, weights, bias) == want
    if spread > 1:
        assert 0 < want[0] < n  # neither answer is trivial here
        assert 0 < want[1] < n


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bias_decides(dtype, rng):
    features, labels = make_features(500, 20, 10, 0.6, 0, dtype, rng)
    weights = classifier(features, labels, rng, 0.1)
    bias = (0.2 * rng.standard_normal(10)).astype(dtype)
    with_bias, without = (expected(features, labels, weights, b) for b in (bias, None))
    assert with_bias != without
    assert shares(features, labels, 10, weights, bias) == with_bias
    assert shares(features, labels, 10, weights) == without
    assert shares(features, labels, 10, weights, np.zeros(10, dtype)) == without


@pytest.mark.parametrize("bias_of_one", [-1e9, -1e30, -1e300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_class_that_the_bias_rules_out(bias_of_one, dtype, rng):
    """Masked classes are common; how far out of reach one is must not touch the others."""
    features, labels = make_features(500, 10, 6, 0.5, 1, dtype, rng)
    weights, bias = classifier(features, labels, rng, 0.1), 0.05 * rng.standard_normal(6)
    bias[2] = bias_of_one
    want = expected(features, labels, weights, bias)
    assert shares(features, labels, 6, weights, bias) == want


@pytest.mark.parametrize("size", [1.0, 1e-25, 1e-31, 1e-34, 1e-36])
def test_samples_next_to_the_centre_are_decided_exactly(size, rng):
    """So small that parts of float32 values, or of products, leave the range of normal numbers."""
    weights = np.tile(rng.standard_normal((150, 70)), (2, 1))
    weights[150:] += 1e-4 * rng.standard_normal((150, 70))
    weights = weights.astype(np.float32)
    features = (size * rng.standard_normal((400, 70))).astype(np.float32)
    zeros = np.zeros(300)
    decisions, _ = _core.decide(
        features=features, rows=np.arange(400), centre=np.zeros(70), scale=1.0, weights=weights, offsets=zeros,
        max_weight_norm=float(np.linalg.norm(weights, axis=1).max()) * 1.01, max_abs_offset=0.0,
        points=weights.astype(np.float64), constants=zeros, by_distance=False,
    )  # fmt: skip
    scores = (features.astype(np.float64) / size) @ weights.T.astype(np.float64)
    np.testing.assert_array_equal(decisions, scores.argmax(axis=1))


def test_bias_alone_decides(rng):
    """Zero weights: the largest bias wins for every sample."""
    features, labels = make_features(90, 6, 3, 0.01, 5, np.float64, rng)
    weights = np.zeros((3, 6))
    with degenerate("zero"):
        right, apart = shares(features, labels, 3, weights, np.array([0.0, 2.0, 1.0]))
    assert right == 90
    assert apart == int((labels != 1).sum())


@pytest.mark.parametrize("offset", [0, 10, 1000])
def test_collapsed_and_aligned_means_full_agreement(offset, rng):
    features, labels = make_features(800, 40, 20, 1e-5, offset, np.float32, rng)
    m = ref.two_pass(features, labels)
    weights = ref.centred_means(m)
    bias = -0.5 * (weights**2).sum(axis=1) - weights @ m.means.mean(axis=0).astype(float)
    assert expected(features, labels, weights, bias) == (800, 0)
    assert shares(features, labels, 20, weights, bias) == (800, 0)


def test_collapsed_with_one_wrong_logit(rng):
    """All but one class agree: a certificate for whole classes must not swallow it."""
    features, labels = make_features(800, 40, 20, 1e-5, 0, np.float32, rng)
    weights = ref.centred_means(ref.two_pass(features, labels))
    bias = -0.5 * (weights**2).sum(axis=1)
    bias[7] = -100.0
    want = (800, int((labels == 7).sum()))
    assert expected(features, labels, weights, bias) == want
    assert shares(features, labels, 20, weights, bias) == want


def test_few_strays_in_a_collapsed_set(rng):
    """Samples moved next to other classes, or half-way, among thousands that did not."""
    features, labels = make_features(4000, 32, 25, 1e-4, 10, np.float64, rng)
    m = ref.two_pass(features, labels)
    strays = rng.choice(4000, 60, replace=False)
    others = rng.integers(0, 25, 60)
    blend = np.linspace(0.4, 1.0, 60)[:, None]
    own, other = (m.means[k].astype(float) for k in (labels[strays], others))
    features[strays] = (1 - blend) * own + blend * other + 1e-3 * rng.standard_normal((60, 32))
    weights = classifier(features, labels, rng, 0.3)
    bias = -(weights @ features.mean(axis=0))
    want = expected(features, labels, weights, bias)
    assert 3940 <= want[0] < 4000
    assert shares(features, labels, 25, weights, bias) == want


def test_many_classes(rng):
    features, labels = make_features(3000, 24, 1000, 0.8, 10, np.float32, rng)
    weights = classifier(features, labels, rng, 0.5)
    bias = -(weights.astype(float) @ features.astype(float).mean(axis=0))
    want = expected(features, labels, weights, bias, margin=1e-12)
    assert 0 < want[0] < 3000
    assert shares(features, labels, 1000, weights, bias) == want


def test_two_samples_at_a_time(rng):
    """Counts over many samples could hide errors that cancel: ask about few.

    A sample and its mirror image about the class mean leave that mean where it is, so
    what the count gains over the plain set is the answer for these two alone.
    """
    features, labels = make_features(40, 6, 5, 1.2, 0, np.float64, rng)
    m = ref.two_pass(features, labels)
    means = m.means.astype(float)
    base = np.concatenate([means + step for step in (0.25, -0.25)])
    own = np.tile(np.arange(5), 2)
    start = expected(base, own)[0]
    for row, label in zip(features, labels, strict=True):
        mirrored = 2 * means[label] - row
        rows = np.concatenate([base, [row, mirrored]])
        names = np.concatenate([own, [label, label]])
        want = expected(rows, names)
        assert start - 2 <= want[0] <= start + 2
        assert shares(rows, names, 5) == want


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("step", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("offset", [0, 10])
def test_samples_on_either_side_of_a_boundary(offset, step, dtype, rng):
    """Pairs mirrored at their class mean leave it in place; one of each stands at a boundary."""
    k, d = 12, 30
    means = rng.standard_normal((k, d)) / np.sqrt(d)
    other = (np.arange(k) + rng.integers(1, k, (40, k))) % k
    side = np.where(rng.random((40, k, 1)) < 0.5, -1, 1)
    towards = (means[other] - means) * (0.5 + side * step)
    common = offset * rng.standard_normal(d) / np.sqrt(d)
    features = np.concatenate([means + towards, means - towards]).reshape(-1, d)
    features, labels = (features + common).astype(dtype), np.tile(np.arange(k), 80)
    weights = classifier(features, labels, rng, 0.01)
    bias = -(weights.astype(float) @ features.astype(float).mean(axis=0))
    want = expected(features, labels, weights, bias, margin=1e-13)
    assert shares(features, labels, k, weights, bias) == want


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_features(dtype, rng):
    import ml_dtypes

    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float16
    features, labels = make_features(600, 24, 12, 0.7, 2, kind, rng)
    weights = classifier(features.astype(np.float32), labels, rng, 0.5)
    want = expected(features, labels, weights)
    assert shares(features, labels, 12, weights) == want


def test_missing_classes_win_no_sample(rng):
    """A class without samples has no mean to be near to, not even one at the origin."""
    features, labels = make_features(300, 10, 6, 0.5, 0, np.float32, rng, missing=[0, 4])
    weights = classifier(features, labels, rng, 0.2)
    padded = np.zeros((6, 10), dtype=np.float32)
    padded[[1, 2, 3, 5]] = weights
    bias = np.zeros(6, dtype=np.float32)
    bias[[0, 4]] = -50
    want = expected(features, labels, padded, bias)
    assert shares(features, labels, 6, padded, bias) == want


@pytest.mark.parametrize("base", [1.0, 1000.0, -1000.0])
def test_means_between_two_float32_values(base):
    """Both means round to the value that most samples have, which is nearer to one of them."""
    step = abs(np.spacing(np.float32(base)))
    low, middle, high = (np.float32(base + i * step) for i in (-1, 0, 1))
    features = np.zeros((200, 3), dtype=np.float32)
    features[:, 0] = [*[middle] * 51, *[high] * 49, *[middle] * 52, *[low] * 48]
    labels = np.repeat([0, 1], 100)
    assert (refrep.nearest_mean(features, ref.two_pass(features, labels))[0] == labels).sum() == 149
    for method in ("projection", "scatter"):
        assert shares(features, labels, 2, method=method)[0] == 149


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("shape", [(900, 160, 80), (900, 30, 80), (2500, 40, 600)])
def test_search_among_projected_samples_and_by_alignment(shape, noise, dtype, rng):
    """Weights from exactly self-dual to unrelated, spread too wide to certify: every shortcut and its fallback."""
    n, d, k = shape
    features, labels = make_features(n, d, k, 1.2, 5, dtype, rng)
    weights = classifier(features, labels, rng, noise)
    bias = -(weights.astype(float) @ features.astype(float).mean(axis=0)).astype(dtype)
    assert shares(features, labels, k, weights, bias) == expected(features, labels, weights, bias)


def test_rows_of_the_classifier_without_samples_can_win(rng):
    features, labels = make_features(600, 24, 12, 1e-3, 1, np.float32, rng)
    labels = np.where(labels == 5, 4, labels)
    weights = np.vstack([classifier(features, labels, rng, 0.05), np.zeros((1, 24))])
    bias = np.zeros(len(weights))
    bias[5] = 10.0
    weights = np.insert(weights, 5, 0.0, axis=0)[:12]
    report = ncfast.measure(features, labels, weights, bias[:12])
    assert report["nc4_disagreement"] == 1.0
    assert report["ncc_accuracy"] == pytest.approx(np.mean(nearest_is_right(features, labels)))


def nearest_is_right(features, labels):
    kept = np.unique(labels)
    means = np.array([features[labels == k].astype(float).mean(axis=0) for k in kept])
    distances = np.linalg.norm(features[:, None].astype(float) - means, axis=2)
    return kept[distances.argmin(axis=1)] == labels


def rule_over(points, constants, centre, scale, dtype):
    """The largest of ``constants + points @ h``; what lies in memory behind both would win if it were looked at."""
    k, d = points.shape
    room = np.full((k + 64, d), 1e6)
    room[:k] = points
    levels = np.full(k + 64, 1e300)
    levels[:k] = constants
    offsets = (points @ centre + constants) * scale
    norms = np.linalg.norm(points, axis=1)
    return AffineRule(
        points, norms, offsets - offsets.max(), centre, scale, room[:k], levels[:k], by_distance=False, dtype=dtype
    )


@pytest.mark.parametrize("k", [2, 6, 31, 33, 70])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_only_classes_that_there_are_can_win(k, dtype, rng):
    """A class far out of reach leaves float32 nothing to compare, and all others to settle."""
    points, features = rng.standard_normal((k, 9)), rng.standard_normal((300, 9)).astype(dtype)
    constants = np.where(np.arange(k) == 1, -1e300, 0.1 * rng.standard_normal(k))
    rule = rule_over(points, constants, np.zeros(9), 1.0, dtype)
    want, gap = refrep.linear(features, points, constants)
    assert gap > 1e-10
    assert (rule.decide(features, np.arange(300)) == want).all()


@pytest.mark.parametrize("k", [2, 6, 31, 33, 70])
@pytest.mark.parametrize("size", [1e20, 1e27, 1e28, 1e29, 1e31, 1e37])
def test_samples_beyond_the_range_of_float32_products(size, k, rng):
    """Training features may be tiny, and samples judged by them as large as float32 holds."""
    points, features = rng.standard_normal((k, 9)), (size * rng.standard_normal((300, 9))).astype(np.float32)
    rule = rule_over(points, np.zeros(k), np.full(9, 1e-10), 2.0**31, np.float32)
    want, gap = refrep.linear(features, points, np.zeros(k))
    assert gap > 1e-10
    assert (rule.decide(features, np.arange(300)) == want).all()
