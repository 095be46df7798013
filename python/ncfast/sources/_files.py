"""From a path, glob or list of paths to the arrays of each file."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from .._source import Source

Entries = dict[str, Source]
PathLike = str | os.PathLike[str]

# Suffix: module and function that returns the arrays of a file.
_FORMATS = {
    ".npy": ("npy", "entries"),
    ".npz": ("npz", "entries"),
    ".safetensors": ("safetensors", "entries"),
    ".parquet": ("arrow", "parquet"),
    ".pq": ("arrow", "parquet"),
    ".arrow": ("arrow", "ipc"),
    ".feather": ("arrow", "ipc"),
    ".h5": ("hdf5", "entries"),
    ".hdf5": ("hdf5", "entries"),
    ".pt": ("torch", "entries"),
    ".pth": ("torch", "entries"),
}
_INDEX = ".safetensors.index.json"


@dataclass(frozen=True)
class Raw:
    """What a file of bare numbers holds."""

    dtype: Any
    shape: tuple[int, ...] | None
    offset: int


def open_entries(paths: PathLike | Iterable[PathLike], raw: Raw | None) -> tuple[str, list[Entries]]:
    """Return what to call the paths, and the arrays of each file in order."""
    if isinstance(paths, str | os.PathLike):
        name = os.fspath(paths)
        return name, _of_path(name, raw)
    names = [os.fspath(path) for path in paths]
    if not names:
        raise ValueError("paths is empty; wanted at least one")
    return f"{names[0]} and {len(names) - 1} more", [entries for name in names for entries in _of_path(name, raw)]


def _of_path(path: str, raw: Raw | None) -> list[Entries]:
    if path.endswith(_INDEX):
        return _load("safetensors", "indexed")(path)  # type: ignore[no-any-return]
    if not Path(path).exists() and glob.has_magic(path):
        shards = sorted(glob.glob(path, recursive=True), key=_natural)  # noqa: PTH207 - patterns with a root
        if not shards:
            raise ValueError(f"{path}: matches no file")
        return [entries for shard in shards for entries in _of_path(shard, raw)]
    if Path(path).is_dir():
        return _of_folder(path, raw)
    with Path(path).open("rb"):  # says why it cannot be read, before a reader says so in its own way
        pass
    if raw is not None:
        return [_load("raw", "entries")(path, raw.dtype, raw.shape, raw.offset)]
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(
            f"{path}: suffix {suffix or 'missing'}; wanted one of {', '.join(_FORMATS)}, a Zarr folder, or dtype and"
            " shape of bare numbers"
        )
    return [_load(*_FORMATS[suffix])(path)]


def _of_folder(folder: str, raw: Raw | None) -> list[Entries]:
    if any((Path(folder) / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
        return [_load("zarr", "entries")(folder)]
    indices = sorted(str(path) for path in Path(folder).glob(f"*{_INDEX}"))
    if len(indices) == 1:
        return _of_path(indices[0], None)
    shards = [str(path) for path in Path(folder).iterdir() if raw is not None or path.suffix.lower() in _FORMATS]
    kinds = sorted({Path(shard).suffix for shard in shards})
    if not shards:
        raise ValueError(f"{folder}: a folder without shards; wanted files of {', '.join(_FORMATS)}")
    if len(kinds) > 1:
        raise ValueError(f"{folder}: holds files of {', '.join(kinds)}; choose one kind, as in {folder}/*{kinds[0]}")
    return [entries for shard in sorted(shards, key=_natural) for entries in _of_path(shard, raw)]


def _natural(path: str) -> list[Any]:
    """Sort shard 2 before shard 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", path)]


def _load(module: str, function: str) -> Callable[..., Any]:
    return getattr(import_module(f".{module}", __package__), function)  # type: ignore[no-any-return]
