"""Files that are damaged, forged or of no use: one line that names the file, exit code 2, nothing unpickled."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import zarr

import files
from ncfast.cli import main

N, D = 30, 5
FEATURES = np.random.default_rng(1).standard_normal((N, D)).astype(np.float32)
LABELS = np.arange(N) % 3


class Bomb:
    """Creates a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run the command; return its one line of complaint."""
    assert main(["measure", *map(str, arguments), "--quiet"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("ncfast: error: ")
    assert shown.err.count("\n") == 1
    return shown.err


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    padded = text.encode() + b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version[0] == 1 else "<I", len(padded)) + padded


def forged(shape: str, descr: str = "'<f4'") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")


HEADERS = {
    "empty": (b"", "not a readable .npy"),
    "text": (b"1.0 2.0 3.0\n", "not a readable .npy"),
    "cut_in_magic": (b"\x93NUM", "not a readable .npy"),
    "cut_in_header": (forged("(30, 5)")[:40], "not a readable .npy"),
    "version_9": (b"\x93NUMPY\x09\x00" + bytes(80), "not a readable .npy"),
    "no_dict": (header("[1, 2, 3]"), "not a readable .npy"),
    "brackets": (header("{'descr': '<f4'" + "(" * 3000), "not a readable .npy"),
    "long_header": (header("{" + " " * 20_000 + "}"), "not a readable .npy"),
    "negative": (forged("(-30, 5)") + bytes(600), "at least 0"),
    "boolean": (forged("(True, 5)") + bytes(20), "at least 0"),
    "float_shape": (forged("(30.0, 5)") + bytes(600), "not a readable .npy"),
    "overflow": (forged("(4611686018427387905, 4)") + bytes(600), "more bytes than any file"),
    "overflow_to_fit": (forged("(18446744073709551646, 5)") + bytes(600), "more bytes than any file"),
    "petabytes": (forged("(1099511627776, 8192)"), "truncated, or its header is wrong"),
    "wide": (forged("(1, 1099511627776)"), "truncated, or its header is wrong"),
    "truncated": (forged("(30, 5)") + bytes(599), "has 727 bytes; wanted 728"),
    "more": (forged("(30, 5)") + bytes(601), "something follows its array"),
    "structured": (forged("(30,)", "[('a', '<f4')]") + bytes(120), "wanted features"),
    "no_dtype": (forged("(30, 5)", "'<q77'") + bytes(600), "not a readable .npy"),
    "integers": (forged("(30, 5)", "'<i4'") + bytes(600), "wanted features (N, d)"),
    "one_dimension": (forged("(150,)") + bytes(600), "wanted features (N, d)"),
    "no_columns": (forged("(30, 0)"), "wanted features (N, d)"),
    "no_rows": (forged("(0, 5)"), "holds 30 labels; wanted 0"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_npy_headers(name, tmp_path, capsys):
    content, message = HEADERS[name]
    (tmp_path / "h.npy").write_bytes(content)
    np.save(tmp_path / "y.npy", LABELS)
    said = refused(capsys, tmp_path / "h.npy", tmp_path / "y.npy")
    assert message in said
    assert ".npy" in said


def test_nothing_is_unpickled(tmp_path, capsys):
    bomb = Bomb(tmp_path / "exploded")
    np.save(tmp_path / "y.npy", LABELS)
    np.save(tmp_path / "h.npy", np.array([bomb, bomb], dtype=object), allow_pickle=True)
    assert "would have to be unpickled" in refused(capsys, tmp_path / "h.npy", tmp_path / "y.npy")
    np.savez(tmp_path / "h.npz", features=np.array([bomb], dtype=object))
    assert "would have to be unpickled" in refused(capsys, tmp_path / "h.npz", tmp_path / "y.npy")
    (tmp_path / "p.npy").write_bytes(pickle.dumps(bomb))
    assert "not a readable .npy" in refused(capsys, tmp_path / "p.npy", tmp_path / "y.npy")
    torch.save({"features": torch.from_numpy(FEATURES), "labels": bomb}, tmp_path / "h.pt")
    assert "h.pt" in refused(capsys, tmp_path / "h.pt", tmp_path / "y.npy")
    (tmp_path / "p.pt").write_bytes(pickle.dumps(bomb))
    assert "p.pt" in refused(capsys, tmp_path / "p.pt", tmp_path / "y.npy")
    assert not bomb.path.exists()
    pickle.loads((tmp_path / "p.pt").read_bytes())
    assert bomb.path.exists()  # it would have


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", ["npz", "npz_deflated", "safetensors", "parquet", "arrow_file", "hdf5", "torch_dict"])
def test_truncated_files(name, keep, tmp_path, capsys):
    paths, how = files.FORMATS[name](tmp_path, FEATURES, LABELS)
    content = Path(paths[0]).read_bytes()
    Path(paths[0]).write_bytes(content[: int(keep * len(content))])
    options = [text for key, value in how.items() for text in (f"--{key.replace('_', '-')}", value)]
    assert Path(paths[0]).name in refused(capsys, *paths, *options)


def test_a_stream_that_ends_early(tmp_path, capsys):
    """What an Arrow stream holds shows at its end alone: the labels are as many as there are rows left."""
    paths, _ = files.arrow_stream(tmp_path, *(np.concatenate([part] * 20) for part in (FEATURES, LABELS)))
    content = Path(paths[0]).read_bytes()
    Path(paths[0]).write_bytes(content[: len(content) // 2])
    assert "dump.arrow" in refused(capsys, *paths)


@pytest.mark.parametrize("name", ["npz", "npz_deflated"])
def test_flipped_bits_in_archives(name, tmp_path, capsys):
    paths, _ = files.FORMATS[name](tmp_path, FEATURES, LABELS)
    content = bytearray(Path(paths[0]).read_bytes())
    content[300] ^= 4
    Path(paths[0]).write_bytes(content)
    assert "dump.npz" in refused(capsys, *paths)


def test_shards_that_do_not_match(tmp_path, capsys):
    (tmp_path / "s").mkdir()
    np.save(tmp_path / "y.npy", LABELS)
    np.save(tmp_path / "s" / "a0.npy", FEATURES[:20])
    np.save(tmp_path / "s" / "a1.npy", FEATURES[20:, :4])
    said = refused(capsys, tmp_path / "s", tmp_path / "y.npy")
    assert "a1.npy has shape (10, 4)" in said
    assert "a0.npy (20, 5); wanted shards of the same width" in said
    np.save(tmp_path / "s" / "a1.npy", FEATURES[20:].astype(np.float16))
    assert "wanted shards of one dtype" in refused(capsys, tmp_path / "s", tmp_path / "y.npy")
    (tmp_path / "s" / "a1.npz").touch()
    assert "holds files of .npy, .npz; choose one kind" in refused(capsys, tmp_path / "s", tmp_path / "y.npy")


def test_labels_of_another_length(tmp_path, capsys):
    paths, _ = files.npy(tmp_path, FEATURES, LABELS[:-1])
    assert "holds 29 labels; wanted 30, one per row" in refused(capsys, *paths)
    np.savez(tmp_path / "h.npz", features=FEATURES, labels=LABELS[:7])
    assert "holds 7 labels; wanted 30" in refused(capsys, tmp_path / "h.npz")
    np.save(tmp_path / "labels.npy", LABELS.astype(float))
    assert "of float64; wanted labels (N,) of integers" in refused(capsys, *paths)


def test_paths_that_lead_nowhere(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("nothing")
    labels = tmp_path / "y.npy"
    np.save(labels, LABELS)
    assert "a folder without shards" in refused(capsys, tmp_path / "empty", labels)
    assert "matches no file" in refused(capsys, tmp_path / "*.parquet", labels)
    assert "No such file" in refused(capsys, tmp_path / "none.npy", labels)
    assert "suffix .txt; wanted one of .npy" in refused(capsys, tmp_path / "notes.txt", labels)
    assert "has no labels beside the features" in refused(capsys, files.npy(tmp_path, FEATURES, LABELS)[0][0])
    (tmp_path / "loop.npy").symlink_to(tmp_path / "loop.npy")
    assert "loop.npy" in refused(capsys, tmp_path / "loop.npy", labels)


def test_unreadable_files(tmp_path, capsys, monkeypatch):
    """Root may read everything: what the system says is put in its mouth."""
    paths, _ = files.npy(tmp_path, FEATURES, LABELS)
    Path(paths[0]).chmod(0)
    if os.access(paths[0], os.R_OK):
        plain = Path.open

        def denied(self, *how, **more):
            if str(self) == paths[0]:
                raise PermissionError(13, "Permission denied", str(self))
            return plain(self, *how, **more)

        monkeypatch.setattr(Path, "open", denied)
    assert "features.npy: Permission denied" in refused(capsys, *paths)


def test_bare_numbers(tmp_path, capsys):
    np.save(tmp_path / "y.npy", LABELS)
    (tmp_path / "h.bin").write_bytes(FEATURES.tobytes())
    command = [tmp_path / "h.bin", tmp_path / "y.npy", "--dtype", "float32", "--shape"]
    assert "has 600 bytes; wanted 604,320" in refused(capsys, *command, "30216,5")
    assert "has 600 bytes from offset 0 on; wanted a multiple of 28, a row" in refused(capsys, *command, "7")
    assert "wanted sizes of at least 0" in refused(capsys, *command, "30,-5")
    assert "wanted 73,786,976,294,838,206,464" in refused(capsys, *command, "4611686018427387904,4")
    assert "wanted the name of a numpy dtype" in refused(capsys, *command[:3], "float33", "--shape", "5")
    assert "wanted dtype beside them" in refused(capsys, *command[:2], "--shape", "5")


def test_indices_of_safetensors(tmp_path, capsys):
    paths, _ = files.safetensors_indexed(tmp_path, *(np.concatenate([part] * 4) for part in (FEATURES, LABELS)))
    index = json.loads(Path(paths[0]).read_text())
    for spoilt, message in (
        ({"weight_map": {"features.0": "../dump-0.safetensors"}}, "names files in other folders"),
        ({"weight_map": {"features.9": "dump-0.safetensors"}}, "holds no tensor 'features.9'"),
        ({"weight_map": {"features.0": "gone.safetensors"}}, "No such file"),
        ({"weight_map": {}}, "names no tensors"),
        ({"weight_map": 7}, "dump.safetensors.index.json"),
        ({}, "dump.safetensors.index.json"),
        ([index], "dump.safetensors.index.json"),
    ):
        Path(paths[0]).write_text(json.dumps(spoilt))
        assert message in refused(capsys, paths[0])
    Path(paths[0]).write_text("{")
    assert "dump.safetensors.index.json" in refused(capsys, paths[0])


def test_columns_of_other_types(tmp_path, capsys):
    """Lists of any length, text and dates are no features."""
    lists = pa.array([row.tolist() for row in FEATURES])
    pq.write_table(pa.table({"features": lists, "labels": LABELS}), tmp_path / "h.parquet")
    assert "list<" in refused(capsys, tmp_path / "h.parquet")
    pq.write_table(pa.table({"labels": LABELS}), tmp_path / "h.parquet")
    assert "wanted features" in refused(capsys, tmp_path / "h.parquet")
    text = pa.array([str(y) for y in LABELS])
    pq.write_table(files.table(FEATURES, LABELS).set_column(2, "label", text), tmp_path / "h.parquet")
    assert "of string; wanted labels (N,) of integers" in refused(capsys, tmp_path / "h.parquet")


def test_forged_sizes_of_stores_with_default_values(tmp_path, capsys):
    """Arrays whose chunks were never written may have any shape: no memory is taken for it."""
    zarr.create_array(tmp_path / "h.zarr", shape=(N, 2**45), chunks=(1, 2**40), dtype="f4")
    zarr.create_array(tmp_path / "y.zarr", shape=(2**50,), chunks=(2**40,), dtype="i8")
    np.save(tmp_path / "y.npy", LABELS)
    np.save(tmp_path / "h.npy", FEATURES)
    assert "memory is" in refused(capsys, tmp_path / "h.zarr", tmp_path / "y.npy")
    assert "wanted 30, one per row" in refused(capsys, tmp_path / "h.npy", tmp_path / "y.zarr")
    with h5py.File(tmp_path / "h.h5", "w") as file:
        file.create_dataset("features", shape=(N, D), dtype="f4", chunks=(10, D))
        file.create_dataset("huge", shape=(2**40, 2**20), dtype="f4", chunks=(1, 2**10))
    assert "0 of 3 chunks: the others were never" in refused(capsys, tmp_path / "h.h5", tmp_path / "y.npy")
    said = refused(capsys, tmp_path / "h.h5", tmp_path / "y.npy", "--features-name", "huge")
    assert "holds 30 labels; wanted 1,099,511,627,776" in said
