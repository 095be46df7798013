"""The sweep over pairs against plain sums over the K x K matrix, in both precisions; matrices on request."""

from __future__ import annotations

import os

import numpy as np
import pytest

import ncfast
from compare import accumulate, degenerate
from data import make_features
from ncfast import metrics
from ncfast.metrics._sweep import Rivals, scaled_frame, sweep

SHAPES = [(2, 1), (3, 2), (33, 7), (40, 300), (257, 20), (700, 11)]


def plain(frame, uncentred, variances):
    """Everything from K x K matrices in float64."""
    k = len(frame)
    above = np.triu_indices(k, 1)
    norms = np.linalg.norm(frame, axis=1)
    gram = frame @ frame.T
    cosines = (gram / norms / norms[:, None])[above]
    squared = np.array([np.sum((frame[i] - frame[j]) ** 2) for i, j in zip(*above, strict=True)])
    ratios = np.zeros((k, k))
    ratios[above] = (variances[above[0]] + variances[above[1]]) / 2 / squared
    ratios += ratios.T
    distances = np.full((k, k), np.inf)
    distances[above] = squared
    unit = frame / norms[:, None]
    apart = np.array([np.linalg.norm(unit[i] - unit[j]) for i, j in zip(*above, strict=True)])
    etf = np.eye(k) - 1 / k
    other = uncentred @ uncentred.T
    return {
        "equiangularity": cosines.std(),
        "max_angle": np.abs(cosines + 1 / (k - 1)).mean(),
        "coherence": np.abs(cosines).max(),
        "squared_cosines": np.sum(cosines**2),
        "etf_distance": np.linalg.norm(gram / np.linalg.norm(gram) - etf / np.sqrt(k - 1)),
        "of_distance": np.linalg.norm(other / np.linalg.norm(other) - np.eye(k) / np.sqrt(k)),
        "cdnv": ratios[above].mean(),
        "cdnv_per_class": ratios.sum(axis=1) / (k - 1),
        "largest_ratios": ratios.max(axis=1),
        "squared_distance_to_nearest": np.minimum(distances.min(axis=0), distances.min(axis=1)),
        "kernel_moments": (np.log(1 / apart).mean(), np.log(1 / apart).var()),
    }


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 2e-5)])
@pytest.mark.parametrize("scale", [1.0, 1e-60, 1e60])
@pytest.mark.parametrize("shape", SHAPES)
def test_all_sums(shape, scale, dtype, tolerance, rng):
    uncentred = rng.standard_normal(shape) + 0.3
    frame = uncentred - uncentred.mean(axis=0)
    variances = rng.uniform(0.5, 2, shape[0])
    kernel = "log" if shape[1] > 1 else "distance"  # on a line directions coincide
    found = sweep(
        scaled_frame(frame * scale, products=dtype),
        uncentred=uncentred * scale,
        variances=variances * scale**2,
        kernel=kernel,
    )
    for name, want in plain(frame, uncentred, variances).items():
        if name == "kernel_moments" and kernel != "log":
            continue
        got = np.asarray(getattr(found, name)) / (scale**2 if name == "squared_distance_to_nearest" else 1.0)
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * 1e-2, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_close_pairs_keep_their_digits(dtype, rng):
    frame = rng.standard_normal((60, 30))
    frame[7] = frame[3] + 1e-6 * rng.standard_normal(30)
    frame[50] = frame[20] * (1 + 1e-7)
    found = sweep(scaled_frame(frame, products=dtype), variances=np.ones(60), kernel="log")
    want = plain(frame, frame, np.ones(60))
    np.testing.assert_allclose(found.cdnv, want["cdnv"], rtol=1e-9)
    assert found.squared_distance_to_nearest[7] == pytest.approx(np.sum((frame[7] - frame[3]) ** 2), rel=1e-9)
    assert set(np.argsort(found.largest_ratios)[-4:]) == {3, 7, 20, 50}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_logarithm_of_distances_whose_squares_are_no_floats(dtype, rng):
    frame = rng.standard_normal((60, 30))
    frame[[3, 7]] = np.eye(30)[0]
    frame[7, 1] = 1e-25
    found = sweep(scaled_frame(frame, products=dtype), kernel="log")
    np.testing.assert_allclose(found.kernel_moments, plain(frame, frame, np.ones(60))["kernel_moments"], rtol=1e-6)


