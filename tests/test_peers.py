"""Inputs on which other codes go wrong: each is answered rightly here, or refused with a reason.

RW is the package neural_collapse (R. Wu), NT nc-toolbox, KW kowalski, TD and JX the validation scripts of Zhu et al.
and Zhou et al., PN the notebook of Papyan et al.
"""

from __future__ import annotations

import hashlib
import re
import tracemalloc

import numpy as np
import pytest

import ncfast
import reference as ref
import reference_peers as peers
import reference_report as refrep
from compare import accumulate, assert_close, assert_statistics, assert_variability, degenerate, variability
from data import make_features
from ncfast import metrics

K = 10


def measured_peak(run):
    """Megabytes that Python and numpy allocate at most while `run` runs."""
    tracemalloc.start()
    try:
        result = run()
        return tracemalloc.get_traced_memory()[1] / 2**20, result
    finally:
        tracemalloc.stop()


def test_rw_1_global_mean_of_all_samples(rng):
    """``compute(weighted=True)`` fails: no mean of all samples, which unequal classes need."""
    features, labels = make_features(900, 12, K, 0.5, 2, np.float64, rng, imbalance=20)
    m = ref.two_pass(features, labels)
    report = ncfast.measure(features, labels, weighting="sample")
    assert_variability(report, variability(m, "sample"), 1e-10, "weighting sample")
    gap = ncfast.measure(features, labels)["nc1_trace_ratio"] / report["nc1_trace_ratio"]
    assert abs(gap - 1) > 1e-3  # the other mean is another number


@pytest.mark.parametrize("size", [1, 32])
def test_rw_2_batch_of_one_sample(size, rng):
    """The last batch holds one row: an IndexError there."""
    features, labels = make_features(129, 8, 4, 0.5, 1, np.float32, rng)
    assert 129 % 32 == 1
    assert_statistics(accumulate(features, labels, 4, size), features, labels, 4, 1e-5)


def test_rw_3_absent_class(rng):
    """K declared as 11: a class at the origin enters every number there."""
    features, labels = make_features(2000, 32, K, 0.3, 1, np.float64, rng)
    want, report = ncfast.measure(features, labels), ncfast.measure(features, labels, num_classes=K + 1)
    for key, value in want.items():
        assert_close(report[key], value, 1e-12, 1e-13, what=key)
    assert report.missing_classes == (K,)
    assert "left out: 10" in str(report)


def test_rw_4_bias_of_the_classifier(rng):
    """The bias sends every sample to class 0: the two rules agree on one in ten, not on all."""
    features, labels = make_features(1000, 16, K, 0.01, 0, np.float32, rng)
    means = peers.class_means(features.astype(float), labels, K)
    bias = np.where(np.arange(K) == 0, 1e3, 0.0)
    assert ncfast.measure(features, labels, means, bias)["nc4_disagreement"] == 0.9
    disagreement = ncfast.measure(features, labels, means, bias, conventions="rhubarbwu")["nc4_disagreement"]
    assert disagreement == 0.9


def test_rw_5_covariance_of_some_classes(rng):
    """``compute(idxs)`` slices rows of the d x d matrix instead of choosing classes."""
    features, labels = make_features(600, 7, K, 0.5, 1, np.float64, rng)
    chosen = [1, 4, 8]
    stats = accumulate(features, labels, K, scatter="class").select(chosen)
    kept = np.isin(labels, chosen)
    assert stats.scatter.shape == (7, 7)
    assert_statistics(stats, features[kept], np.searchsorted(chosen, labels[kept]), 3, 1e-10)


@pytest.mark.parametrize("conventions", ["ncfast", "rhubarbwu", "papyan"])
def test_rw_6_more_classes_than_features(conventions, rng):
    """The svd metric, and PN's NC1, ask for K-1 singular vectors of a d x d matrix."""
    features, labels = make_features(4000, 12, 40, 0.5, 1, np.float64, rng)
    m = ref.two_pass(features, labels)
    report = ncfast.measure(features, labels, metrics=["nc1_pinv", "nc1_svd_ratio"], conventions=conventions)
    factor = 40 if conventions == "papyan" else 1
    assert_close(report["nc1_pinv"], factor * ref.nc1_pinv(m), 1e-10)
    if conventions == "rhubarbwu":
        assert_close(report["nc1_svd_ratio"], ref.nc1_pinv(m), 1e-10)


