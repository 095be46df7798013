"""The state of a measurement in a file, so that it goes on where it was when it was killed."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import _archive

_FORMAT = "ncfast checkpoint"
_VERSION = 1
State = Mapping[str, NDArray[Any]]


class Stateful(Protocol):
    """What a pass sums up in."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything it holds."""

    def restore(self, state: State) -> None:
        """Hold that instead."""


class Checkpoint:
    """A file that a measurement keeps its state in, at most every so many seconds.

    It is written beside and renamed, so that it is whole at any moment; `fingerprint` says of which inputs and
    options it is, and a digest of all it holds that it is undamaged.
    """

    def __init__(self, path: str | os.PathLike[str], fingerprint: str, every: float) -> None:
        self.path = Path(path)
        if not self.path.parent.is_dir():  # now, not when the first one is due
            raise FileNotFoundError(errno.ENOENT, "its folder is missing, where the checkpoint should go", str(path))
        self._fingerprint = fingerprint
        self._every = every
        self._written = time.monotonic()
        self._parts: dict[str, tuple[int, Stateful]] = {}
        self._found = self._load()
        for left in self.path.parent.glob(f".{self.path.name}.*.tmp"):  # where a write was cut off
            left.unlink(missing_ok=True)

    def restore(self, step: str, part: Stateful) -> int:
        """Bring a part of the measurement to where it was; return how many rows it had seen."""
        rows = int(self._found.pop(f"{step}/rows", 0))
        if rows:
            names = [name for name in self._found if name.startswith(f"{step}/") and name != f"{step}/rows"]
            part.restore({name.removeprefix(f"{step}/"): self._found.pop(name) for name in names})
        self._parts[step] = rows, part  # a step that is done is never told of again
        return rows

    def keep(self, step: str, rows: int, part: Stateful) -> None:
        """Note how far a part is, and write everything if it is time."""
        self._parts[step] = rows, part
        if time.monotonic() - self._written < self._every:
            return
        content: dict[str, NDArray[Any]] = {"fingerprint": np.array(self._fingerprint)}
        for name, (seen, each) in self._parts.items():
            content[f"{name}/rows"] = np.array(seen)
            content |= {f"{name}/{key}": array for key, array in each.state().items()}
        try:
            _archive.write(self.path, _FORMAT, _VERSION, {**content, "digest": np.array(_digest(content))})
        except OSError as error:
            there = "the one before stays" if self.path.exists() else "there is none yet"
            raise OSError(error.errno, f"{error.strerror}: no checkpoint written, {there}", str(self.path)) from error
        self._written = time.monotonic()

    def finish(self) -> None:
        """Remove the file: the measurement is done."""
        self.path.unlink(missing_ok=True)

    def _load(self) -> dict[str, NDArray[Any]]:
        if not self.path.exists():
            return {}
        try:
            content = _archive.read(self.path, _FORMAT, _VERSION, "checkpoint")
            if str(content.pop("digest", "")) != _digest(content):
                raise ValueError(f"{self.path}: a damaged checkpoint, its digest is another")
        except ValueError as error:
            raise ValueError(f"{error}; it is not used: delete it to start anew") from error
        if str(content.pop("fingerprint")) != self._fingerprint:
            raise ValueError(
                f"{self.path}: the checkpoint of a measurement of other inputs, with other options or by another"
                " ncfast; wanted one of this measurement (delete it to start anew)"
            )
        return content


def _digest(content: Mapping[str, NDArray[Any]]) -> str:
    return digest_of(piece for name in sorted(content) for piece in (name.encode(), *array_bytes(content[name])))


def digest_of(pieces: Iterator[bytes | memoryview]) -> str:
    """Return a short text that tells these bytes from others."""
    digest = blake2b(digest_size=16)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def array_bytes(array: NDArray[Any] | None) -> Iterator[bytes | memoryview]:
    """Yield what an array is and holds."""
    if array is None:
        yield b"None"
        return
    yield f"{array.dtype.str} {array.shape}".encode()
    yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
