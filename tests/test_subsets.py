"""Some of the classes: statistics and reports of them, under their own names; and scatters by class."""

from __future__ import annotations

import numpy as np
import pytest

import ncfast
import reference as ref
import reference_weighted as wref
from compare import DOUBLE, SINGLE, accumulate, assert_close, assert_statistics, degenerate, frobenius_error
from data import make_features
from ncfast import metrics
from strategies import assert_same

N, D, K = 400, 9, 7
CHOSEN = [5, 0, 3]


@pytest.fixture
def case(rng):
    features, labels = make_features(N, D, K, 1e-3, 10, np.float64, rng, imbalance=10, missing=[3])
    return features, labels, rng.standard_normal((K, D)), rng.standard_normal(K)


def subset(features, labels, chosen):
    """The samples of the chosen classes, numbered anew."""
    kept = np.isin(labels, chosen)
    return features[kept], np.array([chosen.index(y) for y in labels[kept]])


@pytest.mark.parametrize("scatter", [False, "class"])
def test_selected_statistics_are_those_of_the_samples(case, scatter):
    features, labels = case[:2]
    stats = accumulate(features, labels, K, 50, scatter=scatter).select(CHOSEN)
    assert_statistics_of(stats, *subset(features, labels, CHOSEN), scatter=bool(scatter))
    assert stats.labels.tolist() == CHOSEN
    assert stats.missing_classes == (3,)
    again = stats.select([3, 5])
    assert again.labels.tolist() == [3, 5]
    np.testing.assert_array_equal(again.means[1], stats.means[0])


def assert_statistics_of(stats, features, labels, *, scatter):
    m = ref.two_pass(features, labels)
    np.testing.assert_array_equal(stats.counts, np.bincount(labels, minlength=3))
    np.testing.assert_allclose(stats.means[m.classes], m.means.astype(float), rtol=1e-14)
    np.testing.assert_allclose(stats.squared_deviations[m.classes], ref.squared_deviations(m), rtol=DOUBLE)
    if scatter:
        assert frobenius_error(stats.scatter, ref.scatter(m)) <= DOUBLE


def test_a_pooled_scatter_is_kept_only_whole(case):
    features, labels = case[:2]
    stats = accumulate(features, labels, K)
    with pytest.raises(ValueError, match="pooled scatter cannot be split by class"):
        stats.select(CHOSEN)
    assert stats.select(CHOSEN, scatter=False).pooled is None
    whole = [6, 5, 4, 2, 1, 0]  # class 3 has no samples
    assert frobenius_error(stats.select(whole).scatter, stats.scatter) <= DOUBLE


def test_selections_are_saved_and_merged_by_label(case, tmp_path):
    features, labels = case[:2]
    stats = accumulate(features, labels, K, scatter="class")
    part = stats.select(CHOSEN)
    part.save(tmp_path / "part.npz")
    loaded = ncfast.ClassStatistics.load(tmp_path / "part.npz")
    assert loaded.labels.tolist() == CHOSEN
    assert loaded.merge(part).labels.tolist() == CHOSEN
    np.testing.assert_array_equal(loaded.scatter, part.scatter)
    with pytest.raises(ValueError, match="label 0 at position 0; wanted 5"):
        part.merge(stats.select([0, 5, 3]))


@pytest.mark.parametrize("weighting", ["papyan", "class", "sample"])
@pytest.mark.parametrize("method", ["auto", "projection"])
def test_measuring_some_classes(case, weighting, method):
    features, labels, head, bias = case
    options = {"weighting": weighting, "method": method}
    got = ncfast.measure(features, labels, head, bias, classes=CHOSEN, **options)
    few, numbered = subset(features, labels, CHOSEN)
    want = ncfast.measure(few, numbered, head[CHOSEN], bias[CHOSEN], **options)
    assert_same(got.to_dict(), want.to_dict())
    assert got.num_samples == len(few)
    assert got.num_classes == 3
    assert got.classes == tuple(CHOSEN)
    assert got.missing_classes == (3,)
    stats = accumulate(features, labels, K, scatter="class").select(CHOSEN)
    from_stats = ncfast.measure_statistics(stats, head[CHOSEN], bias[CHOSEN], weighting=weighting)
    assert from_stats.classes == tuple(CHOSEN)
    assert_same(from_stats.to_dict(), {key: want[key] for key in from_stats})