def test_vectors_of_very_different_lengths(rng):
    directions = rng.standard_normal((6, 4))
    lengths = np.array([1.0, 1e-200, 1e-120, 1e-30, 1.0, 1e-250])
    found = sweep(scaled_frame(directions * lengths[:, None]))
    want = plain(directions, directions, np.ones(6))
    for name in ("equiangularity", "max_angle", "coherence"):
        np.testing.assert_allclose(getattr(found, name), want[name], rtol=1e-12, err_msg=name)


def test_rivals_of_each_vector(rng):
    frame, slopes, levels, slacks = (rng.standard_normal(shape) for shape in ((90, 12), 90, 90, 90))
    scaled = scaled_frame(frame)
    found = sweep(scaled, rivals=Rivals(slopes, levels, np.abs(slacks))).found
    lengths = np.linalg.norm(scaled.rows, axis=1)
    scores = slopes * (scaled.rows @ scaled.rows.T) + levels + np.abs(slacks) * lengths[:, None]
    stretched = slopes[:, None] * scaled.rows
    gaps = np.sum((stretched[:, None] - stretched) ** 2, axis=2)
    np.fill_diagonal(scores, -np.inf)
    np.testing.assert_allclose(found["rivals"], scores.max(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found["gaps"], gaps.max(axis=1), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_same_bits_for_any_number_of_threads(dtype, rng):
    frame = scaled_frame(rng.standard_normal((900, 40)), products=dtype)
    rivals = Rivals(*(rng.standard_normal(900) for _ in range(3)))

    def bits():
        found = sweep(frame, variances=np.ones(900), kernel="log", rivals=rivals).found
        return {
            name: repr(value) if isinstance(value, dict) else np.asarray(value).tobytes()
            for name, value in found.items()
        }

    try:
        ncfast.set_num_threads(1)
        alone = bits()
        for threads in (2, 3, 4):
            ncfast.set_num_threads(threads)
            assert bits() == alone
    finally:
        ncfast.set_num_threads(None)


def test_matrices_on_request(rng):
    features, labels = make_features(400, 9, 7, 0.3, 2, np.float64, rng)
    labels = np.where(labels == 4, 3, labels)  # class 4 has no samples
    stats = accumulate(features, labels, 7)
    matrix = metrics.cdnv_matrix(stats)
    kept = [0, 1, 2, 3, 5, 6]
    centre = np.array([features[labels == k].mean(axis=0) for k in kept])
    variances = [np.mean((features[labels == k] - mean) ** 2) * 9 for k, mean in zip(kept, centre, strict=True)]
    for i, k in enumerate(kept):
        for j, other in enumerate(kept):
            if k != other:
                want = (variances[i] + variances[j]) / 2 / np.sum((centre[i] - centre[j]) ** 2)
                assert matrix[k, other] == pytest.approx(want, rel=1e-10)
    assert np.isnan(np.diagonal(matrix)).all()
    assert np.isnan(matrix[4]).all()
    vectors = rng.standard_normal((5, 3))
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    np.testing.assert_allclose(metrics.cosine_matrix(vectors), unit @ unit.T, atol=1e-15)
    vectors[2] = 0
    with degenerate("vector 2 of the frame is zero"):
        assert np.isnan(metrics.cosine_matrix(vectors)).all()


def test_a_matrix_that_does_not_fit_is_refused(monkeypatch, rng):
    monkeypatch.setattr(os, "sysconf", lambda _: 20)  # 400 bytes are free
    with pytest.raises(MemoryError, match="a 6 x 6 matrix takes"):
        metrics.cosine_matrix(rng.standard_normal((6, 3)))
