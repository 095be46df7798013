"""Parquet, Arrow IPC files and streams: a fixed-size list of floats per row, decoded batch by batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._source import Source
from ._errors import reading, require
from ._sequential import Batch, Sequential

_NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}


class Column(Sequential):
    """One column, of numbers or of lists of one length."""

    def batches(self, start: int) -> Generator[Batch, None, None]:
        """Yield batches as numpy arrays; refuse nulls, after which rows and labels would no longer match."""
        width = self.shape[1] if len(self.shape) == 2 else None
        for first, column in self._decoded(start):
            yield first, _as_numpy(column, width, first)

    @abstractmethod
    def _decoded(self, start: int) -> Iterator[tuple[int, Any]]:
        """Yield (first row, pyarrow array)."""


class ParquetColumn(Column):
    """A column of a Parquet file: pages are read and decoded as they are needed."""

    def _decoded(self, start: int) -> Iterator[tuple[int, Any]]:
        with _parquet(self._file) as file:
            first = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if first + rows <= start:
                    first += rows
                    continue
                of = {"row_groups": [group], "columns": [self._name], "use_threads": False}
                for batch in file.iter_batches(self.batch_rows(), **of):
                    yield first, batch.column(0)
                    first += batch.num_rows


class ArrowColumn(Column):
    """A column of an Arrow IPC file or stream, record batch by record batch."""

    def _decoded(self, start: int) -> Iterator[tuple[int, Any]]:
        first = 0
        for batch in _record_batches(self._file):
            if first + batch.num_rows > start:
                yield first, batch.column(self._name)
            first += batch.num_rows


def parquet(file: str) -> dict[str, Source]:
    """Return the columns of a Parquet file."""
    require("pyarrow", "parquet")
    with reading(file), _parquet(file) as opened:
        return _columns(ParquetColumn, file, opened.schema_arrow, opened.metadata.num_rows)


def ipc(file: str) -> dict[str, Source]:
    """Return the columns of an Arrow IPC file; a stream is read once to count its rows."""
    require("pyarrow", "parquet")
    with reading(file):
        schema, rows = None, 0
        for batch in _record_batches(file):
            schema, rows = batch.schema, rows + batch.num_rows
        if schema is None:
            raise ValueError("holds no rows")
        return _columns(ArrowColumn, file, schema, rows)


def _columns(kind: type[Column], file: str, schema: Any, rows: int) -> dict[str, Source]:
    from pyarrow import types

    found: dict[str, Source] = {}
    for field in schema:
        of = field.type
        shape: tuple[int, ...] = (rows,)
        if types.is_fixed_size_list(of):
            of, shape = of.value_type, (rows, of.list_size)
        dtype = _NAMES.get(str(of), ascii(str(of))[1:-1])
        is_number = types.is_floating(of) or types.is_integer(of)
        found[field.name] = kind(file, field.name, shape, np.dtype(dtype if is_number else "V"), dtype)
    return found


def _as_numpy(column: Any, width: int | None, first: int) -> NDArray[Any]:
    # `flatten` leaves out the values of null rows, `values` the offset of a slice: neither is safe with nulls.
    values = column if width is None else column.flatten()
    if column.null_count or values.null_count:
        row = first + (column if column.null_count else values).is_valid().to_pylist().index(False)
        if not column.null_count and width:
            row = first + (row - first) // width
        raise ValueError(f"holds a null at row {row:,}; wanted a value in every row")
    flat: NDArray[Any] = values.to_numpy(zero_copy_only=True)
    return flat if width is None else flat.reshape(len(column), width)


def _parquet(file: str) -> Any:
    from pyarrow.parquet import ParquetFile

    # Pages through a buffer of 1 MiB: neither a map nor a whole row group in memory.
    return ParquetFile(file, memory_map=False, pre_buffer=False, buffer_size=1 << 20)


def _record_batches(file: str) -> Iterator[Any]:
    """Yield record batches once they are known to be sound: Arrow aborts the process on some lengths that are not."""
    for batch in _unchecked(file):
        batch.validate()
        yield batch


def _unchecked(file: str) -> Iterator[Any]:
    import pyarrow

    with pyarrow.OSFile(file) as stream:
        if stream.read(6) == b"ARROW1":
            opened = pyarrow.ipc.open_file(stream)
            yield from (opened.get_batch(i) for i in range(opened.num_record_batches))
        else:
            stream.seek(0)
            yield from pyarrow.ipc.open_stream(stream)
