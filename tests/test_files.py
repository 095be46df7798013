"""Features in files: every format gives the bits of the same features in memory, in bounded memory and in order."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

import files
import ncfast
from data import make_features
from ncfast import _streamed
from ncfast._features import as_features
from ncfast._source import FeatureFile, Source
from ncfast._streamed import Streamed

N, D, K = 1003, 21, 6
ROW = 2 * D * 4  # of two buffers


@pytest.fixture
def sample(rng):
    features, labels = make_features(N, D, K, 0.7, 3, np.float32, rng)
    return features, labels, rng.standard_normal((K, D))


@pytest.mark.parametrize("name", files.FORMATS)
def test_every_format_measures_as_memory_does(name, sample, tmp_path):
    features, labels, weights = sample
    paths, how = files.FORMATS[name](tmp_path, features, labels)
    opened = ncfast.open_features(*paths, **how)
    assert (opened.shape, opened.dtype) == ((N, D), "float32")
    np.testing.assert_array_equal(opened.labels, labels)
    assert ncfast.measure(opened, None, weights).to_dict() == ncfast.measure(features, labels, weights).to_dict()


@pytest.mark.parametrize("name", files.FORMATS)
def test_blocks_in_any_order(name, sample, tmp_path, rng):
    features, labels, _ = sample
    paths, how = files.FORMATS[name](tmp_path, features, labels)
    source = as_features(ncfast.open_features(*paths, memory=100 * ROW, **how))
    assert source.block_rows() <= 100
    for start, stop in [*source.ranges(77), (900, 950), (0, 3), (3, 6), (1002, N), (500, 501), (400, 500)]:
        np.testing.assert_array_equal(source.block(start, stop), features[start:stop])
    rows = np.flatnonzero(rng.random(N) < 0.3)
    np.testing.assert_array_equal(source.take(rows), features[rows])
    np.testing.assert_array_equal(source.block(10, 20), features[10:20])


@pytest.mark.parametrize("dtype", ["<f2", ">f2", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("name", ["npy", "npy_by_column", "npz", "raw", "hdf5", "zarr_group", "shards"])
def test_other_floats(name, dtype, sample, tmp_path):
    features, labels, _ = sample
    stored = features.astype(dtype)
    paths, how = files.FORMATS[name](tmp_path, stored, labels.astype(">i2"))
    opened = ncfast.open_features(*paths, **how)
    assert opened.dtype == np.dtype(dtype).newbyteorder("=").name
    assert ncfast.measure(opened).to_dict() == ncfast.measure(stored, labels).to_dict()


def test_bfloat16(sample, tmp_path):
    features, labels, _ = sample
    stored = features.astype(ml_dtypes.bfloat16)
    tensor = torch.from_numpy(stored.astype(np.float32)).bfloat16()
    np.save(tmp_path / "y.npy", labels)
    stored.tofile(tmp_path / "h.bin")
    torch.save(tensor, tmp_path / "h.pt")
    save_file({"h": tensor}, tmp_path / "h.safetensors")
    want = ncfast.measure(stored, labels)
    for file, how in (("h.bin", {"dtype": "bfloat16", "shape": (N, D)}), ("h.pt", {}), ("h.safetensors", {})):
        opened = ncfast.open_features(tmp_path / file, tmp_path / "y.npy", **how)
        assert opened.dtype == "bfloat16"
        got = ncfast.measure(opened)
        assert (got.to_dict(), got.feature_dtype) == (want.to_dict(), "bfloat16")


def test_all_options_and_callers(sample, tmp_path, rng):
    features, labels, weights = sample
    features[17] = np.nan
    paths, how = files.npz(tmp_path, features, labels)
    opened = ncfast.open_features(*paths, **how)
    options = {
        "metrics": "all",
        "nonfinite": "skip",
        "sample_weights": rng.integers(0, 3, N),
        "classes": [1, 4, 2],
        "errors": True,
        "precision": "double",
    }
    got, want = (ncfast.measure(h, labels, weights, **options) for h in (opened, features))
    assert got.to_dict() == want.to_dict()
    assert (got.skipped_rows, got.errors) == (want.skipped_rows, want.errors)

    layers = ncfast.measure_layers({"a": opened, "b": opened, "c": features[:, :9]}, labels, nonfinite="skip")
    assert layers["a"].to_dict() == layers["b"].to_dict() == ncfast.measure(opened, nonfinite="skip").to_dict()

    acc = ncfast.Accumulator(K, D, nonfinite="skip")
    acc.update(opened, labels)
    against = [
        ncfast.measure_against(acc.statistics(), h, labels, nonfinite="skip").to_dict() for h in (opened, features)
    ]
    assert against[0] == against[1]

    clean = features[18:]
    outliers = ncfast.open_features(files.npy(tmp_path, clean[:50], labels[:50])[0][0])
    got, want = (ncfast.measure(clean, labels[18:], outliers=h, metrics="nc5") for h in (outliers, clean[:50]))
    assert got.to_dict() == want.to_dict()


class Recorded(Source):
    """Rows that say who reads them, and may fail."""

    def __init__(self, features, fails_at=None):
        self.path, self.shape, self.dtype, self.stored = "recorded", features.shape, "float32", features.dtype
        self.features, self.reads, self.fails_at = features, [], fails_at

    def read(self, start, out):
        self.reads.append((start, start + len(out), threading.current_thread()))
        if self.fails_at is not None and start <= self.fails_at < start + len(out):
            raise ValueError(f"recorded: no row {self.fails_at}")
        out[...] = self.features[start : start + len(out)]

    def files(self):
        return ()


def test_rows_are_read_in_order_ahead_and_in_bounded_memory(sample):
    features, labels, weights = sample
    source = Recorded(features)
    report = ncfast.measure(FeatureFile(source, labels, 64 * ROW), None, weights, method="projection")
    assert sum("pass" in step for step in report.plan) == 2
    ranges = [(start, min(start + 64, N)) for start in range(0, N, 64)]
    assert [read[:2] for read in source.reads] == 2 * ranges
    main = threading.main_thread()
    assert [read[0] for read in source.reads if read[2] is main] == [0, 0]  # all others while something is computed


def test_the_next_rows_are_read_while_these_are_in_use(sample):
    features, _, _ = sample
    arrived = threading.Event()
    source = Recorded(features)
    plain = source.read

    def read(start, out):
        plain(start, out)
        if start == 64:
            arrived.set()

    source.read = read
    stream = Streamed(source, 64 * ROW)
    block = stream.block(0, 64)
    assert arrived.wait(10)
    np.testing.assert_array_equal(block, features[:64])
    assert stream.block(0, 64) is block


class Cached(Recorded):
    """Rows that never wait."""

    def waits(self, *_):
        return False


@pytest.mark.parametrize("kind", [Recorded, Cached])
def test_errors_of_the_reading_thread_are_raised(kind, sample):
    features, labels, _ = sample
    with pytest.raises(ValueError, match="recorded: no row 700"):
        ncfast.measure(FeatureFile(kind(features, fails_at=700), labels, 64 * ROW))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_what_need_not_be_waited_for_is_copied_in_pieces_when_asked_for(dtype, sample, monkeypatch):
    features = sample[0].astype(dtype)
    monkeypatch.setattr(_streamed, "_PIECE_BYTES", 10 * D * 4)
    source = Cached(features)
    source.dtype = features.dtype.name
    stream = Streamed(source, 64 * (ROW + D * 2))
    for start, stop in [(0, 64), (64, 100), (900, 964)]:
        np.testing.assert_array_equal(stream.block(start, stop), features[start:stop])
        pieces = [(first, min(first + 10, stop)) for first in range(start, stop, 10)]
        assert sorted(read[:2] for read in source.reads) == pieces
        assert threading.main_thread() not in {read[2] for read in source.reads}
        source.reads.clear()


@pytest.mark.parametrize("name", ["npy", "safetensors_indexed"])
def test_only_what_is_not_in_the_page_cache_is_read_ahead(name, sample, tmp_path, monkeypatch):
    features, labels, weights = sample
    paths, how = files.FORMATS[name](tmp_path, features, labels)
    opened = ncfast.open_features(*paths, memory=64 * ROW, **how)
    expected = ncfast.measure(FeatureFile(Recorded(features), labels, 64 * ROW), None, weights).to_dict()
    plain, cached = os.preadv, 0

    def preadv(descriptor, buffers, place, flags=0):
        if flags and place >= cached:
            raise BlockingIOError
        return plain(descriptor, buffers, place)

    monkeypatch.setattr(os, "preadv", preadv)
    seen = {}
    for cached in (0, 400 * D, 1 << 40):
        seen[cached] = [opened.source.waits(start, start + 50) for start in range(0, N - 50, 50)]
        assert ncfast.measure(opened, None, weights).to_dict() == expected
    assert all(seen[0])
    assert not any(seen[1 << 40])
    assert 0 < sum(seen[400 * D]) < len(seen[0])
    cached = 1 << 40
    monkeypatch.setattr(os, "preadv", lambda *given: plain(*given[:3]) if len(given) < 4 else plain(-1, [], 0))
    assert opened.source.waits(0, 50)  # a file system that cannot tell


def test_memory_that_holds_no_row(sample):
    features, labels, _ = sample
    with pytest.raises(ValueError, match=r"memory is 100 bytes; wanted at least 168, two rows of recorded"):
        ncfast.measure(FeatureFile(Recorded(features), labels, 100))


MEMORY = """
import pathlib, sys, ncfast

