"""Merging class statistics: shards of any kind, in any order, are one pass."""

from __future__ import annotations

import numpy as np
import pytest

import ncfast
from compare import DOUBLE, SINGLE, assert_statistics
from data import make_features

FIELDS = ("counts", "pivots", "sums", "square_sums", "pooled")


def collect(features, labels, num_classes, **options):
    acc = ncfast.Accumulator(num_classes, features.shape[1], **options)
    acc.update(features, labels)
    return acc.statistics()


@pytest.fixture
def stats(rng):
    features, labels = make_features(40, 4, 3, 0.5, 2, np.float32, rng)
    return collect(features, labels, 3)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, SINGLE), (np.float64, DOUBLE)])
@pytest.mark.parametrize(("offset", "spread"), [(0, 1), (10, 1e-6), (1000, 1e-4)])
def test_merge_of_shards_is_one_pass(dtype, rtol, offset, spread, rng):
    features, labels = make_features(900, 12, 7, spread, offset, dtype, rng, imbalance=30)
    shards = [collect(features[s::5], labels[s::5], 7) for s in range(5)]
    merged = shards[0]
    for shard in shards[1:]:
        merged = merged.merge(shard)
    assert_statistics(merged, features, labels, 7, rtol)
    assert merged.feature_dtype == np.dtype(dtype).name


def test_merge_of_shards_with_disjoint_classes(rng):
    features, labels = make_features(300, 6, 5, 0.1, 5, np.float64, rng)
    low = labels < 2
    merged = collect(features[low], labels[low], 5).merge(collect(features[~low], labels[~low], 5))
    assert_statistics(merged, features, labels, 5, DOUBLE)


def test_merge_with_nothing_changes_nothing(stats):
    empty = ncfast.Accumulator(3, 4).statistics()
    for merged in (stats.merge(empty), empty.merge(stats)):
        np.testing.assert_array_equal(merged.counts, stats.counts)
        np.testing.assert_array_equal(merged.means, stats.means)
        np.testing.assert_allclose(merged.scatter, stats.scatter, rtol=0, atol=1e-15)
        assert merged.feature_dtype == stats.feature_dtype
    nothing = empty.merge(empty)
    assert nothing.num_samples == 0
    assert nothing.feature_dtype is None


def test_merge_leaves_its_arguments_alone(stats, rng):
    features, labels = make_features(40, 4, 3, 0.5, 2, np.float32, rng)
    other = collect(features, labels, 3)
    before = [getattr(s, n).tobytes() for s in (stats, other) for n in FIELDS]
    stats.merge(other)
    assert before == [getattr(s, n).tobytes() for s in (stats, other) for n in FIELDS]


@pytest.mark.parametrize("shape", [(3, 5), (4, 4), (4, 5)])
def test_merge_of_other_shapes_names_both(stats, shape):
    other = ncfast.Accumulator(*shape).statistics()
    with pytest.raises(ValueError, match=r"\d.*\d") as error:
        stats.merge(other)
    for number in {3, 4, *shape}:
        assert str(number) in str(error.value)


@pytest.mark.parametrize("scatter", [False, "class"])
def test_merge_without_the_same_scatter_on_one_side(stats, scatter, rng):
    features, labels = make_features(40, 4, 3, 0.5, 2, np.float32, rng)
    bare = collect(features, labels, 3, scatter=scatter)
    for pair in ((stats, bare), (bare, stats)):
        with pytest.raises(ValueError, match="scatter"):
            pair[0].merge(pair[1])


def test_merge_with_something_else(stats):
    with pytest.raises(TypeError, match="ClassStatistics"):
        stats.merge({"counts": stats.counts})
