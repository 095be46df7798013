"""Which classes have not collapsed, by each of the three signs."""

from __future__ import annotations

import json

import numpy as np

import ncfast
from compare import accumulate
from data import make_features

N, D, K = 1200, 20, 8


def collapsed(rng, **options):
    return make_features(N, D, K, 1e-3, 1, np.float64, rng, **options)


def test_all_have_collapsed(rng):
    report = ncfast.measure(*collapsed(rng))
    assert report.uncollapsed == ()
    assert "have not collapsed" not in str(report)


def test_one_class_stands_out(rng):
    """Its spread is small against all distances, but not against the spread of the others."""
    features, labels = collapsed(rng)
    for factor, named in ((2.5, ()), (4, (5,))):
        noisy = features.copy()
        noisy[labels == 5] += 1e-3 * factor / np.sqrt(D) * rng.standard_normal((np.count_nonzero(labels == 5), D))
        found = ncfast.measure_statistics(accumulate(noisy, labels, K), metrics="nc1_trace_ratio")
        assert found.uncollapsed == named, factor


def test_two_classes_in_one_place(rng):
    """Each is as tight as the others, and sits where another does."""
    features, labels = collapsed(rng)
    features[labels == 6] += features[labels == 2].mean(axis=0) - features[labels == 6].mean(axis=0) + 1e-4
    assert ncfast.measure(features, labels).uncollapsed == (2, 6)
    assert ncfast.measure(features, labels, metrics="nc1_trace_ratio").uncollapsed == ()
    assert ncfast.measure(features, labels, metrics="cdnv").uncollapsed == (2, 6)


def test_samples_among_another_class(rng):
    """Two in a hundred samples of class 3 lie at class 1."""
    features, labels = collapsed(rng)
    rows = np.flatnonzero(labels == 3)[:3]
    target = features[labels == 1].mean(axis=0)
    features[rows] = target + 1e-3 * rng.standard_normal((3, D))
    spread = 0.05 * rng.standard_normal((N, D))  # no class stands out by its spread
    report = ncfast.measure(features + spread, labels, metrics="ncc_accuracy")
    assert report["ncc_accuracy"] == 1 - 3 / N
    assert report.uncollapsed == (3,)


def test_before_training(rng):
    features, labels = make_features(N, D, K, 5.0, 1, np.float32, rng, missing=[4])
    report = ncfast.measure(features, labels)
    assert report.uncollapsed == (0, 1, 2, 3, 5, 6, 7)
    assert "have not collapsed, or far less than the others (7 of 7): 0, 1, 2, 3, 5, 6, 7" in str(report)
    assert "have not collapsed, or far less than the others (7 of 7)" in report._repr_html_()
    assert json.loads(report.to_json())["uncollapsed"] == list(report.uncollapsed)


def test_identical_samples(rng):
    """Full collapse: every spread is zero, and zero does not stand out from zero."""
    features, labels = make_features(N, D, K, 0.0, 1, np.float64, rng)
    assert ncfast.measure(features, labels).uncollapsed == ()
    features[np.flatnonzero(labels == 7)[0]] += 1e-6
    assert ncfast.measure(features, labels).uncollapsed == (7,)