@pytest.mark.parametrize("label", [-1, -100])
def test_rw_7_negative_labels(label, rng):
    """-1 counts as the last class there, -100 is an IndexError without a row."""
    features, labels = make_features(200, 8, 4, 0.5, 1, np.float32, rng)
    labels[17] = label
    with pytest.raises(ValueError, match=rf"labels holds {label} at row 17"):
        ncfast.measure(features, labels, num_classes=4)
    with pytest.raises(ValueError, match=rf"labels holds {label} at row 17"):
        accumulate(features, labels, 4)


def test_rw_8_one_row_of_nan(rng):
    """One NaN makes every class mean NaN there."""
    features, labels = make_features(500, 8, K, 0.5, 1, np.float64, rng)
    broken = features.copy()
    broken[123, 4] = np.nan
    with pytest.raises(ValueError, match="row 123"):
        ncfast.measure(broken, labels)
    report = ncfast.measure(broken, labels, nonfinite="skip")
    keep = np.arange(500) != 123
    for key, value in refrep.report(features[keep], labels[keep]).items():
        assert_close(report[key], value, 1e-10, 1e-12, what=key)


def test_rw_9_pairs_in_float64(rng):
    """Grids over pairs are float32 there, whatever comes in."""
    features, labels = make_features(800, 24, K, 1e-3, 10, np.float64, rng)
    report = ncfast.measure(features, labels, metrics=["cdnv", "nc2_log_uniformity", "nc2_distance_uniformity"])
    assert_close(report["cdnv"], ref.cdnv(ref.two_pass(features, labels)), 1e-11)
    want = peers.rhubarbwu(features, labels, rng.standard_normal((K, 24)), features)
    assert_close(
        ncfast.measure(features, labels, metrics="nc2_distance_variance_means")["nc2_distance_variance_means"],
        want["nc2_distance_variance_means"],
        1e-10,
    )


def test_rw_10_no_matrix_of_samples_by_classes(rng):
    """Means through a one-hot product: N K d operations, and here 8 GB."""
    n, k = 20_000, 50_000
    labels = rng.integers(0, k, n)
    features = rng.standard_normal((n, 4)).astype(np.float32)
    peak, stats = measured_peak(lambda: accumulate(features, labels, k, scatter=False))
    assert peak < 64
    for c in labels[:20]:
        np.testing.assert_allclose(stats.means[c], features[labels == c].astype(float).mean(axis=0), rtol=1e-6)


def test_rw_11_no_hash_of_the_means(monkeypatch, rng):
    """Every batch hashes the K x d means there. One pass needs no means, so none can have changed."""
    monkeypatch.setattr(hashlib, "sha256", lambda *_: pytest.fail("hashed"))
    features, labels = make_features(300, 8, 4, 0.5, 1, np.float64, rng)
    stats = accumulate(features, labels, 4, 50)
    assert_close(metrics.nc1_pinv(stats), ref.nc1_pinv(ref.two_pass(features, labels)), 1e-10)


def test_rw_12_constant_features():
    """A dead network: NC1 is 0.11 there, noise over noise."""
    features, labels = np.full((500, 16), 0.1, dtype=np.float32), np.arange(500) % K
    with degenerate("coincide"):
        report = ncfast.measure(features, labels)
    assert np.isnan(report["nc1_pinv"])
    assert np.isnan(report["nc2_etf_means"])


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_rw_12_scales(scale, rng):
    """NaN, infinity and an exception there."""
    features, labels = make_features(500, 16, K, 0.1, 1, np.float32, rng)
    scaled = features * np.float32(scale)
    want = variability(ref.two_pass(scaled, labels))
    report = ncfast.measure(scaled, labels)
    assert_variability(report, want, 1e-5, f"scale {scale}")
    assert_close(report["nc2_etf_means"], ncfast.measure(features, labels)["nc2_etf_means"], 1e-5)


