"""General orthogonal frames and the SELI geometry: closed forms, optimisers, certificates, balanced limits."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import reference as ref
import reference_imbalance as imb
from compare import accumulate, assert_close, degenerate
from data import make_features, orthonormal, simplex_etf
from ncfast import metrics
from ncfast.metrics import _pairs

PATTERNS = [[5, 5, 5, 5], [200, 100, 50, 50], [5000, 500, 50, 5, 1], [7, 1], [3, 3, 3, 1, 1, 1, 1, 9]]
DECAYS = {"weight_decay": 5e-4, "feature_decay": 5e-4}


def test_logits_solve_their_equation(rng):
    """Against polynomial roots kept by their loss, from every class alive to none."""
    seen = set()
    for depth in (1, 2, 3, 5):
        for decay in np.geomspace(1e-7, 1, 30):
            counts = rng.integers(1, 500, 6)
            got = metrics.gof_logits(counts, weight_decay=decay, feature_decay=3 * decay, depth=depth)
            want = imb.gof_logits(counts, decay, 3 * decay, depth)
            np.testing.assert_allclose(got, want, rtol=1e-9)
            seen.add(int((got > 0).sum()))
    assert {0, 6} < seen


def test_logits_of_one_layer_in_closed_form():
    counts = np.array([200, 100, 50, 50])
    got = metrics.gof_logits(counts, weight_decay=2e-3, feature_decay=1e-3)
    kappa = 400 * np.sqrt(2e-6) / np.sqrt(counts)
    np.testing.assert_allclose(got, 1 - kappa, rtol=1e-14)
    got = metrics.gof_logits(counts, weight_decay=0.02, feature_decay=0.02)
    np.testing.assert_allclose(got, np.maximum(1 - 8 / np.sqrt(counts), 0), atol=1e-14)
    assert (got > 0).tolist() == [True, True, False, False]  # n_k <= (N lambda)^2 = 64 is given up


@pytest.mark.parametrize(("depth", "threshold"), [(1, 1.0), (2, 2 ** (-4 / 3)), (3, 0.2721655270), (4, 0.2103665898)])
def test_published_thresholds(depth, threshold):
    """Where a class dies, and the logit it still has there: (L-2)/(L-1)."""
    for factor, alive in ((1 - 1e-7, True), (1 + 1e-7, False)):
        # Equal counts: kappa = K n^(1/L) decay.
        decay = threshold * factor / 4 / 50 ** (1 / (depth + 1))
        got = metrics.gof_logits([50] * 4, weight_decay=decay, feature_decay=decay, depth=depth)
        assert (got > 0).tolist() == [alive] * 4
        if alive:
            np.testing.assert_allclose(got, (depth - 1) / depth, atol=2e-6)


def test_published_logit_of_two_layers():
    """K = 4, n = 50, all decays 0.005: kappa = 0.0736806300, x = 0.9243621315."""
    got = metrics.gof_logits([50] * 4, weight_decay=0.005, feature_decay=0.005, depth=2)
    np.testing.assert_allclose(got, 0.9243621315, atol=5e-11)


def test_small_decays_keep_the_digits_of_what_is_missing():
    """The target of the weights has 1 - x in its denominator."""
    counts = np.array([200, 100, 50, 50])
    frames = orthonormal(6, np.random.default_rng(1))[:4]
    missing = 400 * 1e-13 / np.sqrt(counts)
    exact = np.sqrt((1 - missing) / missing)[:, None] * frames
    assert metrics.gof_distance(exact, counts, "weights", weight_decay=1e-13, feature_decay=1e-13) < 1e-14


@pytest.mark.parametrize("counts", PATTERNS)
def test_exact_orthogonal_frames_read_zero(counts, rng):
    n = np.array(counts)
    decay = 0.3 / n.sum()
    rotation = orthonormal(len(n) + 3, rng)[: len(n)]
    weights, means = imb.gof_frames(n, decay, decay, rotation)
    options = {"weight_decay": decay, "feature_decay": decay}
    assert metrics.gof_distance(7 * weights, n, "weights", **options) < 1e-14
    assert metrics.gof_distance(7 * means, n, "means", **options) < 1e-14
    assert metrics.gof_alignment(2 * weights, 3 * means, n, **options) < 1e-14
    if len(set(counts)) > 1:
        assert metrics.gof_distance(rotation, n, "weights", **options) > 1e-2
        assert metrics.gof_distance(weights, n[::-1], "weights", **options) > 1e-2
        assert metrics.gof_alignment(weights, means, n[::-1], **options) > 1e-3


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_equal_counts_are_orthogonal_frames(depth, rng):
    w, m = rng.standard_normal((2, 5, 8))
    options = {**DECAYS, "depth": depth}
    for side in ("weights", "means"):
        assert_close(metrics.gof_distance(w, [40] * 5, side, **options), metrics.of_distance(w), 1e-12)
    assert_close(metrics.gof_alignment(w, m, [40] * 5, **options), metrics.alignment_of(w, m), 1e-12)


@pytest.mark.parametrize(("depth", "decay"), [(1, 0.02), (2, 0.01), (3, 0.005)])
def test_the_optimum_found_numerically_reads_zero(depth, decay, rng):
    counts = [12, 6, 3]
    weights, means = imb.optimum(counts, decay, depth, rng)
    options = {"weight_decay": decay, "feature_decay": decay, "depth": depth}
    x = metrics.gof_logits(counts, **options)
    np.testing.assert_allclose(weights @ means.T, np.diag(x), atol=1e-5)
    assert metrics.gof_distance(weights, counts, "weights", **options) < 1e-4
    assert metrics.gof_distance(means, counts, "means", **options) < 1e-4
    assert metrics.gof_alignment(weights, means, counts, **options) < 1e-4
    assert metrics.of_distance(weights) > 1e-2


@pytest.mark.parametrize("counts", PATTERNS)
def test_exact_seli_frames_read_zero(counts, rng):
    n = np.array(counts)
    weights, means, _ = imb.seli_frames(n, orthonormal(len(n) + 3, rng)[: len(n)])
    assert metrics.seli_distance(3 * weights, n, "weights") < 1e-13
    assert metrics.seli_distance(0.2 * means, n, "means") < 1e-13
    assert metrics.alignment_etf(weights, means) < 1e-12  # their product is I - J for any counts
    if len(set(counts)) > 1 and len(counts) > 2:  # two opposite vectors are a simplex whatever the counts
        assert metrics.etf_distance(weights) > 1e-2
        assert metrics.seli_distance(weights, n, "means") > 1e-2
        assert metrics.seli_distance(weights, n[::-1], "weights") > 1e-2


@pytest.mark.parametrize("counts", [[4, 1], [5, 2, 2], [20, 10, 5, 5], [9, 3, 3, 1, 1]])
def test_certificate_of_the_seli_geometry(counts):
    """Why it is the optimum: U V^T is negative off the class of a sample and positive on it."""
    n = np.array(counts)
    _, _, certificate = imb.seli_frames(n, np.eye(len(n)))
    own = np.eye(len(n), dtype=bool)[:, np.repeat(np.arange(len(n)), n)]
    assert (certificate[own] > 0).all()
    assert (certificate[~own] < 0).all()
    np.testing.assert_allclose(certificate.sum(axis=0), 0, atol=1e-13)


def test_seli_of_equal_counts_is_a_simplex(rng):
    for k in (2, 3, 7):
        vectors = rng.standard_normal((k, 8))
        for side in ("weights", "means"):
            assert_close(metrics.seli_distance(vectors, [13] * k, side), metrics.etf_distance(vectors), 1e-12)
            assert metrics.seli_distance(simplex_etf(k, 9, rng), [13] * k, side) < 1e-13


def test_seli_against_all_samples(rng):
    """The targets through the decomposition of the K x N matrix itself."""
    counts = np.array([6, 2, 2, 9, 1])
    vectors = rng.standard_normal((5, 7))
    u, s, v = np.linalg.svd(imb.simplex_labels(counts), full_matrices=False)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    of_weights, of_samples = (u * s) @ u.T, (v.T * s) @ v
    of_means = of_samples[np.ix_(first, first)]
    for side, target in (("weights", of_weights), ("means", of_means)):
        want = ref.matrix_distance(vectors @ vectors.T, target / np.linalg.norm(target))
        assert_close(metrics.seli_distance(vectors, counts, side), want, 1e-12)


def test_seli_of_means_in_deep_collapse(rng):
    for offset in (10, 1000):
        features, labels = make_features(400, 20, 6, 1e-6, offset, np.float32, rng, imbalance=20)
        m = ref.two_pass(features, labels)
        stats = accumulate(features, labels, 6)
        got = metrics.seli_distance(stats.means - stats.means.mean(axis=0), stats.counts, "means")
        want = metrics.seli_distance(ref.centred_means(m), m.counts, "means")
        assert_close(got, want, 1e-12 * offset)


@pytest.mark.parametrize("scale", [1e-60, 1.0, 1e60])
def test_scale_does_not_matter(scale, rng):
    w, m = rng.standard_normal((2, 4, 6))
    counts = [9, 5, 5, 2]
    for side in ("weights", "means"):
        want = metrics.gof_distance(w, counts, side, **DECAYS)
        assert_close(metrics.gof_distance(scale * w, counts, side, **DECAYS), want, 1e-12)
        assert_close(metrics.seli_distance(scale * w, counts, side), metrics.seli_distance(w, counts, side), 1e-12)
    want = metrics.gof_alignment(w, m, counts, **DECAYS)
    assert_close(metrics.gof_alignment(w * scale, m / scale, counts, **DECAYS), want, 1e-12)


def test_many_classes_go_through_in_pieces(monkeypatch, rng):
    monkeypatch.setattr(_pairs, "_BAND_VALUES", 1000)
    vectors, counts = rng.standard_normal((230, 3)), rng.integers(1, 40, 230)
    gram = vectors @ vectors.T
    z = np.eye(230) - 1 / 230
    values, axes = np.linalg.eigh(z * counts @ z)
    root = (axes * np.sqrt(np.maximum(values, 0))) @ axes.T
    want = ref.matrix_distance(gram, root / np.linalg.norm(root))
    assert_close(metrics.seli_distance(vectors, counts, "weights"), want, 1e-8)
    logits = 1 - counts.sum() * 1e-5 / np.sqrt(counts)
    target = np.diag(logits * (1 - logits))
    want = ref.matrix_distance(gram, target / np.linalg.norm(target))
    got = metrics.gof_distance(vectors, counts, "means", weight_decay=1e-5, feature_decay=1e-5)
    assert_close(got, want, 1e-11)


def test_degenerate_frames(rng):
    vectors, zeros = rng.standard_normal((3, 4)), np.zeros((3, 4))
    with degenerate("all products of the vectors are zero"):
        assert np.isnan(metrics.gof_alignment(np.eye(2, 4), np.eye(2, 4)[:, ::-1], [1, 2], **DECAYS))
    with degenerate("all products of the vectors are zero"):
        assert np.isnan(metrics.seli_distance(zeros, [1, 2, 3], "weights"))
    with degenerate("all products of the vectors are zero"):
        assert np.isnan(metrics.gof_distance(zeros, [1, 2, 3], "means", **DECAYS))
    with degenerate("no class is worth learning"):
        assert np.isnan(metrics.gof_distance(vectors, [1, 2, 3], "means", weight_decay=1, feature_decay=1))
    with degenerate("no class is worth learning"):
        assert np.isnan(metrics.gof_alignment(vectors, vectors, [1, 2, 3], weight_decay=1, feature_decay=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.gof_distance(vectors, [1, 2, 30], "means", weight_decay=0.1, feature_decay=0.1)  # one class is left


def test_refusals(rng):
    vectors = rng.standard_normal((3, 4))
    with pytest.raises(ValueError, match="side is 'left'; wanted one of 'weights', 'means'"):
        metrics.seli_distance(vectors, [1, 2, 3], "left")
    with pytest.raises(ValueError, match=r"counts has shape \(2,\); wanted \(3,\)"):
        metrics.seli_distance(vectors, [1, 2], "weights")
    with pytest.raises(ValueError, match="counts holds 0"):
        metrics.gof_distance(vectors, [1, 0, 2], "weights", **DECAYS)
    with pytest.raises(TypeError, match="counts has dtype complex128"):
        metrics.gof_distance(vectors, [1.0, 2.0, 3j], "weights", **DECAYS)
    with pytest.raises(ValueError, match="counts holds -1"):
        metrics.gof_distance(vectors, [1.0, 2.5, -1.0], "weights", **DECAYS)
    with pytest.raises(ValueError, match="weight_decay is 0"):
        metrics.gof_logits([1, 2], weight_decay=0, feature_decay=1)
    with pytest.raises(ValueError, match="feature_decay is nan"):
        metrics.gof_logits([1, 2], weight_decay=1, feature_decay=np.nan)
    with pytest.raises(ValueError, match="depth is 0"):
        metrics.gof_logits([1, 2], weight_decay=1, feature_decay=1, depth=0)
    with pytest.raises(ValueError, match="wanted equal shapes"):
        metrics.gof_alignment(vectors, vectors[:, :2], [1, 2, 3], **DECAYS)