def test_samples_of_other_classes_may_be_anything(case, rng):
    features, labels, head, _ = case
    want = ncfast.measure(features, labels, head, classes=[0, 4])
    strange = labels.copy()
    out = ~np.isin(labels, [0, 4])
    strange[out] = rng.choice([-1, -100, 255, K], out.sum())
    features = features.copy()
    features[np.flatnonzero(out)[0]] = np.nan
    got = ncfast.measure(features, strange, head, classes=[0, 4])
    assert_same(got.to_dict(), want.to_dict(), rtol=1e-12)
    assert got.skipped_rows == 0


def test_names_are_in_the_output(case):
    features, labels = case[:2]
    report = ncfast.measure(features, labels, classes=CHOSEN)
    assert "5, 0, 3" in str(report)
    assert '"classes": [' in report.to_json()
    assert ncfast.measure(features, labels, classes=[0, 1]).classes == (0, 1)
    assert ncfast.measure(features, labels).classes is None


BAD = [
    ([0, 1, 0], ValueError, "classes holds 0 more than once"),
    ([0, 7], ValueError, r"classes holds 7; wanted .*7"),
    ([0, -1], ValueError, "classes holds -1"),
    ([0], ValueError, "classes"),
    ([], (TypeError, ValueError), "classes"),
    ([0.0, 1.0], TypeError, "classes has dtype float64"),
    ([[0, 1]], ValueError, r"classes has shape \(1, 2\)"),
    ("01", TypeError, "classes"),
]


@pytest.mark.parametrize(("classes", "kind", "words"), BAD)
def test_bad_subsets(case, classes, kind, words):
    features, labels, head, bias = case
    with pytest.raises(kind, match=words):
        ncfast.measure(features, labels, head, bias, classes=classes)


def test_bad_selections(case):
    stats = accumulate(case[0], case[1], K, scatter=False)
    for classes, kind, words in BAD:
        if classes != [0]:
            with pytest.raises(kind, match=words.replace("wanted .*7", "wanted")):
                stats.select(classes)
    with pytest.raises(ValueError, match="classes holds 1;"):
        stats.select([0, 2]).select([1])


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, SINGLE), (np.float64, DOUBLE)])
@pytest.mark.parametrize(("spread", "offset"), [(1, 0), (1e-4, 10), (1e-6, 1000)])
@pytest.mark.parametrize("size", [1, 13, None])
def test_scatters_by_class(spread, offset, dtype, rtol, size, rng):
    features, labels = make_features(500, 20, 6, spread, offset, dtype, rng, imbalance=10, missing=[2], singleton=[4])
    stats = accumulate(features, labels, 6, size, scatter="class")
    assert_statistics(stats, features, labels, 6, rtol)
    m = wref.two_pass(features, labels, np.ones(500))
    for row, label in enumerate(m.classes):
        assert frobenius_error(stats.class_scatter(label), wref.class_scatter(m, row)) <= rtol
    assert not stats.class_scatter(2).any()
    with pytest.raises(ValueError, match="scatter='class'"):
        accumulate(features, labels, 6).class_scatter(0)


@pytest.mark.parametrize("size", [1, 100])
def test_scatters_by_class_survive_outliers(size, rng):
    """Pivots that prove far from their mean are moved, and each class's scatter with them."""
    features, labels = make_features(4000, 6, 4, 1e-4, 3, np.float32, rng)
    for k in range(4):
        features[np.flatnonzero(labels == k)[0]] += rng.standard_normal(6).astype(np.float32)
    stats = accumulate(features, labels, 4, size, scatter="class")
    assert_statistics(stats, features, labels, 4, SINGLE)
    m = wref.two_pass(features, labels, np.ones(4000))
    for k in range(4):
        assert frobenius_error(stats.class_scatter(k), wref.class_scatter(m, k)) <= SINGLE