def peak():  # of this program; getrusage would count that of whoever started it
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

opened = ncfast.open_features(sys.argv[1], sys.argv[2], memory=16 << 20)
before = peak()
ncfast.measure(opened, metrics=["nc1_trace_ratio", "ncc_accuracy"])
print((peak() - before) / 1024)
"""


def test_resident_memory_is_that_of_the_buffers(tmp_path):
    """512 MB in a file with a hole; its first and last rows tell classes apart."""
    rows, cols = 1_000_000, 128
    file = np.lib.format.open_memmap(tmp_path / "h.npy", mode="w+", dtype=np.float32, shape=(rows, cols))
    file[:2, 0], file[-1, 1] = (1, -1), 1
    del file
    labels = np.zeros(rows, np.uint8)
    labels[[1, -1]] = 1, 2
    np.save(tmp_path / "y.npy", labels)
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "h.npy"), str(tmp_path / "y.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 64


# Traps of readers.


def test_arrow_nulls_are_refused_not_dropped(sample, tmp_path):
    """Arrow drops the values of null rows: all later labels would shift."""
    features, labels, _ = sample
    lists = [row.tolist() for row in features]
    lists[700] = None
    for spoil, file in ((None, "h.parquet"), ([0.5, None] + [0.0] * (D - 2), "g.parquet")):
        lists[700] = spoil
        column = pa.array(lists, pa.list_(pa.float32(), D))
        pq.write_table(pa.table({"features": column, "labels": labels}), tmp_path / file, row_group_size=300)
        with pytest.raises(ValueError, match=f"{file}:features: holds a null at row 700; wanted a value in every row"):
            ncfast.measure(ncfast.open_features(tmp_path / file))


def test_null_labels_are_refused(sample, tmp_path):
    features, labels, _ = sample
    nulled = pa.array([None if i == 40 else int(y) for i, y in enumerate(labels)])
    pq.write_table(files.table(features, labels).set_column(2, "label", nulled), tmp_path / "h.parquet")
    with pytest.raises(ValueError, match="label: holds a null at row 40"):
        ncfast.open_features(tmp_path / "h.parquet")


def test_blocks_may_end_past_no_tensor(sample, tmp_path):
    """A safetensors slice past the end raises where numpy's would be short: the last block ends with the tensor."""
    features, labels, _ = sample
    paths, _ = files.safetensors(tmp_path, features, labels)
    for rows in (1, 100, N - 1, N, N + 1):
        opened = ncfast.open_features(*paths, memory=rows * ROW)
        assert ncfast.measure(opened).num_samples == N


