"""Sample weights: a sample of weight w counts as w samples, in every statistic and metric."""

from __future__ import annotations

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st

import ncfast
import reference_weighted as ref
from compare import DOUBLE, SINGLE, UNIT, assert_close, assert_variability, frobenius_error, state
from data import batches, make_features
from strategies import assert_same, problems, weightings

SHAPES = {
    "fewer_classes_than_features": (400, 64, 10, {}),
    "more_classes_than_features": (500, 16, 50, {}),
    "imbalanced_missing_singleton": (400, 20, 12, {"imbalance": 30, "missing": [0, 7], "singleton": [3]}),
}


def make_weights(n, rng, *, zeros=0.1, decades=2):
    """Weights over some decades, and some of 0."""
    return np.where(rng.random(n) < zeros, 0.0, 10 ** rng.uniform(-decades / 2, decades / 2, n))


def accumulate(features, labels, weights, num_classes, size=None, **options):
    acc = ncfast.Accumulator(num_classes, features.shape[1], **options)
    for part in batches(len(features), size):
        acc.update(features[part], labels[part], weights[part])
    return acc.statistics()


def assert_statistics(stats, m, rtol, *, scatter=True):
    present = np.isin(stats.labels, m.classes)
    np.testing.assert_array_equal(stats.present, present)
    np.testing.assert_array_equal(stats.rows[present], m.rows)
    np.testing.assert_allclose(stats.counts[present], m.masses.astype(float), rtol=1e-14)
    assert stats.rows.dtype == np.int64
    squares = ref.squared_deviations(m)
    error = np.abs(stats.means[present] - m.means.astype(np.float64))
    slack = rtol * np.sqrt(squares / m.masses.astype(float))[:, None] + 4 * UNIT * np.abs(m.means)
    assert (error <= slack).all()
    np.testing.assert_allclose(stats.squared_deviations[present], squares, rtol=rtol, atol=0)
    if scatter:
        assert frobenius_error(stats.scatter, ref.scatter(m)) <= rtol


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, SINGLE), (np.float64, DOUBLE)])
@pytest.mark.parametrize(("spread", "offset"), [(1, 0), (1e-2, 10), (1e-6, 10), (1e-6, 1000)])
@pytest.mark.parametrize("shape", SHAPES)
def test_deep_collapse_grid(shape, spread, offset, dtype, rtol, rng):
    n, d, k, options = SHAPES[shape]
    features, labels = make_features(n, d, k, spread, offset, dtype, rng, **options)
    weights = make_weights(n, rng)
    m = ref.two_pass(features, labels, weights)
    for size, scatter in ((1, True), (7, "class"), (None, True), (None, "class"), (None, False)):
        stats = accumulate(features, labels, weights, k, size, scatter=scatter)
        assert_statistics(stats, m, rtol, scatter=bool(scatter))
    by_class = accumulate(features, labels, weights, k, 50, scatter="class")
    for weighting in ("papyan", "class", "sample"):
        want = ref.variability(m, weighting)
        report = ncfast.measure_statistics(by_class, weighting=weighting)
        assert "nc1_pinv" in report
        assert_variability(report, want, rtol, f"statistics, {weighting}")
        for method in ("projection", "scatter") if weighting != "class" else ("projection",):
            report = ncfast.measure(
                features, labels, num_classes=k, weighting=weighting, method=method, sample_weights=weights
            )
            assert "nc1_pinv" in report
            assert_variability(report, want, rtol, f"{method}, {weighting}")
            assert report.num_samples == m.rows.sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_over_twenty_decades(dtype, rng):
    features, labels = make_features(400, 20, 5, 1e-4, 10, dtype, rng)
    weights = make_weights(400, rng, decades=20)
    for scatter in (True, "class"):
        stats = accumulate(features, labels, weights, 5, 60, scatter=scatter, precision="double")
        assert_statistics(stats, ref.two_pass(features, labels, weights), 1e-12)


@pytest.mark.parametrize("scale", [1, 1e2, 1e4])
def test_double_precision_scatter(scale, rng):
    for sigma in 10.0 ** -np.arange(7):
        labels = rng.integers(0, 10, 800)
        means = rng.standard_normal((10, 17)) * scale
        features = (means[labels] + rng.standard_normal((800, 17)) * sigma).astype(np.float32)
        weights = make_weights(800, rng)
        m = ref.two_pass(features, labels, weights)
        for kind in (True, "class"):
            stats = accumulate(features, labels, weights, 10, 400, precision="double", scatter=kind)
            assert frobenius_error(stats.scatter, ref.scatter(m)) <= 64 * UNIT


