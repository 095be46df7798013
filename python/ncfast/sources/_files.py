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
    files = expand(paths, any_suffix=raw is not None)
    name = os.fspath(paths) if isinstance(paths, str | os.PathLike) else f"{files[0]} and {len(files) - 1} more"
    return name, [entries for file in files for entries in _entries_of(file, raw)]


def expand(paths: PathLike | Iterable[PathLike], *, any_suffix: bool = False) -> list[str]:
    """Return the files that paths, patterns and folders stand for, in order; a Zarr folder stands for itself."""
    if not isinstance(paths, str | os.PathLike):
        if not isinstance(paths, Iterable):
            raise TypeError(f"path is {paths!r}; wanted a path, or an iterable of paths")
        files = [file for path in paths for file in expand(path, any_suffix=any_suffix)]
        if not files:
            raise ValueError("paths is empty; wanted at least one")
        return files
    path = os.fspath(paths)
    if not Path(path).exists() and glob.has_magic(path):
        found = sorted(glob.glob(path, recursive=True), key=_natural)  # noqa: PTH207 - patterns with a root
        if not found:
            raise ValueError(f"{path}: matches no file")
        return expand(found, any_suffix=any_suffix)
    return _shards(path, any_suffix) if Path(path).is_dir() and not _is_zarr(path) else [path]


def _shards(folder: str, any_suffix: bool) -> list[str]:
    indices = sorted(str(path) for path in Path(folder).glob(f"*{_INDEX}"))
    if len(indices) == 1:
        return indices
    shards = [str(path) for path in Path(folder).iterdir() if any_suffix or path.suffix.lower() in _FORMATS]
    kinds = sorted({Path(shard).suffix for shard in shards})
    if not shards:
        raise ValueError(f"{folder}: a folder without shards; wanted files of {', '.join(_FORMATS)}")
    if len(kinds) > 1:
        raise ValueError(f"{folder}: holds files of {', '.join(kinds)}; choose one kind, as in {folder}/*{kinds[0]}")
    return sorted(shards, key=_natural)


def _is_zarr(folder: str) -> bool:
    return any((Path(folder) / name).exists() for name in ("zarr.json", ".zarray", ".zgroup"))


def _entries_of(file: str, raw: Raw | None) -> list[Entries]:
    if Path(file).is_dir():
        return [_load("zarr", "entries")(file)]
    with Path(file).open("rb"):  # says why it cannot be read, before a reader says so in its own way
        pass
    if raw is not None:
        return [_load("raw", "entries")(file, raw.dtype, raw.shape, raw.offset)]
    if file.endswith(_INDEX):
        return _load("safetensors", "indexed")(file)  # type: ignore[no-any-return]
    suffix = Path(file).suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(
            f"{file}: suffix {suffix or 'missing'}; wanted one of {', '.join(_FORMATS)}, a Zarr folder, or dtype and"
            " shape of bare numbers"
        )
    return [_load(*_FORMATS[suffix])(file)]


def _natural(path: str) -> list[Any]:
    """Sort shard 2 before shard 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", path)]


def _load(module: str, function: str) -> Callable[..., Any]:
    return getattr(import_module(f".{module}", __package__), function)  # type: ignore[no-any-return]
