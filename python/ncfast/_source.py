"""Arrays in files: what a reader of a format has to say and do."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEMORY = 128 << 20
"""Bytes that reading takes unless told otherwise."""


class Source(ABC):
    """One array of a file, read in blocks of rows from its beginning to its end.

    Attributes
    ----------
    path : str
        The file, and the array in it if it holds several: for messages.
    shape : tuple of int
        Of the whole array.
    dtype : str
        Name of its elements, "bfloat16" among them; anything for what is no array of numbers.
    stored : numpy.dtype
        What `read` fills, byte order included; uint16 for "bfloat16".
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    stored: np.dtype[Any]
    seeks: bool = False
    """Whether rows can be read in any order at little cost."""

    @abstractmethod
    def read(self, start: int, out: NDArray[Any]) -> None:
        """Fill `out` with the rows from `start` on; safe from several threads."""

    def waits(self, start: int, stop: int) -> bool:
        """Whether reading these rows would wait for a disk or a decoder, so that a thread had better do it ahead.

        Where not, several threads may `read` parts of them at once.
        """
        del start, stop
        return True

    @abstractmethod
    def files(self) -> tuple[str, ...]:
        """Return the paths of the files that are read."""


@dataclass(frozen=True)
class FeatureFile:
    """Features in files, as `ncfast.open_features` found them; what functions of this package take for `features`.

    Attributes
    ----------
    labels : ndarray of int, shape (N,), or None
        Labels that came with them, in memory: used where no others are given.
    memory : int
        Bytes that reading the features may take.
    """

    source: Source = field(repr=False)
    labels: NDArray[np.integer[Any]] | None = field(repr=False)
    memory: int

    @property
    def path(self) -> str:
        """The file, and the array in it if it holds several."""
        return self.source.path

    @property
    def shape(self) -> tuple[int, int]:
        """(N, d)."""
        return self.source.shape[0], self.source.shape[1]

    @property
    def dtype(self) -> str:
        """Name of the dtype they are stored in."""
        return self.source.dtype

    def __repr__(self) -> str:
        labels = "" if self.labels is None else ", with labels"
        return f"FeatureFile({self.path!r}, shape {self.shape}, {self.dtype}{labels})"


def array_path(file: str, name: str) -> str:
    """Return the file, and the array in it if that has a name, in one line whatever the name holds."""
    return f"{file}:{name if name.isprintable() else ascii(name)}" if name else file


def stat_line(path: str) -> str:
    """Return what changes when a file does: its size and when it was written."""
    found = os.stat(path)  # noqa: PTH116 - as fast as it gets, for folders of many files
    return f"{os.path.abspath(path)} {found.st_size} {found.st_mtime_ns}"  # noqa: PTH100
