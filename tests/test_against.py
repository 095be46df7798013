"""Samples about the class means of others: test data about the means of training data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ncfast
import reference_weighted as ref
from compare import DOUBLE, SINGLE, accumulate, assert_close, degenerate
from data import make_labels
from strategies import assert_same, problems, weightings

SHAPES = {"few_classes": (300, 40, 8), "many_classes": (360, 10, 24)}


def make_sets(n, d, k, spread, offset, dtype, rng, *, missing=()):
    """Training and test samples of the same classes, whose means have moved by half the spread."""
    means = rng.standard_normal((k, d)) / np.sqrt(2 * d) + offset * rng.standard_normal(d) / np.sqrt(d)
    sets = []
    for moved, absent in ((0.0, ()), (0.5, missing)):
        labels = make_labels(n, k, rng, imbalance=4, missing=absent)
        noise = rng.standard_normal((n, d)) + moved * rng.standard_normal((k, d))[labels]
        sets.append(((means[labels] + spread / np.sqrt(d) * noise).astype(dtype), labels))
    return sets


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, SINGLE), (np.float64, DOUBLE)])
@pytest.mark.parametrize(("spread", "offset"), [(1, 0), (1e-2, 10), (1e-6, 10), (1e-4, 1000)])
@pytest.mark.parametrize("shape", SHAPES)
def test_deep_collapse_grid(shape, spread, offset, dtype, rtol, rng):
    n, d, k = SHAPES[shape]
    (train, train_labels), (test, labels) = make_sets(n, d, k, spread, offset, dtype, rng, missing=[2])
    stats = accumulate(train, train_labels, k, scatter=False)
    m = ref.two_pass(train, train_labels, np.ones(n))
    for weighting in ("papyan", "class", "sample"):
        for weights in (None, rng.integers(0, 3, n) * 0.7):
            report = ncfast.measure_against(stats, test, labels, weighting=weighting, sample_weights=weights)
            want = ref.against(test, labels, np.ones(n) if weights is None else weights, m, weighting)
            assert report.keys() == want.keys()
            for key, value in want.items():
                assert_close(report[key], value, rtol, what=f"{key}, {weighting}")
    assert report.missing_classes == (2,)


@given(problems(), weightings)
@settings(max_examples=30)
def test_against_oneself_is_plain_measuring(problem, weighting):
    features, labels, head, bias, _ = problem
    stats = accumulate(features, labels, len(head))
    got = ncfast.measure_against(stats, features, labels, head, bias, weighting=weighting).to_dict()
    want = ncfast.measure(features, labels, head, bias, weighting=weighting)
    assert got.pop("nc1_mean_shift") <= got.pop("nc1_mean_shift_max") <= 1e-12
    assert_same({**got, **conditions(want)}, {**{key: want[key] for key in got}, **conditions(want)})


def conditions(report):
    return {key: report[key] for key in ("means_condition_number", "weights_condition_number")}


def test_classifier_and_nearest_training_mean(rng):
    (train, train_labels), (test, labels) = make_sets(400, 8, 6, 1.5, 1, np.float64, rng)
    head, bias = rng.standard_normal((6, 8)), rng.standard_normal(6)
    stats = accumulate(train, train_labels, 6)
    nearest = ref.nearest(test, ref.two_pass(train, train_labels, np.ones(400)))
    report = ncfast.measure_against(stats, test, labels, head, bias)
    assert_close(report["nc4_disagreement"], np.mean(nearest != (test @ head.T + bias).argmax(axis=1)), 1e-13)
    assert 0.1 < report["ncc_accuracy"] < 0.95


def test_known_values():
    """Training means at 0 and 8; test samples 1 and 3 beside them."""
    stats = accumulate(np.array([[0.0], [8.0]]), np.array([0, 1]), 2)
    report = ncfast.measure_against(stats, np.array([[1.0], [3.0], [8.0], [3.0]]), np.array([0, 0, 1, 1]))
    spread = (1 + 9 + 0 + 25) / 4
    assert_close(report["nc1_trace_ratio"], spread / 16, 1e-14)
    assert_close(report["nc1_pinv"], spread / 16 / 2, 1e-14)
    assert_close(report["cdnv"], (5 + 12.5) / (2 * 64), 1e-14)
    assert_close(report["nc1_mean_shift"], np.sqrt((2**2 + 2.5**2) / 2 / 16), 1e-14)
    assert_close(report["nc1_mean_shift_max"], 2.5 / 4, 1e-14)
    assert report["ncc_accuracy"] == 0.75


def test_some_classes_under_their_own_labels(rng):
    (train, train_labels), (test, labels) = make_sets(300, 6, 5, 0.5, 1, np.float64, rng)
    chosen, head = [1, 0, 4], rng.standard_normal((5, 6))
    mine, kept = np.isin(train_labels, chosen), np.isin(labels, chosen)
    m = ref.two_pass(train[mine], train_labels[mine], np.ones(mine.sum()))
    want = ref.against(test[kept], labels[kept], np.ones(kept.sum()), m, "papyan")
    stats = accumulate(train, train_labels, 5)
    strange = np.where(kept, labels, 99)
    report = ncfast.measure_against(stats, test, strange, head, classes=chosen)
    selected = stats.select(chosen, scatter=False)
    alone = ncfast.measure_against(selected, test[kept], labels[kept], head[chosen])
    for key, value in want.items():
        assert_close(report[key], value, DOUBLE, what=key)
    assert_same(report.to_dict() | NO_FRAMES, alone.to_dict() | NO_FRAMES)
    assert report.classes == alone.classes == (1, 0, 4)
    with pytest.raises(ValueError, match=r"labels holds 99 at row \d+; wanted labels of reference"):
        ncfast.measure_against(selected, test, strange)
    with pytest.raises(ValueError, match="classes holds 7"):
        ncfast.measure_against(stats, test, labels, classes=[0, 7])


NO_FRAMES = {"means_condition_number": 1.0, "weights_condition_number": 1.0}


def test_degenerate_references(rng):
    same = np.ones((4, 3))
    stats = accumulate(same, np.arange(4) % 2, 2)
    with degenerate("class means coincide"):
        report = ncfast.measure_against(stats, rng.standard_normal((6, 3)), np.arange(6) % 2)
    assert [report[key] for key in ("nc1_pinv", "nc1_trace_ratio", "cdnv", "nc1_mean_shift")] == [np.inf] * 4
    with degenerate("class means of reference coincide"):
        report = ncfast.measure_against(stats, same, np.arange(4) % 2)
    assert np.isnan([report[key] for key in ("nc1_pinv", "nc1_trace_ratio", "nc1_mean_shift")]).all()
    one = ncfast.measure_against(accumulate(np.eye(4), np.arange(4), 4), np.eye(4)[:1], [0])
    assert "cdnv" not in one
    assert one.missing_classes == (1, 2, 3)
    assert one["nc1_pinv"] == 0


@settings(max_examples=10)
@given(st.sampled_from([1, 2, 3]))
def test_same_bits_for_any_number_of_threads(threads):
    import threadpoolctl

    rng = np.random.default_rng(4)
    (train, train_labels), (test, labels) = make_sets(3000, 70, 12, 1e-2, 10, np.float32, rng)
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        try:
            seen = []
            for number in (4, threads):
                ncfast.set_num_threads(number)
                stats = accumulate(train, train_labels, 12)
                seen.append(list(ncfast.measure_against(stats, test, labels, rng_head(), None).values()))
        finally:
            ncfast.set_num_threads(None)
    assert seen[0] == seen[1]


def rng_head():
    return np.random.default_rng(8).standard_normal((12, 70))


def test_bad_references(rng):
    features, labels = rng.standard_normal((12, 4)), np.arange(12) % 3
    stats = accumulate(features, labels, 3)
    with pytest.raises(TypeError, match="reference is a ndarray; wanted ClassStatistics"):
        ncfast.measure_against(features, features, labels)
    with pytest.raises(ValueError, match="features has 3 columns; wanted num_features = 4"):
        ncfast.measure_against(stats, features[:, :3], labels)
    with pytest.raises(ValueError, match=r"labels holds 3 at row 0; wanted integers in \[0, 3\)"):
        ncfast.measure_against(stats, features, labels + 3)
    with pytest.raises(ValueError, match="labels holds class 2, of which reference has no samples"):
        ncfast.measure_against(accumulate(features[:2], labels[:2], 3), features, labels)
    with pytest.raises(ValueError, match="two classes"):
        ncfast.measure_against(accumulate(features[:1], labels[:1], 3), features, labels)
    with pytest.raises(ValueError, match="weights has 2 rows; wanted 3"):
        ncfast.measure_against(stats, features, labels, rng.standard_normal((2, 4)))
    with pytest.raises(ValueError, match="at least one sample"):
        ncfast.measure_against(stats, features[:0], labels[:0])
    with pytest.raises(ValueError, match="no class of reference that counts"):
        ncfast.measure_against(stats, features, np.full(12, 7), classes=[0, 1])
    with pytest.raises(ValueError, match="weighting is"):
        ncfast.measure_against(stats, features, labels, weighting="none")
    with pytest.raises(TypeError, match="progress"):
        ncfast.measure_against(stats, features, labels, progress=3)
