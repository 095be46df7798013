"""Each metric on its own, against its formula, exact frames and degenerate inputs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import ncfast
import reference as ref
from compare import assert_close
from data import make_features, orthonormal, simplex_etf
from ncfast import metrics

SHAPES = [(2, 1), (2, 7), (3, 2), (4, 20), (10, 10), (33, 32), (50, 16), (300, 8)]
FRAME_FUNCTIONS = {
    "equinorm": ref.equinorm,
    "equiangularity": ref.equiangularity,
    "max_angle": ref.max_angle,
    "etf_distance": ref.etf_distance,
    "of_distance": ref.of_distance,
}
SCALES = [1e-60, 1e-20, 1.0, 1e20, 1e60]


def collect(features, labels, num_classes, **options):
    acc = ncfast.Accumulator(num_classes, features.shape[1], **options)
    acc.update(features, labels)
    return acc.statistics()


def weights_and_means(k, d, rng):
    means = rng.standard_normal((k, d))
    return means + 0.3 * rng.standard_normal((k, d)), means - means.mean(axis=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FRAME_FUNCTIONS)
def test_frame_functions(name, shape, rng):
    vectors = rng.standard_normal(shape) + 0.5
    want = FRAME_FUNCTIONS[name](vectors)
    function = getattr(metrics, name)
    assert_close(function(vectors), want, 1e-12, 1e-14)
    assert isinstance(function(vectors), float)
    narrow = vectors.astype(np.float32)
    assert_close(function(narrow), FRAME_FUNCTIONS[name](narrow.astype(float)), 1e-12, 1e-14)
    assert function(np.asfortranarray(vectors)) == function(vectors)
    assert function(vectors.tolist()) == function(vectors)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", FRAME_FUNCTIONS)
def test_frame_functions_do_not_depend_on_scale(name, scale, rng):
    vectors = rng.standard_normal((6, 9)) + 0.5
    want = FRAME_FUNCTIONS[name](vectors)
    assert_close(getattr(metrics, name)(vectors * scale), want, 1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_spectrum(shape, rng):
    vectors = rng.standard_normal(shape)
    got, want = metrics.spectrum(vectors), ref.spectrum(vectors)
    s = want["singular_values"]
    assert got.singular_values.shape == (min(shape),)
    np.testing.assert_allclose(got.singular_values, s, rtol=0, atol=1e-13 * s[0])
    assert_close(got.condition_number, want["condition_number"], 1e-9)
    assert_close(got.stable_rank, want["stable_rank"], 1e-12)
    assert_close(got.effective_rank, want["effective_rank"], 1e-12)
    assert got.rank == want["rank"]


@pytest.mark.parametrize("rank", [1, 3, 7])
@pytest.mark.parametrize("scale", SCALES)
def test_spectrum_of_known_rank(rank, scale, rng):
    s = np.array([4.0, 3.0, 2.5, 2.0, 1.5, 1.0, 0.5])[:rank] * scale
    vectors = (orthonormal(12, rng)[:, :rank] * s) @ orthonormal(9, rng)[:rank]
    got = metrics.spectrum(vectors)
    assert got.rank == rank
    np.testing.assert_allclose(got.singular_values[:rank], s, rtol=1e-13)
    assert_close(got.stable_rank, float((s**2).sum() / s[0] ** 2), 1e-12)
    share = s / s.sum()
    assert_close(got.effective_rank, float(np.exp(-(share @ np.log(share)))), 1e-12)


def test_condition_number_is_over_the_first_k_minus_one(rng):
    """Centred means always lose one direction; it must not count as ill-conditioned."""
    frame = simplex_etf(6, 10, rng)
    assert metrics.spectrum(frame).condition_number == pytest.approx(1, abs=1e-12)
    assert metrics.spectrum(frame).rank == 5
    assert metrics.spectrum(frame).singular_values[5] < 1e-14


@pytest.mark.parametrize("shape", SHAPES)
def test_duality_functions(shape, rng):
    weights, centred = weights_and_means(*shape, rng)
    means = centred + rng.standard_normal(shape[1])
    k = shape[0]
    assert_close(metrics.self_duality(weights, centred), ref.self_duality(weights, centred), 1e-12)
    want = ref.matrix_distance(weights @ centred.T, ref.simplex(k))
    assert_close(metrics.alignment_etf(weights, centred), want, 1e-12)
    want = ref.matrix_distance(weights @ means.T, ref.orthoframe(k))
    assert_close(metrics.alignment_of(weights, means), want, 1e-12)
    for got, value in zip(metrics.unc3(weights, centred), ref.unc3(weights, centred), strict=True):
        assert_close(got, value, 1e-12, 1e-15)


@pytest.mark.parametrize("scale", SCALES)
def test_duality_functions_do_not_depend_on_scale(scale, rng):
    weights, centred = weights_and_means(5, 8, rng)
    for function in (metrics.self_duality, metrics.alignment_etf, metrics.alignment_of):
        want = function(weights, centred)
        assert_close(function(weights * scale, centred), want, 1e-12)
        assert_close(function(weights, centred * scale), want, 1e-12)
    want = metrics.unc3(weights, centred)
    assert metrics.unc3(weights * scale, centred / scale) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("k", [2, 3, 4, 10, 100])
def test_simplex_etf_is_at_distance_zero(k, rng):
    frame = 3 * simplex_etf(k, k + 5, rng)
    assert metrics.etf_distance(frame) < 1e-13
    assert metrics.equinorm(frame) < 1e-13
    assert metrics.equiangularity(frame) < 1e-13
    assert metrics.max_angle(frame) < 1e-13
    assert metrics.self_duality(0.2 * frame, frame) < 1e-13
    assert metrics.alignment_etf(0.2 * frame, frame) < 1e-13
    mean, variance = metrics.unc3(0.2 * frame, frame)
    assert mean == pytest.approx(1, abs=1e-13)
    assert variance < 1e-26
    wrong = np.sqrt(2 - 2 * np.sqrt((k - 1) / k))
    assert metrics.of_distance(frame) == pytest.approx(wrong, abs=1e-13)


@pytest.mark.parametrize("k", [2, 3, 4, 10, 100])
def test_orthogonal_frame_is_at_distance_zero(k, rng):
    frame = 0.5 * orthonormal(k + 5, rng)[:k]
    assert metrics.of_distance(frame) < 1e-13
    assert metrics.equinorm(frame) < 1e-13
    assert metrics.equiangularity(frame) < 1e-13
    assert metrics.max_angle(frame) == pytest.approx(1 / (k - 1), abs=1e-13)
    assert metrics.alignment_of(7 * frame, frame) < 1e-13
    wrong = np.sqrt(2 - 2 * np.sqrt((k - 1) / k))
    assert metrics.etf_distance(frame) == pytest.approx(wrong, abs=1e-13)
    centred = frame - frame.mean(axis=0)
    assert metrics.etf_distance(centred) < 1e-13


def test_the_wrong_frame_for_four_classes(rng):
    assert round(metrics.of_distance(simplex_etf(4, 6, rng)), 4) == 0.5176
    assert round(metrics.etf_distance(orthonormal(6, rng)[:4]), 4) == 0.5176


def test_opposite_weights_are_as_far_as_can_be(rng):
    frame = simplex_etf(5, 8, rng)
    assert metrics.self_duality(-frame, frame) == pytest.approx(2, abs=1e-13)
    assert metrics.alignment_etf(-frame, frame) == pytest.approx(2, abs=1e-13)
    assert metrics.unc3(-frame, frame)[0] == pytest.approx(-1, abs=1e-13)


@pytest.mark.parametrize("weighting", ["papyan", "class", "sample"])
@pytest.mark.parametrize("imbalance", [1, 50])
def test_variability_from_statistics(weighting, imbalance, rng):
    features, labels = make_features(600, 14, 6, 0.4, 2, np.float64, rng, imbalance=imbalance)
    stats, m = collect(features, labels, 6), ref.two_pass(features, labels)
    if weighting == "class" and imbalance > 1:
        with pytest.raises(ValueError, match="weighting='class'"):
            metrics.nc1_pinv(stats, weighting=weighting)
        for method in ("scatter", "projection"):
            got = ncfast.measure(features, labels, weighting=weighting, method=method)["nc1_pinv"]
            assert_close(got, ref.nc1_pinv(m, weighting), 1e-11)
    else:
        got = metrics.nc1_pinv(stats, weighting=weighting)
    assert_close(got, ref.nc1_pinv(m, weighting), 1e-11)
    got = metrics.nc1_trace_ratio(stats, weighting=weighting)
    assert_close(got, ref.nc1_trace_ratio(m, weighting), 1e-12)
    assert_close(metrics.cdnv(stats), ref.cdnv(m), 1e-12)


@pytest.mark.parametrize("weighting", ["papyan", "sample"])
@pytest.mark.parametrize("condition", [1, 20, 300, 1e9])
@pytest.mark.parametrize(("spread", "offset", "scale"), [(0.3, 0, 1), (1e-6, 10, 1), (1e-2, 0, 1e-30), (1e-2, 1, 1e30)])
def test_nc1_of_more_classes_than_features(condition, weighting, spread, offset, scale, rng):
    """A Cholesky factor serves frames that are far from losing a direction, an SVD the others."""
    k, d, n = 170, 67, 1000
    axes = np.geomspace(1, 1 / condition, d) * scale
    features, labels = make_features(n, d, k, spread, offset, np.float64, rng, imbalance=3)
    features *= axes
    stats, m = collect(features, labels, k), ref.two_pass(features, labels)
    assert_close(metrics.nc1_pinv(stats, weighting=weighting), ref.nc1_pinv(m, weighting), 1e-9)
    report = ncfast.measure(features, labels, weighting=weighting, errors=True)
    assert_close(report["nc1_pinv"], ref.nc1_pinv(m, weighting), 1e-9)
    assert report.errors["nc1_pinv"] > 0


def test_weightings_agree_exactly_when_they_should(rng):
    features, labels = make_features(600, 14, 6, 0.4, 2, np.float64, rng)
    stats = collect(features, labels, 6)
    for function in (metrics.nc1_pinv, metrics.nc1_trace_ratio):
        want = function(stats, weighting="papyan")
        for weighting in ("class", "sample"):
            assert_close(function(stats, weighting=weighting), want, 1e-12)
    features, labels = make_features(600, 14, 6, 0.4, 2, np.float64, rng, imbalance=50)
    for key in ("nc1_pinv", "nc1_trace_ratio"):
        reports = [ncfast.measure(features, labels, weighting=w) for w in ("papyan", "class", "sample")]
        assert len({round(report[key], 9) for report in reports}) == 3, key


def test_nc1_needs_the_scatter(rng):
    features, labels = make_features(60, 4, 3, 0.4, 2, np.float64, rng)
    stats = collect(features, labels, 3, scatter=False)
    with pytest.raises(ValueError, match="scatter"):
        metrics.nc1_pinv(stats)
    m = ref.two_pass(features, labels)
    assert_close(metrics.nc1_trace_ratio(stats), ref.nc1_trace_ratio(m), 1e-12)
    assert_close(metrics.cdnv(stats), ref.cdnv(m), 1e-12)


def test_many_classes_few_features_cdnv(rng):
    """2,500 means: three million pairs, gone through in pieces."""
    features, labels = make_features(5000, 3, 2500, 0.4, 2, np.float64, rng)
    stats = collect(features, labels, 2500, scatter=False)
    m = ref.two_pass(features, labels)
    assert_close(metrics.cdnv(stats), ref.cdnv(m), 1e-9)
    means = ref.centred_means(m)
    for name in ("equiangularity", "max_angle", "etf_distance", "of_distance"):
        assert_close(getattr(metrics, name)(means), FRAME_FUNCTIONS[name](means), 1e-11, what=name)


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-6])
def test_cdnv_of_two_classes_much_closer_than_the_rest(gap, rng):
    """Their term dominates the mean; norms minus products would leave none of its digits."""
    features, labels = make_features(600, 14, 6, 1e-3, 2, np.float64, rng)
    first, second = (features[labels == k].mean(axis=0) for k in (1, 4))
    step = rng.standard_normal(14)
    features[labels == 4] += first - second + gap * step / np.linalg.norm(step)
    assert_close(metrics.cdnv(collect(features, labels, 6)), ref.cdnv(ref.two_pass(features, labels)), 1e-8)


def test_no_warning_on_ordinary_input(rng):
    features, labels = make_features(60, 4, 3, 0.4, 2, np.float32, rng)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ncfast.measure(features, labels, rng.standard_normal((3, 4)), np.zeros(3))
    assert caught == []
