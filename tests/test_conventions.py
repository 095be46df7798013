"""The figures of other codes, by their own definitions."""

from __future__ import annotations

import numpy as np
import pytest

import ncfast
import reference_peers as peers
from compare import assert_close
from data import make_features

N, D, K = 600, 12, 5


@pytest.fixture(params=[1.0, 4.0], ids=["balanced", "imbalanced"])
def problem(request, rng):
    features, labels = make_features(N, D, K, 0.8, 1, np.float64, rng, imbalance=request.param)
    return features, labels, rng.standard_normal((K, D)), rng.standard_normal(K)


def assert_reproduced(report, want):
    assert want.keys() <= report.keys()
    for key, value in want.items():
        assert_close(report[key], value, 1e-9, 1e-13, what=key)


def test_papyan(problem):
    report = ncfast.measure(*problem, conventions="papyan")
    assert_reproduced(report, peers.papyan(*problem))
    assert report.conventions["name"] == "papyan"


def test_the_loss_split_of_papyan(rng):
    features, labels = make_features(N, D, K, 0.8, 1, np.float64, rng)
    problem = features, labels, rng.standard_normal((K, D)), rng.standard_normal(K)
    report = ncfast.measure(*problem, conventions="papyan", metrics="mse", weight_decay=2.5e-4)
    assert_reproduced(report, peers.papyan_loss(*problem, weight_decay=2.5e-4))


@pytest.mark.parametrize("method", ["projection", "scatter"])
def test_zhu(problem, method):
    report = ncfast.measure(*problem, conventions="zhu", method=method)
    assert_reproduced(report, peers.zhu(*problem))
    assert report.weighting == "zhu"


def test_zhu_centres_at_the_mean_of_all_samples(rng):
    features, labels = make_features(N, D, K, 0.8, 1, np.float64, rng, imbalance=4)
    zhu = ncfast.measure(features, labels, conventions="zhu")
    own = ncfast.measure(features, labels)
    assert abs(zhu["nc1_pinv"] / own["nc1_pinv"] - 1) > 1e-3
    means = peers.class_means(features, labels, K) - features.mean(axis=0)
    spread = np.trace(peers.within_covariance(features, labels, peers.class_means(features, labels, K)))
    assert_close(zhu["nc1_trace_ratio"], spread / ((means**2).sum() / K), 1e-10)
    values = np.linalg.svd(means, compute_uv=False)
    assert_close(zhu["means_stable_rank"], (values**2).sum() / values[0] ** 2, 1e-10)


def test_rhubarbwu(problem, rng):
    features, labels, weights, _ = problem
    outliers = rng.standard_normal((40, D)) + 0.3
    report = ncfast.measure(features, labels, weights, metrics="all", conventions="rhubarbwu", outliers=outliers)
    assert_reproduced(report, peers.rhubarbwu(features, labels, weights, outliers))


@pytest.mark.parametrize("name", ["ncfast", "papyan", "zhu", "rhubarbwu"])
def test_statistics_follow_conventions_too(name, problem):
    features, labels, weights, bias = problem
    accumulator = ncfast.Accumulator(K, D)
    accumulator.update(features, labels)
    want = ncfast.measure(features, labels, weights, bias, conventions=name, metrics="all")
    got = ncfast.measure_statistics(accumulator.statistics(), weights, bias, conventions=name, metrics="all")
    assert {"nc1_pinv", "vci", "nc3_self_duality"} <= got.keys() <= want.keys()
    for key, value in got.items():
        assert_close(value, want[key], 1e-10, 1e-13, what=key)
    assert got.conventions == want.conventions


def test_definitions_travel_with_the_report(problem):
    ours, theirs = ncfast.measure(*problem), ncfast.measure(*problem, conventions="papyan")
    assert ours.conventions["name"] == "ncfast"
    assert {key for key in ours.conventions if ours.conventions[key] != theirs.conventions[key]} == {
        "name",
        "nc1_pinv",
        "nc2_equinorm",
        "nc3_self_duality",
    }
    by_weighting = {
        ncfast.measure(*problem, weighting=weighting).conventions["weighting"]
        for weighting in ("papyan", "class", "sample")
    }
    assert len(by_weighting) == 3
    assert "conventions 'papyan'" in str(theirs)


def test_floors_and_errors_are_in_the_same_units(problem):
    features, labels, weights, bias = problem
    ours = ncfast.measure(features.astype(np.float32), labels, weights, bias, errors=True)
    theirs = ncfast.measure(features.astype(np.float32), labels, weights, bias, errors=True, conventions="papyan")
    assert_close(theirs.floors["nc1_pinv"], K * ours.floors["nc1_pinv"], 1e-12)
    # Leaving one out, the other four are divided by four.
    assert theirs.errors["nc1_pinv"] > 3 * ours.errors["nc1_pinv"]


def test_refused(problem):
    with pytest.raises(ValueError, match="conventions is 'han'; wanted one of 'ncfast', 'papyan', 'zhu', 'rhubarbwu'"):
        ncfast.measure(*problem, conventions="han")
    with pytest.raises(ValueError, match=r"weighting is 'sample'.*conventions='papyan'"):
        ncfast.measure(*problem, conventions="papyan", weighting="sample")
