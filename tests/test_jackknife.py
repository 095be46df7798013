"""Standard errors over classes, against measuring without each class."""

from __future__ import annotations

import numpy as np
import pytest

import ncfast
import reference as ref
import reference_catalogue as cat
from compare import accumulate, assert_close
from data import make_features

KEYS = ("nc1_pinv", "nc1_trace_ratio", "cdnv", "nc2_equinorm_means", "nc2_equinorm_weights")
ON_REQUEST = ("nc1_svd_ratio", "vci")
SHAPES = [(300, 12, 5), (400, 6, 12), (300, 30, 3), (400, 8, 9), (260, 40, 25)]


def values(features, labels, weights, weighting):
    m = ref.two_pass(features, labels)
    return {
        "nc1_pinv": ref.nc1_pinv(m, weighting),
        "nc1_trace_ratio": ref.nc1_trace_ratio(m, weighting),
        "cdnv": ref.cdnv(m),
        "nc2_equinorm_means": ref.equinorm(ref.centred_means(m, weighting)),
        "nc2_equinorm_weights": ref.equinorm(weights[m.classes]),
        "nc1_svd_ratio": cat.nc1_svd_ratio(m, weighting),
        "vci": cat.vci(m, weighting),
    }


def brute_force(features, labels, weights, weighting="papyan"):
    """The textbook jackknife: measure again without each class."""
    classes = np.unique(labels)
    without = [values(features[labels != c], labels[labels != c], weights, weighting) for c in classes]
    factor = (len(classes) - 1) / len(classes)
    return {
        key: float(np.sqrt(factor * sum((v[key] - np.mean([w[key] for w in without])) ** 2 for v in without)))
        for key in (*KEYS, *ON_REQUEST)
    }


@pytest.mark.parametrize("weighting", ["papyan", "class", "sample"])
@pytest.mark.parametrize("imbalance", [1, 5])
@pytest.mark.parametrize("shape", SHAPES)
def test_as_measuring_without_each_class(shape, imbalance, weighting, rng):
    n, d, k = shape
    features, labels = make_features(n, d, k, 0.4, 2, np.float64, rng, imbalance=imbalance)
    features[labels == 1] += 0.3 * rng.standard_normal((np.count_nonzero(labels == 1), d))
    weights = rng.standard_normal((k, d))
    keys = [*KEYS, *ON_REQUEST]
    report = ncfast.measure(features, labels, weights, weighting=weighting, errors=True, metrics=keys)
    want = brute_force(features, labels, weights, weighting)
    assert report.errors.keys() == want.keys()
    assert set(ncfast.measure(features, labels, weights, weighting=weighting, errors=True).errors) == set(KEYS)
    for key, value in want.items():
        assert_close(report.errors[key], value, 1e-8, 1e-15, what=key)


@pytest.mark.parametrize("shape", SHAPES)
def test_pooled_scatter_and_classes_of_one_shape(shape, rng):
    """Without scatters by class, exact if classes differ in the amount of spread alone."""
    _, d, k = shape
    noise = rng.standard_normal((30, d))
    noise -= noise.mean(axis=0)
    amounts, means = rng.uniform(0.1, 2, k), rng.standard_normal((k, d))
    features = (means[:, None, :] + amounts[:, None, None] * noise).reshape(-1, d)
    labels = np.repeat(np.arange(k), 30)
    report = ncfast.measure_statistics(
        accumulate(features, labels, k), means, errors=True, metrics=[*KEYS, *ON_REQUEST]
    )
    want = brute_force(features, labels, means)
    for key in want:
        assert_close(report.errors[key], want[key], 1e-8, 1e-15, what=key)


def test_pooled_scatter_of_classes_alike(rng):
    """Samples of one distribution: close to exact."""
    features, labels = make_features(5000, 12, 8, 0.5, 1, np.float64, rng)
    report = ncfast.measure_statistics(accumulate(features, labels, 8), errors=True)
    want = brute_force(features, labels, rng.standard_normal((8, 12)))
    assert_close(report.errors["nc1_pinv"], want["nc1_pinv"], 0.1)


def test_missing_classes_do_not_count(rng):
    features, labels = make_features(400, 12, 7, 0.4, 1, np.float64, rng, missing=[0, 4])
    weights = rng.standard_normal((7, 12))
    report = ncfast.measure(features, labels, weights, errors=True, metrics=[*KEYS, *ON_REQUEST])
    for key, value in brute_force(features, labels, weights).items():
        assert_close(report.errors[key], value, 1e-8, 1e-15, what=key)


def test_in_deep_collapse(rng):
    features, labels = make_features(3000, 24, 6, 1e-6, 0, np.float32, rng)
    report = ncfast.measure(features, labels, errors=True)
    want = brute_force(features, labels, rng.standard_normal((6, 24)))
    for key in ("nc1_pinv", "nc1_trace_ratio", "cdnv", "nc2_equinorm_means"):
        assert_close(report.errors[key], want[key], 1e-4, what=key)


@pytest.mark.parametrize("scale", [1e-120, 1e120])
def test_at_any_scale(scale, rng):
    features, labels = make_features(300, 12, 5, 0.4, 1, np.float64, rng)
    weights = rng.standard_normal((5, 12))
    want = ncfast.measure(features, labels, weights, errors=True).errors
    got = ncfast.measure(features * scale, labels, weights * scale, errors=True).errors
    assert got.keys() == want.keys()
    for key, value in want.items():
        assert_close(got[key], value, 1e-9, what=key)


def test_errors_are_asked_for_and_shown(rng):
    features, labels = make_features(300, 12, 5, 0.4, 1, np.float64, rng)
    assert ncfast.measure(features, labels).errors == {}
    report = ncfast.measure(features, labels, errors=True, metrics=["cdnv", "nc2_etf_means"])
    assert set(report.errors) == {"cdnv"}
    assert f"± {report.errors['cdnv']:.2g}" in str(report)
    assert f"± {report.errors['cdnv']:.2g}" in report._repr_html_()
    assert report.to_frame()["cdnv_error"].iloc[0] == report.errors["cdnv"]


def test_two_classes_have_none(rng):
    features, labels = make_features(60, 5, 2, 0.4, 1, np.float64, rng)
    assert ncfast.measure(features, labels, errors=True).errors == {}