@pytest.mark.parametrize("factor", [1e-60, 1e-3, 1e40])
def test_only_ratios_matter(factor, rng):
    features, labels = make_features(300, 12, 6, 1e-2, 3, np.float32, rng)
    weights, head = make_weights(300, rng), rng.standard_normal((6, 12))
    for weighting in ("papyan", "class", "sample"):
        want = ncfast.measure(features, labels, head, sample_weights=weights, weighting=weighting)
        got = ncfast.measure(features, labels, head, sample_weights=weights * factor, weighting=weighting)
        for key, value in want.items():
            assert_close(got[key], value, 1e-5, 1e-9, key)
        stats = accumulate(features, labels, weights * factor, 6, scatter="class")
        for key, value in ncfast.measure_statistics(stats, head, weighting=weighting).items():
            assert_close(value, want[key], 1e-5, 1e-9, key)


@pytest.mark.filterwarnings("ignore:class . has no spread:RuntimeWarning")
@given(problems(), weightings, st.sampled_from(["projection", "scatter"]), st.data())
@settings(max_examples=25)
def test_integer_weights_repeat_samples(problem, weighting, method, data):
    features, labels, head, bias, rng = problem
    times = rng.integers(0, 4, len(labels))
    if len(set(labels[times > 0])) < 2:
        times[:] = 2
    if weighting == "class":
        method = "projection"
    repeated = np.repeat(np.arange(len(labels)), times)
    options = {"weighting": weighting, "method": method, "num_classes": len(head), "metrics": "all"}
    got = ncfast.measure(features, labels, head, bias, sample_weights=times.astype(data.draw(dtypes)), **options)
    want = ncfast.measure(features[repeated], labels[repeated], head, bias, **options)
    finite = {key: value for key, value in want.items() if np.isfinite(value)}
    assert_same({key: got[key] for key in finite}, finite)
    assert got.missing_classes == want.missing_classes


dtypes = st.sampled_from([np.int64, np.uint8, np.float32, np.float64])


@given(problems(), weightings)
@settings(max_examples=20)
def test_unit_weights_change_nothing(problem, weighting):
    features, labels, head, bias, _ = problem
    want = ncfast.measure(features, labels, head, bias, weighting=weighting).to_dict()
    ones = np.ones(len(labels))
    assert_same(ncfast.measure(features, labels, head, bias, weighting=weighting, sample_weights=ones).to_dict(), want)


@given(st.integers(0, 2**32 - 1), st.sampled_from([True, False, "class"]), st.data())
@settings(max_examples=40)
def test_merging_in_any_tree_is_one_pass(seed, scatter, data):
    """Some shards with weights, some without; some classes in one shard alone."""
    rng = np.random.default_rng(seed)
    features, labels = make_features(60, 4, 5, 1e-3, 10, np.float64, rng)
    owner = np.where(labels == 0, 0, rng.integers(0, 4, 60))
    weights = np.where(owner % 2 == 0, 1.0, make_weights(60, rng))
    parts = []
    for shard in range(4):
        mine = owner == shard
        acc = ncfast.Accumulator(5, 4, scatter=scatter)
        acc.update(features[mine], labels[mine], weights[mine] if shard % 2 else None)
        parts.append(acc.statistics())
    while len(parts) > 1:
        left = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        right = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        parts.append(left.merge(right))
    assert_statistics(parts[0], ref.two_pass(features, labels, weights), 1e-10, scatter=bool(scatter))


def test_decisions_count_weights(rng):
    features, labels = make_features(400, 6, 5, 1.5, 2, np.float64, rng)
    weights = make_weights(400, rng)
    head, bias = rng.standard_normal((5, 6)), rng.standard_normal(5)
    m = ref.two_pass(features, labels, weights)
    nearest = ref.nearest(features, m)
    logits = features @ head.T + bias
    report = ncfast.measure(features, labels, head, bias, sample_weights=weights)
    assert_close(report["ncc_accuracy"], ref.share(nearest == labels, weights), 1e-13)
    assert_close(report["nc4_disagreement"], ref.share(nearest != logits.argmax(axis=1), weights), 1e-13)
    assert 0.1 < report["ncc_accuracy"] < 0.9


def test_rows_of_weight_zero_may_hold_anything(rng):
    features, labels = make_features(90, 5, 3, 0.5, 1, np.float32, rng)
    weights = make_weights(90, rng, zeros=0.0)
    features[::9], weights[::9] = np.nan, 0
    kept = weights > 0
    for scatter in (True, False, "class"):
        for nonfinite in ("raise", "skip"):
            got = accumulate(features, labels, weights, 3, scatter=scatter, nonfinite=nonfinite)
            want = accumulate(features[kept], labels[kept], weights[kept], 3, scatter=scatter)
            np.testing.assert_allclose(got.means, want.means, rtol=1e-14)
            assert got.num_rows == kept.sum()
    report = ncfast.measure(features, labels, sample_weights=weights, nonfinite="skip")
    assert report.skipped_rows == 0
    features[1] = np.inf
    report = ncfast.measure(features, labels, sample_weights=weights, nonfinite="skip")
    assert report.skipped_rows == 1
    with pytest.raises(ValueError, match="row 1;"):
        ncfast.measure(features, labels, sample_weights=weights)


