"""HDF5 through h5py."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from .._source import Source
from ._errors import reading, require
from ._sequential import Batch, Sequential


class Dataset(Sequential):
    """One dataset, read by whole chunks."""

    def batches(self, start: int) -> Generator[Batch, None, None]:
        """Yield batches of whole chunks."""
        import h5py

        with h5py.File(self._file, "r") as file:
            dataset = file[self._name]
            if len(self.shape) == 2:
                require_written(dataset)
            chunk = dataset.chunks[0] if dataset.chunks else 1
            rows = self.batch_rows(chunk)
            for first in range(start // chunk * chunk, self.shape[0], rows):
                batch = np.empty((min(rows, self.shape[0] - first), *self.shape[1:]), self.stored)
                dataset.read_direct(batch, np.s_[first : first + len(batch)])
                yield first, batch


def require_written(dataset: Any) -> None:
    """Refuse features that were never written: they would read as zeros."""
    there = dataset.id.get_num_chunks() if dataset.chunks else int(dataset.id.get_storage_size() > 0)
    wanted = 1
    for size, chunk in zip(dataset.shape, dataset.chunks or (), strict=bool(dataset.chunks)):
        wanted *= -(-size // chunk)
    if there < wanted and dataset.size and not dataset.is_virtual and not dataset.external:
        raise ValueError(f"has {there} of {wanted} chunks: the others were never written")


def entries(file: str) -> dict[str, Source]:
    """Return the datasets of a file by path, those of its groups included."""
    h5py = require("h5py", "hdf5")
    found: dict[str, Source] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            stored = item.dtype
            dtype = stored.newbyteorder("=").name if stored.kind in "fiu" else str(stored)
            found[name] = Dataset(file, name, item.shape, stored, dtype)

    with reading(file), h5py.File(file, "r") as opened:
        opened.visititems(visit)
    return found
