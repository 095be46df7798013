"""Decisions that hang on nothing: equal distances and equal logits go to the lowest class."""

from __future__ import annotations

import numpy as np
import pytest

import reference as ref
import reference_report as refrep
from compare import degenerate, shares


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_tied_means_go_to_the_lowest_class(dtype):
    """Classes 1 and 3 hold the same samples, 0 and 2 others; all sums are exact."""
    rows = np.array([[4.0, 1], [6, 1], [5, 0], [5, 2]])
    features = np.concatenate([rows, rows + 16, rows - 16, rows + 16]).astype(dtype)
    labels = np.repeat(np.arange(4), 4)
    weights = np.array([[1.0, 0], [3, 0], [-2, 0], [3, 0]], dtype=dtype)
    with degenerate("mean"):
        right, apart = shares(features, labels, 4, weights)
    assert right == 12  # class 3 loses its four to class 1
    nearest, _ = refrep.nearest_mean(features, ref.two_pass(features, labels))
    choice, _ = refrep.linear(features, weights)
    assert set(choice) == {1, 2}
    assert apart == int((choice != nearest).sum())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_samples_half_way_go_to_the_lowest_class(dtype):
    """Means at 0, 8, 16 and 40, whose mean is 16; samples at 4, at 12 and at 28."""
    features = np.array([[4.0], [-4], [12], [4], [4], [28], [52], [28]], dtype=dtype)
    labels = np.repeat(np.arange(4), 2)
    m = ref.two_pass(features, labels)
    assert m.means.ravel().tolist() == [0, 8, 16, 40]
    assert refrep.nearest_mean(features, m)[0].tolist() == [0, 0, 1, 0, 0, 2, 3, 2]
    for column in (0, 17):
        wide = np.zeros((8, 40), dtype=dtype)
        wide[:, column] = features[:, 0]
        with degenerate("zero"):  # class 2 stands on the global mean: its angles are undefined
            assert shares(wide, labels, 4) == (5, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_half_way_when_no_centre_is_exact(dtype):
    """Means 0, 8 and 32 have no exact mean in binary; the tie at 4 and at 20 must hold still."""
    features = np.array([[4.0, 0], [-4, 0], [4, 0], [12, 0], [20, 0], [44, 0]], dtype=dtype)
    labels = np.repeat(np.arange(3), 2)
    m = ref.two_pass(features, labels)
    assert m.means[:, 0].tolist() == [0, 8, 32]
    assert refrep.nearest_mean(features, m)[0].tolist() == [0, 0, 0, 1, 1, 2]
    assert shares(features, labels, 3) == (4, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tied_logits_go_to_the_lowest_class(dtype):
    features = np.array([[2.0, 0], [2, 1], [-2, 0], [-2, 1], [0, 8], [0, 9]], dtype=dtype)
    labels = np.repeat(np.arange(3), 2)
    weights = np.array([[1.0, 0], [1, 0], [-1, 0]], dtype=dtype)  # rows 0 and 1 always tie
    choice, _ = refrep.linear(features, weights)
    assert choice.tolist() == [0, 0, 2, 2, 0, 0]
    nearest, _ = refrep.nearest_mean(features, ref.two_pass(features, labels))
    assert shares(features, labels, 3, weights)[1] == int((choice != nearest).sum())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lift", [0.0, 0.5])
def test_logits_that_tie_by_chance(lift, dtype):
    """Different weights, equal logits: no shift of the origin may break the tie."""
    features = np.array([[3.0, 3, 0], [5, 5, 1], [7, 7, 0], [1, 1, 9], [1, 2, 7], [2, 1, 7]], dtype=dtype)
    labels = np.array([1, 1, 1, 2, 2, 0])
    weights = np.array([[-1.0, -1, 0.125], [1, 0, 0], [0, 1, 0]], dtype=dtype)
    bias = np.array([-90.0, lift, lift], dtype=dtype)
    choice, _ = refrep.linear(features, weights, bias)
    assert choice.tolist() == [1, 1, 1, 1, 2, 1]
    nearest, _ = refrep.nearest_mean(features, ref.two_pass(features, labels))
    assert shares(features, labels, 3, weights, bias)[1] == int((choice != nearest).sum())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_more_tied_means_than_a_search_lists(dtype, rng):
    """The first words of texts all follow nothing: as many classes share one mean. Every third class has no sample."""
    k, tied = 400, 60
    means = rng.integers(-9, 10, (k, 8))
    means[4::5][:tied] = means[4]
    labels = np.flatnonzero(np.arange(k) % 3).repeat(4)
    off = rng.integers(-9, 10, (labels.size // 2, 1, 8)) * [[1], [-1]]
    features = (means[labels] + off.reshape(-1, 8)).astype(dtype)
    nearest, _ = refrep.nearest_mean(features, ref.two_pass(features, labels))
    with degenerate("coincide"):
        right, _ = shares(features, labels, k)
    assert 0 < right == int((nearest == labels).sum())
    assert np.count_nonzero(nearest == 4) > 4