def test_a_class_of_weight_zero_is_missing(rng):
    features, labels = make_features(90, 5, 4, 0.5, 1, np.float32, rng)
    weights = np.where(labels == 2, 0.0, 1.5)
    assert ncfast.measure(features, labels, sample_weights=weights).missing_classes == (2,)
    with pytest.raises(ValueError, match="two classes"):
        ncfast.measure(features, labels, sample_weights=weights * (labels == 1))
    with pytest.raises(ValueError, match="two classes"):
        ncfast.measure(features, labels, sample_weights=weights * 0)


def test_weights_of_any_kind_of_array(rng):
    import ml_dtypes
    import torch

    features, labels = make_features(90, 5, 4, 0.5, 1, np.float32, rng)
    weights = rng.integers(0, 5, 90)
    want = state_of(features, labels, weights.astype(np.float64))
    assert want == state_of(features, labels, weights.tolist())
    assert want == state_of(features, labels, weights.astype(ml_dtypes.bfloat16))
    assert want == state_of(features, labels, torch.from_numpy(weights).bfloat16().requires_grad_())
    assert want == state_of(features, labels, np.repeat(weights, 2)[::2].astype(">f4"))


def state_of(features, labels, weights):
    acc = ncfast.Accumulator(4, 5)
    acc.update(features, labels, weights)
    return state(acc)


BAD = [
    ([1.0, -0.5] + [1.0] * 10, ValueError, "sample_weights holds -0.5 at row 1"),
    ([1.0, np.nan] + [1.0] * 10, ValueError, "sample_weights holds nan at row 1"),
    ([np.inf] + [1.0] * 11, ValueError, "sample_weights holds inf at row 0"),
    ([1e-300] + [1.0] * 11, ValueError, "sample_weights holds 1e-300 at row 0"),
    ([1.0] * 11, ValueError, r"sample_weights has shape \(11,\); wanted \(12,\)"),
    (1.0, ValueError, r"sample_weights has shape \(\)"),
    ([[1.0]] * 12, ValueError, r"sample_weights has shape \(12, 1\)"),
    ([True] * 12, TypeError, "sample_weights has dtype bool"),
    (["1"] * 12, TypeError, "sample_weights has dtype"),
    ([1j] * 12, TypeError, "sample_weights has dtype complex"),
]


@pytest.mark.parametrize(("weights", "kind", "words"), BAD)
@pytest.mark.parametrize("scatter", [True, False, "class"])
def test_bad_weights_change_nothing(weights, kind, words, scatter, rng):
    features, labels = rng.standard_normal((12, 4)).astype(np.float32), np.arange(12) % 3
    acc = ncfast.Accumulator(3, 4, scatter=scatter)
    for weighted in (None, np.ones(12)):
        before = state(acc)
        with pytest.raises(kind, match=words):
            acc.update(features, labels, weights)
        assert state(acc) == before
        acc.update(features, labels, weighted)
    with pytest.raises(kind, match=words):
        ncfast.measure(features, labels, sample_weights=weights)


@pytest.mark.parametrize("scatter", [True, False, "class"])
def test_a_failed_weighted_update_leaves_the_state(scatter, rng):
    """The late bad row of a large update, and what leaves float64 only once it is weighted."""
    features, labels = rng.standard_normal((30_000, 4)).astype(np.float32), rng.integers(0, 3, 30_000)
    acc = ncfast.Accumulator(3, 4, scatter=scatter)
    acc.update(features[:50], labels[:50])
    before = state(acc)
    features[29_998, 1] = np.nan
    with pytest.raises(ValueError, match="row 29998"):
        acc.update(features, labels, np.full(30_000, 0.5))
    assert state(acc) == before
    large = np.full((3000, 4), 1e140)
    with pytest.raises(ValueError, match="range of float64"):
        acc.update(large, labels[:3000], np.full(3000, 1e60))
    assert state(acc) == before
    acc.update(large, labels[:3000], np.full(3000, 1e-60))
    assert np.isfinite(acc.statistics().squared_deviations).all()


def test_same_bits_for_any_number_of_threads(rng):
    """Classes of several runs of rows; threads that share a class's scatter, and that take one each."""
    features, labels = make_features(4000, 120, 5, 1e-2, 10, np.float32, rng)
    weights, head = make_weights(4000, rng), rng.standard_normal((5, 120))

    def everything():
        for scatter in (True, "class"):
            for precision in ("feature", "double"):
                acc = ncfast.Accumulator(5, 120, scatter=scatter, precision=precision)
                acc.update(features[:3500], labels[:3500], weights[:3500])
                acc.update(features[3500:], labels[3500:])
                yield state(acc)
                yield acc.statistics().merge(acc.statistics()).scatter.tobytes()
        yield list(ncfast.measure(features, labels, head, sample_weights=weights, method="projection").values())

    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        try:
            seen = []
            for threads in (1, 2, 3, 4):
                ncfast.set_num_threads(threads)
                seen.append(list(everything()))
        finally:
            ncfast.set_num_threads(None)
    assert all(out == seen[0] for out in seen)
