"""Pairs of frames and decisions on the device: what the compiled kernels find, and what the textbook says."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import ncfast
import ncfast.torch as nct
import reference as ref
import reference_report as refrep
from compare import accumulate, assert_close
from data import make_features, simplex_etf
from ncfast.metrics._sweep import scaled_frame, sweep

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
VALUES = ("equiangularity", "max_angle", "coherence", "etf_distance", "of_distance", "cdnv")
pytestmark = pytest.mark.parametrize("device", DEVICES)


def frames(rng):
    """Named frames (K, d)."""
    etf = simplex_etf(20, 32, rng)
    return {
        "random": rng.standard_normal((90, 17)),
        "two": rng.standard_normal((2, 3)),
        "near an ETF": etf + 1e-7 * rng.standard_normal(etf.shape),
        "tiny": 1e-150 * rng.standard_normal((30, 8)),
        "close pairs": np.repeat(rng.standard_normal((20, 9)), 2, axis=0) + 1e-9 * rng.standard_normal((40, 9)),
    }


@pytest.mark.parametrize("tile", [7, 32, 4096])
@pytest.mark.parametrize("name", ["random", "two", "near an ETF", "tiny", "close pairs"])
def test_pairs_are_those_of_the_native_sweep(name, tile, device, rng):
    vectors = frames(rng)[name]
    variances = rng.random(len(vectors)) * 1e-3 * float(np.abs(vectors).max()) ** 2
    uncentred = vectors + vectors.std() * rng.standard_normal(vectors.shape[1])
    want = sweep(scaled_frame(vectors), uncentred=uncentred, variances=variances, kernel="log")
    tensors = (torch.tensor(array, device=device) for array in (vectors, variances, uncentred))
    frame, v, u = tensors
    # Ratios are of squares: the scale of variances is the square of that of the frame.
    got = nct.sweep_pairs(frame, variances=v, uncentred=u, tile=tile)
    for key in VALUES:
        assert_close(getattr(got, key), getattr(want, key), 1e-11, 1e-14, what=key)
    for one, other in zip(got.kernel_moments, want.kernel_moments, strict=True):
        assert_close(one, other, 1e-9, 1e-13, what="log uniformity")
    np.testing.assert_allclose(got.largest_ratios, want.largest_ratios, rtol=1e-10)
    np.testing.assert_allclose(got.cdnv_per_class, want.cdnv_per_class, rtol=1e-10)
    np.testing.assert_allclose(got.squared_distance_to_nearest, want.squared_distance_to_nearest, rtol=1e-10)


def test_pairs_are_those_of_the_formulas(device, rng):
    vectors = rng.standard_normal((60, 11)).astype(np.float32)
    cosines = ref.pair_cosines(vectors.astype(np.float64))
    for dtype, rtol in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        got = nct.sweep_pairs(torch.from_numpy(vectors).to(device), dtype=dtype, tile=16)
        assert_close(got.equiangularity, cosines.std(), rtol)
        assert_close(got.max_angle, np.abs(cosines + 1 / 59).mean(), rtol)
        assert_close(got.coherence, np.abs(cosines).max(), rtol)
        assert_close(got.kernel_moments[0], -0.5 * np.log(2 - 2 * cosines).mean(), 10 * rtol)


def test_degenerate_frames_say_so(device):
    frame = torch.tensor([[1.0, 0], [1, 0], [0, 1]], dtype=torch.float64, device=device)
    got = nct.sweep_pairs(frame, variances=torch.ones(3, device=device))
    with pytest.warns(RuntimeWarning, match="coincide"):
        assert got.cdnv == np.inf
    with pytest.warns(RuntimeWarning, match="directions of the frame coincide"):
        assert got.kernel_moments[0] == np.inf
    frame[0] = 0
    with pytest.warns(RuntimeWarning, match="vector 0 of the frame is zero"):
        assert np.isnan(nct.sweep_pairs(frame).coherence)
    for wrong in (frame[0], frame[:1]):
        with pytest.raises(ValueError, match="frame has shape"):
            nct.sweep_pairs(wrong)


def decided(features, labels, k, weights, bias, device, size=100):
    stats = accumulate(features, labels, k)
    found = nct.Decisions(stats, weights, bias, device=device)
    x, y = torch.from_numpy(features).to(device), torch.from_numpy(labels).to(device)
    for rows in torch.arange(len(x)).split(size):
        found.add(x[rows.to(device)], y[rows.to(device)])
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("spread", [3, 1, 0.3, 1e-3, 1e-6])
def test_decisions_are_the_exact_ones(spread, offset, dtype, device, rng):
    features, labels = make_features(800, 24, 12, spread, offset, dtype, rng, missing=[5], singleton=[2])
    weights, bias = rng.standard_normal((12, 24)), rng.standard_normal(12)
    bias -= weights @ features.mean(axis=0)  # or one class wins everywhere
    found = decided(features, labels, 12, weights, bias, device)
    report = ncfast.measure(features, labels, weights, bias)
    assert found.samples == 800
    assert found.nc4_disagreement == report["nc4_disagreement"]
    assert found.ncc_accuracy == report["ncc_accuracy"]
    if spread <= 1e-3:
        assert found.certified > 800


def test_ties_and_doubts_are_settled_exactly(device):
    """Samples half-way between means, by numbers that every format holds."""
    means = np.array([[0.0, 0], [4, 0], [0, 4], [4, 4]])
    labels = np.repeat(np.arange(4), 64)
    steps = np.where(np.arange(256) % 2 == 0, 1.0, -1.0)[:, None]
    features = (means[labels] + steps * np.array([2.0, 0])).astype(np.float32)
    weights, bias = means - 2.0, -0.5 * ((means - 2.0) ** 2).sum(axis=1) - (means - 2.0) @ [2.0, 2.0]
    found = decided(features, labels, 4, weights, bias, device)
    report = ncfast.measure(features, labels, weights, bias)
    assert found.exact > 0
    assert found.nc4_disagreement == report["nc4_disagreement"]
    assert found.ncc_accuracy == report["ncc_accuracy"]


def test_decisions_refuse_what_does_not_fit(device, rng):
    features, labels = make_features(60, 4, 3, 1, 0, np.float32, rng)
    stats = accumulate(features, labels, 3)
    found = nct.Decisions(stats, device=device)
    x, y = torch.from_numpy(features).to(device), torch.from_numpy(labels).to(device)
    with pytest.raises(ValueError, match=r"labels holds 1 to 3; wanted integers in \[0, 3\)"):
        found.add(x[:3], torch.arange(1, 4, device=device))
    with pytest.raises(ValueError, match="NaN or infinity"):
        found.add(x * torch.inf, y)
    with pytest.raises(ValueError, match="no classifier"):
        found.nc4_disagreement  # noqa: B018
    with pytest.raises(ValueError, match="weights has shape"):
        nct.Decisions(stats, rng.standard_normal((3, 5)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.add(x[:0], y[:0])
    assert found.samples == 0


@pytest.mark.parametrize("size", [1e20, 1e28, 1e29, 1e31, 1e37])
def test_rows_beyond_the_range_of_float32_products(size, device, rng):
    """Training features may be tiny, and samples judged by them as large as float32 holds."""
    tiny, labels = make_features(100, 9, 6, 1e-2, 0, np.float32, rng, scale=1e-10)
    weights, rows = rng.standard_normal((6, 9)), (size * rng.standard_normal((300, 9))).astype(np.float32)
    found = nct.Decisions(accumulate(tiny, labels, 6), weights, device=device)
    x, y = torch.from_numpy(rows).to(device), torch.zeros(300, dtype=torch.int64, device=device)
    chosen = found._decide(found._rules[-1], x, y, torch.full((300,), torch.inf, dtype=torch.float64, device=device))
    want, gap = refrep.linear(rows, weights)
    assert gap > 1e-10
    assert (chosen.cpu().numpy() == want).all()
