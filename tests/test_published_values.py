"""Values that the literature gives for exact configurations, read off a report."""

from __future__ import annotations

import numpy as np
import pytest

import ncfast
import reference_imbalance as imb
from data import orthonormal, simplex_etf


def collapsed(means, counts=None):
    """Samples that sit on their class means."""
    counts = [3] * len(means) if counts is None else counts
    return np.repeat(means, counts, axis=0), np.repeat(np.arange(len(means)), counts)


def test_the_wrong_frame_reads_0_5176(rng):
    """Four classes: an orthogonal frame scored as a simplex ETF, or the other way round."""
    frame, simplex = orthonormal(6, rng)[:4], simplex_etf(4, 6, rng)
    assert round(ncfast.measure(*collapsed(frame), frame)["nc2_etf_weights"], 4) == 0.5176
    assert round(ncfast.measure(*collapsed(simplex), simplex)["nc2_of_weights"], 4) == 0.5176
    assert round(ncfast.measure(*collapsed(simplex), simplex)["nc2_of_means"], 4) == 0.5176


@pytest.mark.parametrize(
    ("codes", "margin"),
    [
        (np.eye(7) - 1 / 7, 7 / 6),  # K <= d+1: a simplex ETF
        (np.array([[np.cos(t), np.sin(t)] for t in 2 * np.pi * np.arange(9) / 9]), 1 - np.cos(2 * np.pi / 9)),
        (np.concatenate([np.eye(5), -np.eye(5)]), 1.0),  # d+2 <= K <= 2d
    ],
    ids=["simplex", "polygon", "cross-polytope"],
)
def test_optima_of_softmax_codes(codes, margin):
    """Jiang et al. 2024."""
    report = ncfast.measure(*collapsed(codes), codes, metrics="nc2_code_margin")
    np.testing.assert_allclose(list(report.values()), margin, rtol=1e-12)


@pytest.mark.parametrize("counts", [[9, 9, 1, 1], [50, 20, 10, 5, 2], [7, 3, 3, 1, 1, 1]])
def test_seli_geometry(counts, rng):
    """Thrampoulidis et al. 2022: unequal classes, no simplex ETF, but weights times means are one."""
    k = len(counts)
    weights, means, certificate = imb.seli_frames(np.array(counts), orthonormal(k + 2, rng)[:k])
    own = np.arange(k)[:, None] == np.repeat(np.arange(k), counts)
    assert (certificate[own] > 0).all()
    assert (certificate[~own] < 0).all()
    report = ncfast.measure(*collapsed(means, counts), weights, metrics=["nc2_seli", "nc2_etf", "nc3_alignment_etf"])
    assert max(report["nc2_seli_means"], report["nc2_seli_weights"], report["nc3_alignment_etf"]) < 1e-12
    assert min(report["nc2_etf_means"], report["nc2_etf_weights"]) > 0.05


@pytest.mark.parametrize("counts", [[50, 50, 10, 10], [200, 100, 50, 50]])
def test_general_orthogonal_frames(counts, rng):
    """Dang et al. 2023."""
    k = len(counts)
    decays = {"weight_decay": 1e-4, "feature_decay": 1e-4}
    weights, means = imb.gof_frames(np.array(counts), *decays.values(), orthonormal(k + 2, rng)[:k])
    report = ncfast.measure(*collapsed(means, counts), weights, metrics=["nc2_gof", "nc3_gof_alignment"], **decays)
    assert set(report) == {"nc2_gof_means", "nc2_gof_weights", "nc3_gof_alignment"}
    assert max(report.values()) < 1e-12
