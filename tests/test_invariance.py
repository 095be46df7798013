"""What may be done to the data without changing what is measured, searched with hypothesis."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data import orthonormal
from strategies import assert_same, measured, problems, weightings


@given(problems(), weightings)
def test_permuting_rows(problem, weighting):
    features, labels, weights, bias, rng = problem
    order = rng.permutation(len(labels))
    got = measured(features[order], labels[order], weights, bias, weighting)
    assert_same(got, measured(features, labels, weights, bias, weighting))


@given(problems(), weightings)
def test_relabelling_classes(problem, weighting):
    features, labels, weights, bias, rng = problem
    names = rng.permutation(len(weights))
    back = np.argsort(names)
    got = measured(features, names[labels], weights[back], bias[back], weighting)
    assert_same(got, measured(features, labels, weights, bias, weighting))


@given(problems(), weightings)
def test_rotating_the_feature_space(problem, weighting):
    features, labels, weights, bias, rng = problem
    turn = orthonormal(features.shape[1], rng)
    got = measured(features @ turn, labels, weights @ turn, bias, weighting)
    assert_same(got, measured(features, labels, weights, bias, weighting))


@given(problems(), weightings, st.sampled_from([2.0**-30, 0.37, 2.0**40]))
def test_scaling_features(problem, weighting, factor):
    features, labels, weights, bias, _ = problem
    got = measured(features * factor, labels, weights, bias * factor, weighting)
    want = measured(features, labels, weights, bias, weighting)
    got["nc3_bias_alignment"] /= factor  # it has the scale of the logits
    assert_same(got, want)


@given(problems(), weightings, st.sampled_from([2.0**-30, 0.37, 2.0**40]))
def test_scaling_the_classifier(problem, weighting, factor):
    features, labels, weights, bias, _ = problem
    got = measured(features, labels, weights * factor, bias * factor, weighting)
    want = measured(features, labels, weights, bias, weighting)
    got["nc3_bias_alignment"] /= factor  # it has the scale of the logits
    assert_same(got, want)


@given(problems(), weightings)
def test_moving_everything(problem, weighting):
    """A common shift, undone in the bias, changes only what looks at uncentred means."""
    features, labels, weights, bias, rng = problem
    shift = rng.standard_normal(features.shape[1])
    got = measured(features + shift, labels, weights, bias - weights @ shift, weighting)
    want = measured(features, labels, weights, bias, weighting)
    assert_same(got, want, but=("nc2_of_means", "nc3_alignment_of"))


@given(problems(), weightings, st.integers(2, 4))
def test_every_sample_several_times(problem, weighting, times):
    features, labels, weights, bias, _ = problem
    got = measured(np.tile(features, (times, 1)), np.tile(labels, times), weights, bias, weighting)
    assert_same(got, measured(features, labels, weights, bias, weighting))


@given(problems(), weightings)
def test_constant_extra_features(problem, weighting):
    """Features that never vary, and weights of zero on them, add nothing to centred ones."""
    features, labels, weights, bias, _ = problem
    wider = np.pad(features, ((0, 0), (0, 3)), constant_values=5.0)
    got = measured(wider, labels, np.pad(weights, ((0, 0), (0, 3))), bias, weighting)
    want = measured(features, labels, weights, bias, weighting)
    but = ["nc2_of_means"]
    if features.shape[1] < len(weights) - 1:  # the condition number counts directions
        but += ["means_condition_number", "weights_condition_number"]
    assert_same(got, want, but=but)