@pytest.mark.parametrize("function", [metrics.nc1_svd_ratio, metrics.vci])
def test_class_weighting_from_scatters_by_class(function, rng):
    features, labels = make_features(300, 6, 4, 0.1, 1, np.float64, rng, imbalance=10)
    stats = accumulate(features, labels, 4, scatter="class")
    assert len(set(stats.counts)) > 1
    balanced = np.concatenate([np.repeat(features[labels == k], 1000, axis=0)[:: stats.counts[k]] for k in range(4)])
    even = accumulate(balanced, np.repeat(np.arange(4), 1000), 4)
    assert (even.counts == 1000).all()
    assert_close(function(stats, weighting="class"), function(even, weighting="class"), 2e-2)
    exact = stats.reweighted(1 / stats.counts)
    assert_close(function(stats, weighting="class"), function(exact, weighting="sample"), 1e-12)


def test_reweighting_is_what_weights_do(rng):
    features, labels = make_features(200, 5, 4, 0.1, 3, np.float64, rng, imbalance=5)
    factors = np.array([0.5, 2.0, 3.0, 0.25])
    m = wref.two_pass(features, labels, factors[labels])
    for scatter in (False, "class"):
        stats = accumulate(features, labels, 4, scatter=scatter).reweighted(factors)
        np.testing.assert_allclose(stats.counts, m.masses.astype(float))
        np.testing.assert_allclose(stats.means, m.means.astype(float))
        np.testing.assert_allclose(stats.squared_deviations, wref.squared_deviations(m))
        np.testing.assert_array_equal(stats.rows, np.bincount(labels))
    np.testing.assert_allclose(stats.scatter, wref.scatter(m), rtol=1e-9, atol=1e-12)
    pooled = accumulate(features, labels, 4)
    np.testing.assert_allclose(pooled.reweighted(np.full(4, 3.0)).scatter, 3 * pooled.scatter)
    with pytest.raises(ValueError, match="pooled scatter cannot be split"):
        pooled.reweighted(factors)
    for bad in ([1.0, 2.0], [1, 1, 1, 0], [1, 1, 1, -1], [1, 1, 1, np.nan]):
        with pytest.raises(ValueError, match="factors"):
            pooled.reweighted(bad)


def test_numerical_rank_from_scatters_by_class(rng):
    for dtype, precision, rtol in (
        (np.float64, "feature", 1e-6),
        (np.float32, "double", 1e-6),
        (np.float32, "feature", 1e-2),
    ):
        features, labels = make_features(300, 12, 5, 1e-3, 10, dtype, rng, imbalance=20, missing=[1])
        stats = accumulate(features, labels, 5, 70, scatter="class", precision=precision)
        got = metrics.class_numerical_rank_statistics(stats)
        want = metrics.class_numerical_rank(features, labels, 5)
        np.testing.assert_allclose(got, want, rtol=rtol)
        report = ncfast.measure_statistics(stats, metrics="class_rank_max")
        assert_close(report["class_rank_max"], np.nanmax(want), rtol)
    features[labels == 2] = features[labels == 2][0]
    with degenerate("class 2 has no spread (1 such)"):
        got = metrics.class_numerical_rank_statistics(accumulate(features, labels, 5, scatter="class"))
    assert np.isnan(got[[1, 2]]).all()
    assert (got[[0, 3, 4]] > 1).all()
    with pytest.raises(ValueError, match="scatter='class'"):
        metrics.class_numerical_rank_statistics(accumulate(features, labels, 5))


def test_memory_of_scatters_is_said():
    acc = ncfast.Accumulator(10, 20, scatter="class")
    assert acc.nbytes == 8 * (2 * 10 * 20 + 2 * 10 + 10 * 20 * 20)
    assert ncfast.Accumulator(10, 20).nbytes == 8 * (2 * 10 * 20 + 2 * 10 + 20 * 20)
    assert ncfast.Accumulator(10, 20, scatter=False).nbytes == 8 * (2 * 10 * 20 + 2 * 10)
    acc.update(np.ones((3, 20)), [0, 1, 2], [1, 2, 3])
    assert acc.nbytes == 8 * (2 * 10 * 20 + 3 * 10 + 10 * 20 * 20)
    with pytest.raises(ValueError, match=r"8 \* K \* d\^2 = 6,710,886,400,000 bytes"):
        ncfast.Accumulator(50_000, 4096, scatter="class")
    for scatter in ("pooled", 2, None):
        with pytest.raises(ValueError, match="scatter is"):
            ncfast.Accumulator(10, 20, scatter=scatter)
