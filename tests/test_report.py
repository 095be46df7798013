"""The report: its keys, its values and what else it tells."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch

import ncfast
import reference_report as refrep
from compare import assert_close
from data import make_features
from reference_report import MEANS_KEYS, WEIGHT_KEYS

N, D, K = 300, 12, 5
FEATURE_KEYS = {*MEANS_KEYS, "ncc_accuracy"}
ALL_KEYS = {*FEATURE_KEYS, *WEIGHT_KEYS, "nc4_disagreement"}


@pytest.fixture
def problem(rng):
    features, labels = make_features(N, D, K, 0.8, 1, np.float32, rng, imbalance=4)
    weights = rng.standard_normal((K, D)).astype(np.float32)
    return features, labels, weights, rng.standard_normal(K).astype(np.float32)


@pytest.fixture
def report(problem):
    return ncfast.measure(*problem)


def statistics(problem, **options):
    acc = ncfast.Accumulator(K, D, **options)
    acc.update(problem[0], problem[1])
    return acc.statistics()


def test_keys(problem, report):
    assert set(report) == ALL_KEYS
    assert set(ncfast.measure(*problem[:2])) == FEATURE_KEYS
    without = ALL_KEYS - {"nc4_disagreement", "ncc_accuracy"}
    stats = statistics(problem)
    assert set(ncfast.measure_statistics(stats, *problem[2:])) == without
    assert set(ncfast.measure_statistics(stats)) == set(MEANS_KEYS)
    bare = statistics(problem, scatter=False)
    assert set(ncfast.measure_statistics(bare)) == set(MEANS_KEYS) - {"nc1_pinv"}


@pytest.mark.parametrize("weighting", ["papyan", "class", "sample"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((N, D, K), {"imbalance": 4}),
        ((400, 10, 24), {}),
        ((400, 20, 21), {}),
        ((300, 12, 8), {"missing": [0, 5], "singleton": [3]}),
        ((100, 3, 2), {}),
    ],
)
def test_every_value(shape, options, dtype, weighting, rng):
    n, d, k = shape
    features, labels = make_features(n, d, k, 0.8, 1, dtype, rng, **options)
    weights, bias = rng.standard_normal((k, d)).astype(dtype), rng.standard_normal(k)
    bias[options.get("missing", [])] = -1e9  # a class without samples is not chosen either
    report = ncfast.measure(features, labels, weights, bias, weighting=weighting)
    want = refrep.report(features, labels, weights, bias, weighting)
    assert set(report) == set(want)
    rtol = 1e-5 if dtype == np.float32 else 1e-10
    for key, value in want.items():
        assert_close(report[key], value, rtol, 1e-12, what=key)


@pytest.mark.parametrize("kind", ["list", "int", "float16", "ml_dtypes", "torch", "torch_bfloat16"])
def test_weights_and_bias_of_any_kind(kind, problem):
    features, labels, weights, bias = problem
    weights, bias = np.round(weights * 8), np.round(bias * 8)  # the same numbers in every type
    given = {
        "list": lambda a: a.tolist(),
        "int": lambda a: a.astype(np.int32),
        "float16": lambda a: a.astype(np.float16),
        "ml_dtypes": lambda a: a.astype(ml_dtypes.bfloat16),
        "torch": lambda a: torch.from_numpy(a).requires_grad_(),
        "torch_bfloat16": lambda a: torch.from_numpy(a).bfloat16(),
    }[kind]
    want = ncfast.measure(features, labels, weights, bias).to_dict()
    assert ncfast.measure(features, labels, given(weights), given(bias)).to_dict() == want


@pytest.mark.parametrize("weighting", ["papyan", "class", "sample"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_attributes(problem, dtype, weighting):
    features, labels, weights, bias = problem
    report = ncfast.measure(features.astype(dtype), labels, weights, bias, weighting=weighting)
    assert (report.num_samples, report.num_features, report.num_classes) == (N, D, K)
    assert report.missing_classes == ()
    assert report.skipped_rows == 0
    assert report.feature_dtype == dtype
    assert report.weighting == weighting


def test_missing_classes_are_reported(problem):
    features, labels, _, _ = problem
    report = ncfast.measure(features, labels * 2, num_classes=2 * K + 3)
    assert report.missing_classes == (1, 3, 5, 7, 9, 10, 11, 12)
    assert report.num_classes == 2 * K + 3
    assert "1, 3, 5, 7" in str(report)


def test_skipped_rows_are_reported(problem):
    features, labels, weights, bias = problem
    broken = features.copy()
    broken[[3, 77, 200], [0, 5, 11]] = np.nan, np.inf, -np.inf
    report = ncfast.measure(broken, labels, weights, bias, nonfinite="skip")
    keep = np.isfinite(broken).all(axis=1)
    assert report.skipped_rows == 3
    assert report.num_samples == N - 3
    assert "3" in str(report)
    want = refrep.report(features[keep], labels[keep], weights, bias)
    for key, value in want.items():
        assert_close(report[key], value, 1e-5, 1e-12, what=key)


def test_default_number_of_classes(problem):
    features, labels, weights, _ = problem
    assert ncfast.measure(features, labels).num_classes == K
    few = labels < 3
    assert ncfast.measure(features[few], labels[few]).num_classes == 3
    report = ncfast.measure(features[few], labels[few], weights)
    assert report.num_classes == K
    assert report.missing_classes == (3, 4)


def test_plan_tells_how(problem, report):
    assert isinstance(report.plan, tuple)
    assert report.plan
    assert all(isinstance(line, str) and line for line in report.plan)
    by_projection = ncfast.measure(*problem, method="projection").plan
    by_scatter = ncfast.measure(*problem, method="scatter").plan
    assert by_projection != by_scatter
    assert "projection" in " ".join(by_projection)
    assert "scatter" in " ".join(by_scatter)


def test_spectra(problem, report):
    features, labels, weights, _ = problem
    means = np.stack([features[labels == k].astype(float).mean(axis=0) for k in range(K)])
    want = np.linalg.svd(means - means.mean(axis=0), compute_uv=False)
    assert set(report.spectra) == {"means", "weights"}
    np.testing.assert_allclose(report.spectra["means"], want, rtol=1e-5, atol=1e-12)
    want = np.linalg.svd(weights.astype(float), compute_uv=False)
    np.testing.assert_allclose(report.spectra["weights"], want, rtol=1e-12)
    assert set(ncfast.measure(features, labels).spectra) == {"means"}


def test_progress_is_called_up_to_the_end(rng):
    features, labels = make_features(20_000, 8, 4, 0.5, 1, np.float32, rng)
    calls = []
    ncfast.measure(features, labels, progress=lambda done, total: calls.append((done, total)))
    assert calls
    assert calls[-1][0] == calls[-1][1]
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert len({total for _, total in calls}) == 1


def test_an_error_in_progress_reaches_the_caller(rng):
    features, labels = make_features(20_000, 8, 4, 0.5, 1, np.float32, rng)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ncfast.measure(features, labels, progress=stop)
