"""The same labelled features written in every format that can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import zarr
from safetensors.numpy import save_file

Array = npt.NDArray[Any]
Written = tuple[list[str], dict[str, Any]]
"""Positional and keyword arguments of `ncfast.open_features`."""


def npy(folder: Path, features: Array, labels: Array) -> Written:
    np.save(folder / "features.npy", features)
    np.save(folder / "labels.npy", labels)
    return [str(folder / "features.npy"), str(folder / "labels.npy")], {}


def npy_by_column(folder: Path, features: Array, labels: Array) -> Written:
    return npy(folder, np.asfortranarray(features), labels)


def npz(folder: Path, features: Array, labels: Array) -> Written:
    np.savez(folder / "dump.npz", features=features, labels=labels)
    return [str(folder / "dump.npz")], {}


def npz_deflated(folder: Path, features: Array, labels: Array) -> Written:
    np.savez_compressed(folder / "dump.npz", h=features, y=labels)
    return [str(folder / "dump.npz")], {}


def raw(folder: Path, features: Array, labels: Array) -> Written:
    npy(folder, features, labels)
    (folder / "dump.bin").write_bytes(b"header" + features.tobytes())
    how = {"dtype": features.dtype, "shape": (-1, features.shape[1]), "offset": 6}
    return [str(folder / "dump.bin"), str(folder / "labels.npy")], how


def safetensors(folder: Path, features: Array, labels: Array) -> Written:
    save_file({"other": labels[:3].copy(), "features": features, "labels": labels}, folder / "dump.safetensors")
    return [str(folder / "dump.safetensors")], {}


def safetensors_indexed(folder: Path, features: Array, labels: Array) -> Written:
    weight_map = {}
    for i, part in enumerate((slice(0, 100), slice(100, 101), slice(101, None))):
        file = f"dump-{i}.safetensors"
        pieces = {f"features.{i}": features[part].copy(), f"labels.{i}": labels[part].copy()}
        save_file(pieces, folder / file)
        weight_map |= dict.fromkeys(pieces, file)
    (folder / "dump.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return [str(folder / "dump.safetensors.index.json")], {}


def table(features: Array, labels: Array) -> pa.Table:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1])
    return pa.table({"name": ["x"] * len(labels), "embedding": lists, "label": labels})


def parquet(folder: Path, features: Array, labels: Array) -> Written:
    pq.write_table(table(features, labels), folder / "dump.parquet", row_group_size=171)
    return [str(folder / "dump.parquet")], {}


def arrow_file(folder: Path, features: Array, labels: Array) -> Written:
    # Slices of a longer table: their values begin in the middle of a buffer.
    rows = table(np.concatenate([features[:5], features]), np.concatenate([labels[:5], labels])).slice(5)
    with pa.OSFile(str(folder / "dump.arrow"), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=170)
    return [str(folder / "dump.arrow")], {}


def arrow_stream(folder: Path, features: Array, labels: Array) -> Written:
    rows = table(features, labels)
    with pa.OSFile(str(folder / "dump.arrow"), "wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=170)
    return [str(folder / "dump.arrow")], {}


def hdf5(folder: Path, features: Array, labels: Array) -> Written:
    with h5py.File(folder / "dump.h5", "w") as file:
        file.create_dataset("train/features", data=features, chunks=(min(64, len(labels)), 2), compression="gzip")
        file["train/labels"] = labels
    return [str(folder / "dump.h5")], {"features_name": "train/features", "labels_name": "train/labels"}


def hdf5_contiguous(folder: Path, features: Array, labels: Array) -> Written:
    with h5py.File(folder / "dump.h5", "w") as file:
        file["features"], file["labels"] = features, labels
    return [str(folder / "dump.h5")], {}


def zarr_group(folder: Path, features: Array, labels: Array) -> Written:
    group = zarr.open_group(folder / "dump.zarr", mode="w")
    for name, array in (("features", features), ("labels", labels)):
        group.create_array(name, shape=array.shape, dtype=array.dtype, chunks=(97, *array.shape[1:]))[...] = array
    return [str(folder / "dump.zarr")], {}


def zarr_arrays(folder: Path, features: Array, labels: Array) -> Written:
    for name, array in (("h", features), ("y", labels)):
        shape = dict(zip(("shape", "chunks", "shards"), zip(*_SHARDED[: array.ndim], strict=True), strict=True))
        shape["shape"] = array.shape
        zarr.create_array(folder / f"{name}.zarr", dtype=array.dtype, compressors=None, **shape)[...] = array
    return [str(folder / "h.zarr"), str(folder / "y.zarr")], {}


_SHARDED = ((0, 32, 96), (0, 7, 21))


def torch_dict(folder: Path, features: Array, labels: Array) -> Written:
    torch.save({"features": torch.from_numpy(features), "labels": torch.from_numpy(labels)}, folder / "dump.pt")
    return [str(folder / "dump.pt")], {}


def torch_view(folder: Path, features: Array, labels: Array) -> Written:
    """A slice of a tensor, and its transpose in memory."""
    longer = torch.from_numpy(np.concatenate([features[:7], features]))
    torch.save([longer[7:], torch.from_numpy(labels)], folder / "dump.pth")
    return [str(folder / "dump.pth")], {"labels_name": "1"}


def shards(folder: Path, features: Array, labels: Array) -> Written:
    (folder / "shards").mkdir()
    for i, rows in enumerate(np.array_split(np.arange(len(labels)), 11)):
        np.savez(folder / "shards" / f"part-{i}.npz", features=features[rows], labels=labels[rows])
    return [str(folder / "shards")], {}


def pattern(folder: Path, features: Array, labels: Array) -> Written:
    for i, rows in enumerate(np.array_split(np.arange(len(labels)), 11)):
        np.save(folder / f"h{i}.npy", features[rows])
        np.save(folder / f"y{i}.npy", labels[rows])
    return [str(folder / "h*.npy"), str(folder / "y*.npy")], {}


FORMATS: dict[str, Callable[[Path, Array, Array], Written]] = {
    write.__name__: write
    for write in (
        *(npy, npy_by_column, npz, npz_deflated, raw, safetensors, safetensors_indexed, parquet, arrow_file),
        *(arrow_stream, hdf5, hdf5_contiguous, zarr_group, zarr_arrays, torch_dict, torch_view, shards, pattern),
    )
}
