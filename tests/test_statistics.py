"""Accumulating class statistics: every dtype, layout and way of cutting the data."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import ncfast
from compare import DOUBLE, SINGLE, accumulate, assert_statistics, state, tolerance
from data import batches, make_features

N, D, K = 257, 19, 6
DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
LABEL_TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", ">u2"]


def strided(array, rows, columns):
    """The same values seen through a buffer whose other cells hold traps."""
    n, d = array.shape
    room = np.full((n * abs(rows), d * abs(columns)), np.nan, dtype=array.dtype)
    view = room[::rows, ::columns]
    view[...] = array
    return view


def read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def unaligned(array):
    buffer = np.zeros(array.nbytes + 1, dtype=np.uint8)[1:]
    view = buffer.view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


LAYOUTS = {
    "c_order": np.ascontiguousarray,
    "fortran_order": np.asfortranarray,
    "strided_rows": lambda a: strided(a, 3, 1),
    "strided_columns": lambda a: strided(a, 1, 2),
    "strided_both": lambda a: strided(a, 2, 3),
    "reversed_rows": lambda a: strided(a, -1, 1),
    "reversed_columns": lambda a: strided(a, 1, -1),
    "reversed_both": lambda a: strided(a, -2, -2),
    "read_only": read_only,
    "unaligned": unaligned,
    "transposed_view": lambda a: np.ascontiguousarray(a.T).T,
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_with_a_scatter_pivots_of_new_classes_become_means(dtype, rng):
    """Nothing but their rounding is left to take from the scatter, until more samples come."""
    features, labels = make_features(N, D, K, 1e-2, 3, dtype, rng)
    acc = ncfast.Accumulator(K, D)
    acc.update(features, labels)
    whole = acc.statistics()
    assert (whole.pivots == whole.means).all()
    assert np.abs(whole.sums).max() < 1e-13
    assert_statistics(whole, features, labels, K, tolerance(dtype))
    again = labels < 2
    acc.update(features[again] + features[again], labels[again])
    both = np.concatenate([features, features[again] + features[again]]), np.concatenate([labels, labels[again]])
    later = acc.statistics()
    assert (later.pivots[2:] == later.means[2:]).all()
    assert (later.pivots[:2] != later.means[:2]).any(axis=1).all()
    assert_statistics(later, *both, K, tolerance(dtype))


@pytest.mark.parametrize("size", [0, 1, 7, 128, None])
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_batch_size(dtype, size, rng):
    features, labels = make_features(N, D, K, 0.5, 3, dtype, rng, imbalance=10)
    stats = accumulate(features, labels, K, size=size)
    assert_statistics(stats, features, labels, K, tolerance(dtype))
    assert stats.feature_dtype == np.dtype(dtype).name


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_layout_gives_the_bits_of_a_plain_array(dtype, layout, rng):
    features, labels = make_features(N, D, K, 0.5, 3, dtype, rng)
    view = LAYOUTS[layout](features)
    assert view.shape == features.shape
    plain, seen = ncfast.Accumulator(K, D), ncfast.Accumulator(K, D)
    plain.update(features, labels)
    seen.update(view, labels)
    assert state(seen) == state(plain)
    assert_statistics(seen.statistics(), features, labels, K, tolerance(dtype))


@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8"])
def test_big_endian_features(dtype, rng):
    features, labels = make_features(N, D, K, 0.5, 3, dtype, rng)
    assert_statistics(accumulate(features, labels, K), features, labels, K, tolerance(dtype))


def test_memory_mapped_features(tmp_path, rng):
    features, labels = make_features(N, D, K, 0.5, 3, np.float32, rng)
    np.save(tmp_path / "h.npy", features)
    mapped = np.load(tmp_path / "h.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    assert_statistics(accumulate(mapped, labels, K, size=100), features, labels, K, SINGLE)


def test_lists_are_accepted(rng):
    features, labels = make_features(30, 4, 3, 0.5, 1, np.float64, rng)
    acc = ncfast.Accumulator(3, 4)
    acc.update(features.tolist(), labels.tolist())
    assert_statistics(acc.statistics(), features, labels, 3, DOUBLE)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_features_lose_nothing_to_narrow_sums(dtype, rng):
    """Thousands of rows: sums kept in the narrow type would stall after a few hundred."""
    features, labels = make_features(6000, 3, 2, 0.3, 2, dtype, rng)
    assert_statistics(accumulate(features, labels, 2, 1000), features, labels, 2, SINGLE)


@pytest.mark.parametrize("label_type", LABEL_TYPES)
def test_any_integer_label_type(label_type, rng):
    features, labels = make_features(N, D, K, 0.5, 3, np.float32, rng)
    typed = labels.astype(label_type)
    assert_statistics(accumulate(features, typed, K), features, labels, K, SINGLE)
    spaced = np.zeros(2 * N, dtype=label_type)
    spaced[::2] = typed
    assert_statistics(accumulate(features, spaced[::2], K), features, labels, K, SINGLE)


@pytest.mark.parametrize("size", [1, 16, None])
def test_classes_that_come_late_or_never(size, rng):
    features, labels = make_features(N, D, K, 0.5, 3, np.float32, rng, missing=[1, 5])
    order = np.argsort(labels, kind="stable")  # each class starts after the one before ended
    stats = accumulate(features[order], labels[order], K, size)
    assert_statistics(stats, features[order], labels[order], K, SINGLE)
    assert stats.missing_classes == (1, 5)


def test_one_sample_classes_have_no_deviation(rng):
    features, labels = make_features(N, D, K, 0.5, 1000, np.float32, rng, singleton=[0, 3])
    stats = accumulate(features, labels, K, size=10)
    assert_statistics(stats, features, labels, K, SINGLE)
    assert stats.squared_deviations[0] == stats.squared_deviations[3] == 0
    np.testing.assert_array_equal(stats.means[3], features[labels == 3][0])


def test_identical_rows_have_exactly_no_scatter(rng):
    rows = rng.standard_normal((K, D)).astype(np.float32) + 1000
    labels = rng.integers(0, K, N)
    stats = accumulate(rows[labels], labels, K, size=50)
    assert not stats.scatter.any()
    assert not stats.squared_deviations.any()
    np.testing.assert_array_equal(stats.means, rows)


@pytest.mark.parametrize("precision", ["feature", "double"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_without_scatter_the_rest_is_the_same(dtype, precision, rng):
    features, labels = make_features(N, D, K, 0.5, 3, dtype, rng)
    stats = accumulate(features, labels, K, size=40, scatter=False, precision=precision)
    assert_statistics(stats, features, labels, K, tolerance(dtype), scatter=False)
    assert stats.pooled is None
    with pytest.raises(ValueError, match="scatter"):
        _ = stats.scatter


def test_one_accumulator_takes_several_dtypes(rng):
    features, labels = make_features(N, D, K, 0.5, 3, np.float32, rng)
    acc = ncfast.Accumulator(K, D)
    acc.update(features[:100], labels[:100])
    acc.update(features[100:].astype(np.float64), labels[100:])
    assert_statistics(acc.statistics(), features, labels, K, SINGLE)


def test_features_and_labels_are_left_alone(rng):
    features, labels = make_features(N, D, K, 0.5, 3, np.float32, rng)
    before = features.tobytes(), labels.tobytes()
    accumulate(features, labels, K, size=100)
    assert (features.tobytes(), labels.tobytes()) == before


def test_statistics_are_a_snapshot(rng):
    features, labels = make_features(N, D, K, 0.5, 3, np.float32, rng)
    acc = ncfast.Accumulator(K, D)
    acc.update(features, labels)
    first = acc.statistics()
    original = features.copy()
    features[:] = 7  # neither the caller's arrays nor later updates reach back
    acc.update(features, labels)
    assert acc.num_samples == 2 * N
    assert_statistics(first, original, labels, K, SINGLE)


def test_skipping_rows_that_are_not_finite(rng):
    features, labels = make_features(N, D, K, 0.5, 3, np.float32, rng)
    bad = rng.choice(N, 20, replace=False)
    features[bad[:10], 3] = np.nan
    features[bad[10:], D - 1] = -np.inf
    acc = ncfast.Accumulator(K, D, nonfinite="skip")
    for part in batches(N, 31):
        acc.update(features[part], labels[part])
    kept = np.isfinite(features).all(axis=1)
    assert acc.skipped_rows == 20
    assert acc.num_samples == N - 20
    assert_statistics(acc.statistics(), features[kept], labels[kept], K, SINGLE)


def test_properties_of_the_accumulator():
    acc = ncfast.Accumulator(K, D)
    assert (acc.num_samples, acc.skipped_rows) == (0, 0)
    assert acc.nbytes >= D * D * 8 + K * D * 8
    assert ncfast.Accumulator(K, D, scatter=False).nbytes <= acc.nbytes - D * D * 8
    empty = acc.statistics()
    assert empty.missing_classes == tuple(range(K))
    assert empty.num_samples == 0
