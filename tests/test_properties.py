"""What must hold for any data, searched with hypothesis."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ncfast
import reference as ref
from compare import assert_close, assert_statistics
from strategies import assert_same, measured, problems, weightings


@given(problems(), st.sampled_from(["papyan", "sample"]))
def test_measure_is_accumulate_then_measure_statistics(problem, weighting):
    features, labels, weights, bias, rng = problem
    acc = ncfast.Accumulator(*weights.shape)
    cut = int(rng.integers(0, len(labels) + 1))
    acc.update(features[:cut], labels[:cut])
    acc.update(features[cut:], labels[cut:])
    got = ncfast.measure_statistics(acc.statistics(), weights, bias, weighting=weighting).to_dict()
    want = measured(features, labels, weights, bias, weighting)
    for key in ("ncc_accuracy", "nc4_disagreement"):
        del want[key]
    assert_same(got, want)


@given(problems(), weightings)
def test_values_stay_in_their_ranges(problem, weighting):
    values = measured(*problem[:4], weighting)
    k, d = problem[2].shape
    assert np.isfinite(list(values.values())).all()
    for key, value in values.items():
        if key != "unc3_mean":
            assert value >= 0, key
    for key in ("ncc_accuracy", "nc4_disagreement"):
        assert value_is_share(values[key], len(problem[1])), key
    assert -1 <= values["unc3_mean"] <= 1
    for key in values:
        if key.startswith(("nc2_etf", "nc2_of", "nc3")) and key != "nc3_bias_alignment":
            assert values[key] <= 2 + 1e-12, key
    for side in ("means", "weights"):
        rank = values[f"{side}_rank"]
        assert 1 <= values[f"{side}_stable_rank"] <= rank + 1e-9
        assert values[f"{side}_stable_rank"] <= values[f"{side}_effective_rank"] + 1e-9
        assert values[f"{side}_effective_rank"] <= rank + 1e-9
        assert rank <= min(k - (side == "means"), d)
        assert values[f"{side}_condition_number"] >= 1 - 1e-12


def value_is_share(value, n):
    return 0 <= value <= 1 and abs(value * n - round(value * n)) < 1e-9


@given(problems())
def test_within_and_between_add_up_to_total(problem):
    features, labels, weights, _, _ = problem
    acc = ncfast.Accumulator(*weights.shape)
    acc.update(features, labels)
    stats = acc.statistics()
    gaps = stats.means - features.mean(axis=0)
    between = (gaps * stats.counts[:, None]).T @ gaps
    total = ref.total_scatter(features)
    np.testing.assert_allclose(stats.scatter + between, total, rtol=0, atol=1e-12 * total.max())
    trace = np.trace(stats.scatter)
    assert stats.squared_deviations.sum() == pytest.approx(trace, rel=1e-12)


@st.composite
def small_rows(draw):
    """Rows of a few small integers: every sum is exact, so ties and repeats occur."""
    k, d = draw(st.integers(2, 4)), draw(st.integers(1, 4))
    row = st.lists(st.integers(-8, 8), min_size=d, max_size=d)
    pairs = draw(st.lists(st.tuples(row, st.integers(0, k - 1)), min_size=1, max_size=30))
    features = np.array([p[0] for p in pairs], dtype=np.float64)
    return features, np.array([p[1] for p in pairs]), k


@given(small_rows(), st.data())
def test_merging_in_any_tree_is_one_pass(rows, data):
    features, labels, k = rows
    shards = data.draw(st.integers(1, 6))
    owner = np.array(data.draw(st.lists(st.integers(0, shards - 1), min_size=len(labels), max_size=len(labels))))
    parts = []
    for shard in range(shards):
        acc = ncfast.Accumulator(k, features.shape[1])
        acc.update(features[owner == shard], labels[owner == shard])
        parts.append(acc.statistics())
    while len(parts) > 1:
        left = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        right = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        parts.append(left.merge(right))
    assert_integer_statistics(parts[0], features, labels, k)


@given(small_rows(), st.data())
def test_updating_in_any_pieces_is_one_pass(rows, data):
    features, labels, k = rows
    precision = data.draw(st.sampled_from(["feature", "double"]))
    acc = ncfast.Accumulator(k, features.shape[1], precision=precision)
    n = len(labels)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=6)))
    for start, stop in zip([0, *cuts], [*cuts, n], strict=True):
        dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
        acc.update(features[start:stop].astype(dtype), labels[start:stop])
    # Products of float32: relative to what is summed, which the trace bounds.
    rounding = 1e-6 * max(1.0, float((features**2).sum())) if precision == "feature" else 1e-12
    assert_integer_statistics(acc.statistics(), features, labels, k, rounding)


def assert_integer_statistics(stats, features, labels, k, rounding=1e-12):
    """Integers this small are held exactly; only a division by the count can round."""
    m = ref.two_pass(features, labels)
    counts = np.bincount(labels, minlength=k)
    np.testing.assert_array_equal(stats.counts, counts)
    np.testing.assert_allclose(stats.means[m.classes], m.means.astype(float), rtol=0, atol=1e-14)
    got = stats.squared_deviations[m.classes]
    np.testing.assert_allclose(got, ref.squared_deviations(m), rtol=0, atol=1e-12)
    assert (stats.squared_deviations >= 0).all()
    np.testing.assert_allclose(stats.scatter, ref.scatter(m), rtol=0, atol=rounding)


@given(small_rows())
def test_report_of_ties_and_repeats_is_strict_json(rows):
    """Whatever coincides, there is one report or one error, and never a crash."""
    features, labels, k = rows
    if len(set(labels.tolist())) < 2:
        with pytest.raises(ValueError, match="class"):
            ncfast.measure(features, labels, num_classes=k)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        report = ncfast.measure(features, labels, num_classes=k)
    json.loads(report.to_json(), parse_constant=lambda name: pytest.fail(name))
    m = ref.two_pass(features, labels)
    assert_close(report["cdnv"], np.inf if coincide(m) else ref.cdnv(m), 1e-10, 1e-14)
    if m.deviations.any() or len(np.unique(m.means, axis=0)) > 1:
        assert report["nc1_trace_ratio"] >= 0
        assert report["nc1_pinv"] >= 0
    else:
        assert np.isnan(report["nc1_trace_ratio"])  # no spread over no distance
    assert report.missing_classes == tuple(sorted(set(range(k)) - set(labels.tolist())))


def coincide(m):
    """Whether two class means are the same, from exact integer sums."""
    sums = m.means * m.counts[:, None]
    keys = {tuple(np.round(row * 27720) for row in (s / n).astype(float)) for s, n in zip(sums, m.counts, strict=True)}
    return len(keys) < m.num_classes


@given(problems())
def test_statistics_of_float32_features(problem):
    features, labels, weights, _, _ = problem
    narrow = features.astype(np.float32)
    acc = ncfast.Accumulator(*weights.shape)
    acc.update(narrow, labels)
    assert_statistics(acc.statistics(), narrow, labels, len(weights), 1e-5)