def test_chunks_that_are_missing_are_no_zeros(sample, tmp_path):
    features, labels, _ = sample
    paths, how = files.zarr_group(tmp_path, features, labels)
    (tmp_path / "dump.zarr" / "features" / "c" / "0" / "0").unlink()
    with pytest.raises(ValueError, match="has 10 of 11 chunks"):
        ncfast.measure(ncfast.open_features(*paths, **how))


@pytest.mark.parametrize(
    ("module", "extra", "name"),
    [
        ("pyarrow", "parquet", "parquet"),
        ("pyarrow", "parquet", "arrow_file"),
        ("safetensors", "safetensors", "safetensors"),
        ("h5py", "hdf5", "hdf5"),
        ("zarr", "zarr", "zarr_group"),
        ("torch", "torch", "torch_dict"),
    ],
)
def test_a_missing_reader_is_named(module, extra, name, sample, tmp_path, monkeypatch):
    features, labels, _ = sample
    paths, how = files.FORMATS[name](tmp_path, features, labels)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'{module} is not installed.*pip install "ncfast\[{extra}\]"'):
        ncfast.open_features(*paths, **how)


@pytest.mark.parametrize("name", ["npy", "npz", "parquet"])
def test_files_that_change_while_they_are_read(name, sample, tmp_path):
    features, labels, _ = sample
    paths, _ = files.FORMATS[name](tmp_path, features, labels)
    opened = ncfast.open_features(*paths)
    with open(paths[0], "ab") as file:  # noqa: PTH123 - a string
        file.truncate(5000)
    with pytest.raises(ValueError, match=rf"{paths[0]}.*: was changed while it was being read"):
        ncfast.measure(opened)


def test_names_are_chosen_or_asked_for(sample, tmp_path):
    features, labels, _ = sample
    np.savez(tmp_path / "two.npz", a=features, b=features, labels=labels, targets=labels[::-1])
    with pytest.raises(ValueError, match=r"two.npz: holds 'a' float32\[1003, 21\], .* wanted one array of features"):
        ncfast.open_features(tmp_path / "two.npz")
    opened = ncfast.open_features(tmp_path / "two.npz", features_name="b", labels_name="targets")
    np.testing.assert_array_equal(opened.labels, labels[::-1])
    with pytest.raises(ValueError, match="wanted features 'c'"):
        ncfast.open_features(tmp_path / "two.npz", features_name="c")
    assert "with labels" in repr(opened)


def test_labels_must_be_somewhere(sample, tmp_path):
    features, labels, _ = sample
    opened = ncfast.open_features(files.npy(tmp_path, features, labels)[0][0])
    assert opened.labels is None
    with pytest.raises(TypeError, match="labels is missing"):
        ncfast.measure(opened)
