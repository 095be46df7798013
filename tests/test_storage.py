"""Saving and loading class statistics: nothing is lost, and nothing damaged gets in."""

from __future__ import annotations

import os
import re
import zipfile

import numpy as np
import pytest

import ncfast
from data import make_features
from ncfast import ClassStatistics

FIELDS = ("counts", "rows", "pivots", "sums", "square_sums", "pooled", "class_pooled", "chosen")


def collect(features, labels, num_classes, **options):
    acc = ncfast.Accumulator(num_classes, features.shape[1], **options)
    acc.update(features, labels)
    return acc.statistics()


def names(folder):
    return [path.name for path in folder.iterdir()]


def assert_same(first, second):
    assert first.feature_dtype == second.feature_dtype
    for name in FIELDS:
        left, right = getattr(first, name), getattr(second, name)
        if left is None or right is None:
            assert left is right, name
        else:
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)


@pytest.fixture
def stats(rng):
    features, labels = make_features(40, 4, 3, 0.5, 2, np.float32, rng)
    return collect(features, labels, 3)


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("options", [{}, {"scatter": False}, {"precision": "double"}])
def test_round_trip_keeps_every_bit(tmp_path, options, as_text, rng):
    features, labels = make_features(80, 5, 4, 0.5, 2, np.float16, rng, missing=[2])
    first = collect(features, labels, 4, **options)
    path = tmp_path / "state.npz"
    first.save(str(path) if as_text else path)
    assert names(tmp_path) == ["state.npz"]
    assert_same(ClassStatistics.load(str(path) if as_text else path), first)


def test_round_trip_of_weights_scatters_by_class_and_selections(tmp_path, rng):
    features, labels = make_features(80, 5, 4, 0.5, 2, np.float32, rng, missing=[2])
    acc = ncfast.Accumulator(4, 5, scatter="class")
    acc.update(features, labels, rng.random(80))
    first = acc.statistics()
    for stats in (first, first.select([3, 2, 0]), first.select([0, 1], scatter=False)):
        stats.save(tmp_path / "state.npz")
        loaded = ClassStatistics.load(tmp_path / "state.npz")
        assert_same(loaded, stats)
        assert loaded.weighted
        assert_same(loaded.merge(stats), stats.merge(stats))


def test_files_of_version_1_load(tmp_path, stats):
    """As written before there were weights, scatters by class and selections."""
    content = {name: getattr(stats, name) for name in ("counts", "pivots", "sums", "square_sums", "pooled")}
    path = tmp_path / "old.npz"
    np.savez(path, **content, format="ncfast class statistics", version=1, feature_dtype="float32")
    loaded = ClassStatistics.load(path)
    assert_same(loaded, stats)
    assert not loaded.weighted


def test_save_takes_the_name_as_it_is(tmp_path, stats):
    stats.save(tmp_path / "epoch-3.ncs")
    assert names(tmp_path) == ["epoch-3.ncs"]
    assert_same(ClassStatistics.load(tmp_path / "epoch-3.ncs"), stats)


def test_save_replaces_an_older_file(tmp_path, stats):
    path = tmp_path / "state.npz"
    path.write_bytes(b"older")
    stats.save(path)
    assert_same(ClassStatistics.load(path), stats)
    assert names(tmp_path) == ["state.npz"]


def test_failed_save_keeps_the_older_file(tmp_path, stats, monkeypatch):
    path = tmp_path / "state.npz"
    stats.save(path)
    before = path.read_bytes()
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        stats.merge(stats).save(path)
    assert calls
    assert path.read_bytes() == before
    assert names(tmp_path) == ["state.npz"]


def test_save_into_a_missing_folder(tmp_path, stats):
    with pytest.raises(FileNotFoundError):
        stats.save(tmp_path / "nowhere" / "state.npz")


def test_load_of_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        ClassStatistics.load(tmp_path / "absent.npz")


def assert_refused(path):
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        ClassStatistics.load(path)
    return str(error.value)


def test_every_truncation_is_refused(tmp_path, stats):
    stats.save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "cut.npz"
    for cut in [*range(0, len(whole), 11), len(whole) - 1]:
        path.write_bytes(whole[:cut])
        assert_refused(path)


