"""Softmax-code margins: the optima that are known, random codes, degenerate hulls."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import ncfast
import reference_catalogue as cat
from compare import assert_close, degenerate
from data import orthonormal, simplex_etf
from ncfast import _catalogue, metrics
from ncfast.metrics import margin


def polygon(k):
    angles = 2 * np.pi * np.arange(k) / k
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.mark.parametrize("k", [2, 3, 4, 10, 100])
@pytest.mark.parametrize("extra", [-1, 0, 5])
def test_simplex_etf(extra, k, rng):
    """K/(K-1) is the best that K <= d+1 vectors can do; in d = K-1 dimensions, K, and more."""
    frame = simplex_etf(k, k + max(extra, 0), rng)
    if extra < 0:
        frame = frame @ np.linalg.svd(frame)[2][: k - 1].T
    assert_close(metrics.softmax_code_margin(5 * frame), k / (k - 1), 1e-12)


@pytest.mark.parametrize("k", [4, 5, 6, 7, 12, 101])
def test_polygon(k):
    assert_close(metrics.softmax_code_margin(polygon(k)), 1 - np.cos(2 * np.pi / k), 1e-11)


@pytest.mark.parametrize("d", [2, 3, 8, 20])
def test_cross_polytope(d, rng):
    axes = orthonormal(d, rng)
    assert_close(metrics.softmax_code_margin(np.concatenate([axes, -axes])), 1, 1e-12)


@pytest.mark.parametrize("d", [3, 6, 9])
def test_orthogonal_vectors(d, rng):
    """Distance to the centroid of the K - 1 others: sqrt(1 + 1/(K-1))."""
    for k in range(2, d + 1):
        want = np.sqrt(1 + 1 / (k - 1))
        assert_close(metrics.softmax_code_margin(orthonormal(d, rng)[:k]), want, 1e-12)


@pytest.mark.parametrize(
    "shape", [(2, 1), (2, 5), (3, 2), (4, 9), (10, 10), (11, 10), (12, 10), (40, 6), (60, 30), (150, 12), (90, 3)]
)
def test_random_codes(shape, rng):
    for offset in (0.0, 0.4, 3.0):
        vectors = rng.standard_normal(shape) + offset
        if shape[1] > 1:
            assert_close(metrics.softmax_code_margin(vectors), cat.softmax_code_margin(vectors), 1e-9, 1e-14)


def test_every_vector_has_its_own_distance(rng):
    """The least of all is found wherever it is: no bound may cut it off."""
    for _ in range(30):
        k, d = int(rng.integers(3, 14)), int(rng.integers(2, 8))
        vectors = rng.standard_normal((k, d))
        want = cat.softmax_code_margin(vectors)
        for turn in range(k):
            assert_close(metrics.softmax_code_margin(np.roll(vectors, turn, axis=0)), want, 1e-9, 1e-14)


def test_bounds_never_cut_off_the_least(rng):
    """Few vectors in a cone: distances to the planes of the others, and to their hulls, are close but differ."""
    for _ in range(150):
        k = int(rng.integers(4, 9))
        vectors = rng.standard_normal((k, int(rng.integers(k - 1, k + 3)))) + rng.choice([0.5, 1, 2])
        assert_close(metrics.softmax_code_margin(vectors), cat.softmax_code_margin(vectors), 1e-9)


@pytest.mark.parametrize("gap", [1e-3, 1e-5, 1e-7, 1e-9])
@pytest.mark.parametrize("shape", [(7, 3), (8, 4), (5, 6)])
def test_clusters_of_close_directions(shape, gap, rng):
    """Three directions within the gap: faces with edges of very different length."""
    for _ in range(3):
        vectors = rng.standard_normal(shape)
        vectors[1:3] = vectors[0] + gap * rng.standard_normal((2, shape[1]))
        want = cat.softmax_code_margin_in_40_digits(vectors)
        assert_close(metrics.softmax_code_margin(vectors), want, 1e-9 + 3e-15 / gap)


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-6])
def test_small_margins_keep_their_digits(gap, rng):
    """Two directions that nearly coincide, both at corners of the hull."""
    for d, k in ((8, 6), (4, 12)):
        vectors = simplex_etf(k, k, rng)[:, :d] if d < k else simplex_etf(k, d, rng)
        vectors = cat.unit(vectors)
        vectors[1] = vectors[0] + gap * rng.standard_normal(d)
        assert_close(metrics.softmax_code_margin(vectors), cat.softmax_code_margin(vectors), 1e-12 / gap + 1e-10, 1e-14)


def test_near_a_simplex_one_factorization_tells_all(rng, monkeypatch):
    frame = simplex_etf(40, 60, rng) + 1e-3 * rng.standard_normal((40, 60))
    want = cat.softmax_code_margin(frame)
    monkeypatch.setattr(margin, "_hull_distance", None)
    assert_close(metrics.softmax_code_margin(frame), want, 1e-12)


def test_without_scipy(rng, monkeypatch):
    """Named it is an error that says what to install; "all" metrics go without it."""
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    monkeypatch.setattr(_catalogue, "_installed", frozenset)
    features, labels = rng.standard_normal((60, 5)), np.arange(60) % 3
    with pytest.raises(ImportError, match=r'pip install "ncfast\[margin\]"'):
        metrics.softmax_code_margin(features[:3])
    with pytest.raises(ValueError, match=r"nc2_code_margin_means.*needs SciPy"):
        ncfast.measure(features, labels, metrics="nc2_code_margin_means")
    report = ncfast.measure(features, labels, metrics="all")
    assert "nc2_coherence_means" in report.metrics
    assert "nc2_code_margin_means" not in report.metrics


def test_scale_and_rotation_do_not_matter(rng):
    for shape in ((6, 9), (20, 5)):
        vectors = rng.standard_normal(shape)
        want = metrics.softmax_code_margin(vectors)
        lengths = np.geomspace(1e-40, 1e40, shape[0])[:, None]
        assert_close(metrics.softmax_code_margin(vectors * lengths), want, 1e-11, 1e-14)
        assert_close(metrics.softmax_code_margin(vectors @ orthonormal(shape[1], rng)), want, 1e-11, 1e-14)


def test_a_vector_inside_the_hull(rng):
    """Unit vectors are corners of their hull, so only repeated ones lie inside, with margin 0."""
    vectors = rng.standard_normal((7, 5))
    vectors[3] = 2 * vectors[5]
    assert metrics.softmax_code_margin(vectors) < 1e-14
    assert metrics.softmax_code_margin(np.tile(vectors, (4, 1))) < 1e-14
    assert metrics.softmax_code_margin(np.ones((4, 3))) == 0
    assert metrics.softmax_code_margin([[1.0], [2.0], [-1.0]]) == 0


def test_no_code_beats_the_simplex(rng):
    for _ in range(50):
        k, d = 5, 4
        assert metrics.softmax_code_margin(rng.standard_normal((k, d))) < k / (k - 1)


def test_degenerate_and_bad_vectors(rng):
    vectors = rng.standard_normal((4, 3))
    vectors[2] = 0
    with degenerate("vector 2 of the frame is zero"):
        assert np.isnan(metrics.softmax_code_margin(vectors))
    with pytest.raises(ValueError, match="K at least 2"):
        metrics.softmax_code_margin(vectors[:1])
