"""``.npz``: arrays in a zip archive, compressed or not; damage shows in its checksums."""

from __future__ import annotations

from collections.abc import Generator
from math import prod
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from .._source import Source
from ._errors import reading
from ._sequential import Batch, Sequential
from .npy import HEADER_BYTES, parse


class Member(Sequential):
    """One ``.npy`` in the archive, inflated as it is read."""

    def batches(self, start: int) -> Generator[Batch, None, None]:
        """Yield batches from the first row on: deflated data cannot be entered in the middle."""
        rows = self.batch_rows()
        with ZipFile(self._file) as archive, archive.open(f"{self._name}.npy") as stream:
            stream.read(parse(stream.read(HEADER_BYTES))[0] - stream.seek(0))
            for first in range(0, self.shape[0], rows):
                batch = np.empty((min(rows, self.shape[0] - first), *self.shape[1:]), self.stored)
                _fill(stream, batch)
                if first + len(batch) > start:
                    yield first, batch
            if stream.read(1):  # also lets zipfile compare the checksum
                raise ValueError("something follows the array")


def _fill(stream: IO[bytes], out: NDArray[Any]) -> None:
    view = memoryview(out.reshape(-1).view(np.uint8).data)
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise ValueError("is shorter than its header promises")
        done += count


def entries(file: str) -> dict[str, Source]:
    """Return the arrays of the archive by name."""
    found: dict[str, Source] = {}
    with reading(file), ZipFile(file) as archive:
        for member in archive.infolist():
            name, dot, kind = member.filename.rpartition(".")
            if not dot or kind != "npy":
                continue
            with archive.open(member) as stream:
                offset, shape, stored, by_column = parse(stream.read(HEADER_BYTES))
            needed = offset + prod(shape) * stored.itemsize
            if member.file_size != needed:
                raise ValueError(f"{name} has {member.file_size:,} bytes; wanted {needed:,} for shape {shape}")
            if by_column and len(shape) > 1 and min(shape) > 1:
                stored = np.dtype("V")  # named, and refused only if it is asked for
            dtype = "an array in column order" if stored.kind == "V" else stored.newbyteorder("=").name
            found[name] = Member(file, name, shape, stored, dtype)
    return found