def test_flipped_bytes_are_refused_or_harmless(tmp_path, stats):
    """A few bytes of the container (times, attributes) carry nothing: those may pass."""
    stats.save(tmp_path / "whole.npz")
    whole = bytearray((tmp_path / "whole.npz").read_bytes())
    path = tmp_path / "flipped.npz"
    refused = 0
    for position in range(0, len(whole), 3):
        whole[position] ^= 1 << position % 8
        path.write_bytes(whole)
        try:
            assert_same(ClassStatistics.load(path), stats)
        except ValueError:
            refused += 1
        whole[position] ^= 1 << position % 8
    assert refused > len(whole) / 3 / 2


def rewrite(path, **changes):
    """The saved file with some of its arrays exchanged."""
    with np.load(path, allow_pickle=False) as held:
        arrays = dict(held)
    unknown = set(changes) - set(arrays)
    assert not unknown, f"the file has no {unknown}, only {sorted(arrays)}"
    np.savez(path, **(arrays | changes))


def test_a_newer_file_is_refused(tmp_path, stats):
    path = tmp_path / "state.npz"
    stats.save(path)
    with np.load(path, allow_pickle=False) as held:
        key = next(name for name in held.files if "version" in name)
        newer = held[key] + 1
    rewrite(path, **{key: newer})
    message = assert_refused(path)
    assert "version" in message
    assert str(int(newer)) in message


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": np.array([1, 2])},
        {"counts": np.array([1, -2, 3])},
        {"counts": np.array([1.5, 2.0, 3.0])},
        {"sums": np.zeros((3, 5))},
        {"sums": np.full((3, 4), np.nan)},
        {"pivots": np.zeros(12)},
        {"pooled": np.zeros((4, 5))},
        {"square_sums": np.array([1.0, -1.0, 1.0])},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_contents_that_do_not_fit_are_refused(tmp_path, stats, changes):
    path = tmp_path / "state.npz"
    stats.save(path)
    rewrite(path, **changes)
    assert_refused(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": np.array([1, 2])},
        {"rows": np.array([1.0, 2.0, 3.0])},
        {"rows": np.array([1, -2, 3])},
        {"counts": np.array([1, 2, 3])},
        {"counts": np.array([1.0, np.nan, 3.0])},
        {"chosen": np.array([4, 4, 5])},
        {"chosen": np.array([4, -1, 5])},
        {"chosen": np.array([1.0, 2.0, 3.0])},
        {"class_pooled": np.zeros((3, 4))},
        {"class_pooled": np.full((3, 4, 4), np.inf)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_weighted_contents_that_do_not_fit_are_refused(tmp_path, changes, rng):
    features, labels = make_features(40, 4, 6, 0.5, 2, np.float32, rng)
    acc = ncfast.Accumulator(6, 4, scatter="class")
    acc.update(features, labels, rng.random(40))
    path = tmp_path / "state.npz"
    acc.statistics().select([5, 0, 3]).save(path)
    rewrite(path, **changes)
    assert_refused(path)


class Bomb:
    """Unpickling this leaves a file behind."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def test_pickled_arrays_are_never_run(tmp_path, stats):
    path, trace = tmp_path / "state.npz", tmp_path / "ran"
    stats.save(path)
    rewrite(path, counts=np.array([Bomb(trace)], dtype=object))
    assert_refused(path)
    assert not trace.exists()


def test_alien_files_are_refused(tmp_path, stats):
    path = tmp_path / "alien.npz"
    np.savez(path, features=np.zeros((3, 4)))
    assert_refused(path)
    path.write_bytes(b"")
    assert_refused(path)
    path.write_bytes(bytes(range(256)) * 20)
    assert_refused(path)
    with path.open("wb") as file:  # a single array where an archive is expected
        np.save(file, np.zeros((3, 4)))
    assert_refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "not an array")
    assert_refused(path)
    stats.save(path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        parts = {name: archive.read(name) for name in names}
    with zipfile.ZipFile(path, "w") as archive:  # one member is missing
        for name in names[:-1]:
            archive.writestr(name, parts[name])
    assert_refused(path)
