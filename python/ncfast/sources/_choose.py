"""Which arrays of a file are features and which labels: as named, or the only ones that can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._features import STORED
from .._source import Source
from ._files import Entries
from ._joined import Joined

_LABEL_NAMES = ("labels", "label", "targets", "target", "y")


def features_of(path: str, files: Sequence[Entries], name: str | None) -> Source:
    """Return the features in the files, one after the other."""

    def is_matrix(source: Source) -> bool:
        return len(source.shape) == 2 and source.dtype in STORED

    source = _joined(path, [_pick(path, entries, name, "features", ("features",), is_matrix) for entries in files])
    if not is_matrix(source) or source.shape[1] == 0:
        raise ValueError(
            f"{source.path}: has shape {source.shape} of {source.dtype}; wanted features (N, d) of {', '.join(STORED)}"
        )
    return source


def labels_of(path: str, files: Sequence[Entries], name: str | None) -> Source:
    """Return the labels in the files, one after the other."""

    def is_list(source: Source) -> bool:
        return len(source.shape) == 1 and source.stored.kind in "iu" and source.dtype != "bfloat16"

    source = _joined(path, [_pick(path, entries, name, "labels", _LABEL_NAMES, is_list) for entries in files])
    if not is_list(source):
        raise ValueError(f"{source.path}: has shape {source.shape} of {source.dtype}; wanted labels (N,) of integers")
    return source


def has_labels(files: Sequence[Entries]) -> bool:
    """Whether all files have an array that is called labels, or pieces of one."""
    return all(any(name in entries or _pieces(entries, name) for name in _LABEL_NAMES) for entries in files)


def read_whole(source: Source, rows: int | None = None) -> NDArray[Any]:
    """Read an array into memory, after checking that it has as many `rows`."""
    if rows is not None and source.shape[0] != rows:
        raise ValueError(f"{source.path}: holds {source.shape[0]:,} labels; wanted {rows:,}, one per row of features")
    try:
        array = np.empty(source.shape, source.stored)
    except (MemoryError, ValueError) as error:
        raise ValueError(f"{source.path}: an array of shape {source.shape} does not fit into memory") from error
    source.read(0, array)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _joined(path: str, parts: Sequence[Source]) -> Source:
    return parts[0] if len(parts) == 1 else Joined(path, parts)


def _pick(
    path: str, entries: Entries, name: str | None, what: str, usual: Sequence[str], fits: Callable[[Source], bool]
) -> Source:
    """Return the array of that name, else of a usual one, else the only one that fits."""
    if name is not None:
        chosen = [name] if name in entries else _pieces(entries, name)
    else:
        chosen = [usual_name for usual_name in usual if usual_name in entries][:1]
        chosen = chosen or next((pieces for word in usual if (pieces := _pieces(entries, word))), [])
        chosen = chosen or (list(entries) if len(entries) == 1 else [key for key in entries if fits(entries[key])])
        if len(chosen) != 1 and not all(key.partition(".")[0] in usual for key in chosen):
            chosen = []
    if not chosen:
        there = ", ".join(f"{key!r} {source.dtype}{list(source.shape)}" for key, source in list(entries.items())[:8])
        wanted = f"{what} {name!r}" if name is not None else f"one array of {what}, or its name"
        raise ValueError(f"{_file_of(path, entries)}: holds {there or 'nothing'}; wanted {wanted}")
    return _joined(path, [entries[key] for key in chosen])


def _file_of(path: str, entries: Entries) -> str:
    return next((source.files()[0] for source in entries.values() if source.files()), path)


def _pieces(entries: Entries, name: str) -> list[str]:
    """Names of pieces that are numbered: features.0, features.1, ..."""
    numbered = [key for key in entries if key.startswith(f"{name}.") and key[len(name) + 1 :].isdigit()]
    return sorted(numbered, key=lambda key: int(key[len(name) + 1 :]))
