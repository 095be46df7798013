"""The value that rounding the features alone would give, against rounding them."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest

import ncfast
import reference as ref
import reference_catalogue as cat
from compare import accumulate, assert_close
from data import make_features

SPREADS = ("nc1_pinv", "nc1_trace_ratio", "nc1_svd_ratio", "cdnv", "vci")
DTYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32}
UNITS = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24}
N, D, K = 6000, 40, 6


def collapsed(dtype, rng, *, offset=0.0, spread=6.0, n=N, d=D, k=K, imbalance=1.0):
    """Class means, samples that differ by many spacings of the dtype but by little of the means, and labels."""
    means, labels = make_features(n, d, k, 0.0, offset, np.float64, rng, imbalance=imbalance)
    size = np.sqrt(np.mean(means**2))
    return means, means + spread * UNITS[dtype] * size * rng.standard_normal((n, d)), labels


def oracle(features, labels, weighting="papyan"):
    m = ref.two_pass(features, labels)
    return {
        "nc1_pinv": ref.nc1_pinv(m, weighting),
        "nc1_trace_ratio": ref.nc1_trace_ratio(m, weighting),
        "nc1_svd_ratio": cat.nc1_svd_ratio(m, weighting),
        "cdnv": ref.cdnv(m),
        "vci": cat.vci(m, weighting),
    }


@pytest.mark.parametrize("shape", [(N, D, K), (900, 40, 60), (500, 200, 8)], ids=["usual", "K>d", "few samples"])
@pytest.mark.parametrize("offset", [0, 10])
@pytest.mark.parametrize("dtype", DTYPES)
def test_floor_is_what_rounding_gives(dtype, offset, shape, rng):
    """Only the rounding errors of the samples, on exact class means."""
    n, d, k = shape
    means, exact, labels = collapsed(dtype, rng, offset=offset, n=n, d=d, k=k)
    stored = exact.astype(DTYPES[dtype])
    want = oracle(means + (stored.astype(np.float64) - exact), labels)
    report = ncfast.measure(stored, labels, metrics=SPREADS)
    assert set(report.floors) == set(SPREADS)
    for key in SPREADS:
        assert 0.5 * want[key] <= report.floors[key] <= 2 * want[key], (key, report.floors[key], want[key])
    # Of so many samples, what is exact must be exact.
    if n == N:
        for key in ("nc1_pinv", "nc1_trace_ratio", "cdnv"):
            assert_close(report.floors[key], want[key], 0.15, what=key)


@pytest.mark.parametrize("weighting", ["papyan", "class", "sample"])
def test_weighting(weighting, rng):
    means, exact, labels = collapsed("float16", rng, imbalance=30)
    means[labels == K - 1] *= 8  # the rarest class, whose features are the largest
    exact[labels == K - 1] *= 8
    stored = exact.astype(np.float16)
    keys = SPREADS if weighting != "class" else ("nc1_pinv", "nc1_trace_ratio", "cdnv")
    report = ncfast.measure(stored, labels, metrics=keys, weighting=weighting)
    want = oracle(means + (stored.astype(np.float64) - exact), labels, weighting)
    for key in keys:
        assert 0.5 * want[key] <= report.floors[key] <= 2 * want[key], (key, report.floors[key], want[key])


@pytest.mark.parametrize("dtype", DTYPES)
def test_flag(dtype, rng):
    """A spread of a quarter of a spacing is rounding; one of a hundred is not."""
    for spread, at_floor in ((0.25, True), (100.0, False)):
        _, exact, labels = collapsed(dtype, rng, spread=spread)
        report = ncfast.measure(exact.astype(DTYPES[dtype]), labels, metrics=SPREADS)
        assert set(report.at_floor) == (set(SPREADS) if at_floor else set()), spread
        assert ("floor" in str(report)) == at_floor
        assert ("floor" in report._repr_html_()) == at_floor
        found = json.loads(report.to_json())
        assert found["floors"] == report.floors
        assert found["at_floor"] == list(report.at_floor)
        assert report.to_frame()["cdnv_floor"].iloc[0] == report.floors["cdnv"]


def test_what_a_common_offset_costs(rng):
    """At offset 100 and spread 2e-6, most of NC1 in float32 comes from the format."""
    exact, labels = make_features(20_000, 64, 10, 2e-6, 100, np.float64, rng)
    stored = exact.astype(np.float32)
    want = ref.nc1_pinv(ref.two_pass(exact, labels))
    report = ncfast.measure(stored, labels)
    added = report["nc1_pinv"] - want
    assert added > want
    assert 0.5 * added <= report.floors["nc1_pinv"] <= 2 * added
    assert "nc1_pinv" in report.at_floor
    assert "nc1_pinv" not in ncfast.measure(exact, labels).at_floor


def test_samples_that_all_round_alike(rng):
    """No spread is left: the value is 0, and says no more than the floor."""
    means, _, labels = collapsed("float32", rng)
    report = ncfast.measure(means.astype(np.float32), labels, metrics=SPREADS)
    assert {report[key] for key in SPREADS} == {0.0}
    assert all(report.floors[key] > 0 for key in SPREADS)
    assert set(report.at_floor) == set(SPREADS)


def test_cdnv_of_classes_that_differ(rng):
    """One class spread out, two means close together: each class's own distances count."""
    means, exact, labels = collapsed("float32", rng)
    shift = 0.98 * (means[labels == 1][0] - means[labels == 0][0])
    for part in (means, exact):
        part[labels == 0] += shift
    exact[labels == 5] += rng.standard_normal((np.count_nonzero(labels == 5), D)) * 1e-2
    stored = exact.astype(np.float32)
    report = ncfast.measure(stored, labels)
    want = ref.cdnv(ref.two_pass(means + (stored.astype(np.float64) - exact), labels))
    assert 0.5 * want <= report.floors["cdnv"] <= 2 * want


def test_nothing_is_known_of_mixed_dtypes(rng):
    _, exact, labels = collapsed("float32", rng)
    half = accumulate(exact[: N // 2].astype(np.float16), labels[: N // 2], K)
    single = accumulate(exact[N // 2 :].astype(np.float32), labels[N // 2 :], K)
    report = ncfast.measure_statistics(half.merge(single))
    assert (report.floors, report.at_floor) == ({}, ())
    assert ncfast.measure_statistics(single).floors


def test_only_what_is_finite_has_a_floor():
    features = np.concatenate([np.eye(3), -np.eye(3)])
    with pytest.warns(RuntimeWarning, match="coincide"):
        report = ncfast.measure(features, np.arange(6) % 3, metrics="nc1")
    assert not {"nc1_pinv", "cdnv"} & report.floors.keys()
    assert report.at_floor == ()