@pytest.mark.parametrize("offset", [0, 10])
def test_nt_rank_of_the_between_class_covariance(offset, rng):
    """A pseudo-inverse at numpy's default cut-off inverts rounding: 8.9e5 instead of 7.4e-6."""
    features, labels = make_features(5000, 256, K, 1e-2, offset, np.float32, rng)
    want = ref.nc1_pinv(ref.two_pass(features, labels))
    assert want < 1e-4
    for method in ("projection", "scatter"):
        assert_close(ncfast.measure(features, labels, method=method)["nc1_pinv"], want, 1e-5, what=method)


def test_nt_labels_with_gaps_and_a_class_of_one_sample(rng):
    """Labels must be 0 to C-1 there, and a class of one sample makes CDNV NaN."""
    features, labels = make_features(300, 8, 6, 0.5, 1, np.float64, rng, singleton=[2])
    report = ncfast.measure(features, labels * 3)
    assert_close(report["cdnv"], ref.cdnv(ref.two_pass(features, labels)), 1e-10)
    assert report.missing_classes == tuple(c for c in range(16) if c % 3)


def test_nt_duality_of_each_class_with_itself(rng):
    """UNC3 takes the cosines of w_k with the means of other classes there."""
    features, labels = make_features(300, 12, 5, 0.1, 1, np.float64, rng)
    means = peers.class_means(features, labels, 5)
    report = ncfast.measure(features, labels, means - means.mean(axis=0))
    assert_close(report["unc3_mean"], 1.0, 1e-12)
    assert report["unc3_variance"] < 1e-24


@pytest.mark.parametrize("spread", [1e-2, 1e-4, 1e-6])
def test_kw_between_is_not_total(spread, rng):
    """The scatter of all samples about the global mean stands for S_B there."""
    features, labels = make_features(3000, 64, K, spread, 0, np.float32, rng)
    want = ref.nc1_pinv(ref.two_pass(features, labels))
    assert_close(ncfast.measure(features, labels)["nc1_pinv"], want, 1e-5)


def test_kw_jx_pn_no_outer_product_per_sample(rng):
    """A (batch, d, d) tensor: 4 GB here for a thousand rows."""
    features, labels = make_features(1000, 1024, K, 0.1, 1, np.float32, rng)
    for method in ("projection", "scatter"):
        peak, report = measured_peak(lambda method=method: ncfast.measure(features, labels, method=method))
        assert peak < 80, method
        assert_close(report["nc1_pinv"], ref.nc1_pinv(ref.two_pass(features, labels)), 1e-5, what=method)


def test_td_counts_of_any_data_set(rng):
    """Sums are divided by the counts of MNIST or CIFAR10 there, or not at all."""
    features, labels = make_features(777, 12, 7, 0.5, 1, np.float64, rng, imbalance=3)
    assert_variability(ncfast.measure(features, labels), variability(ref.two_pass(features, labels)), 1e-10, "777")


@pytest.mark.parametrize("offset", [0, 10, 100])
@pytest.mark.parametrize("spread", [1e-2, 1e-4, 1e-6])
def test_td_nc1_is_never_negative(spread, offset, rng):
    """Deep collapse in float32: negative, or many times too large there."""
    features, labels = make_features(3000, 64, K, spread, offset, np.float32, rng)
    want = variability(ref.two_pass(features, labels))
    for method in ("projection", "scatter"):
        report = ncfast.measure(features, labels, method=method)
        assert report["nc1_pinv"] > 0
        assert_variability(report, want, 1e-5, method)


def test_jx_memory_does_not_grow_with_the_batch(rng):
    """A (1024, d, d) tensor per batch there."""
    features, labels = make_features(4096, 512, K, 0.1, 1, np.float32, rng)
    peaks = [measured_peak(lambda size=size: accumulate(features, labels, K, size))[0] for size in (64, 4096)]
    assert max(peaks) < 64


def test_pn_nc1_with_and_without_the_number_of_classes(rng):
    """K times what others report there: ours by name."""
    features, labels = make_features(500, 16, K, 0.1, 1, np.float64, rng)
    want = ref.nc1_pinv(ref.two_pass(features, labels))
    ours, theirs = ncfast.measure(features, labels), ncfast.measure(features, labels, conventions="papyan")
    assert_close(ours["nc1_pinv"], want, 1e-10)
    assert_close(theirs["nc1_pinv"], K * want, 1e-10)
    assert re.search(r"/ K", ours.conventions["nc1_pinv"])
    assert not re.search(r"/ K", theirs.conventions["nc1_pinv"])
