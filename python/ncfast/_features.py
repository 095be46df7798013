"""Feature matrices of any origin, handed to the kernels block by block.

The kernels read float32 or float64 rows with contiguous columns. A block that already is that passes
through without a copy; any other (half precision, big-endian, column order) is converted, one block at a
time. Matrices in memory are here, those in files in `_streamed`.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ._source import FeatureFile

_BLOCK_BYTES = 32 << 20
_MORE_IN_PLACE = 4
_SAMPLED_ROWS = 64
_NATIVE: dict[str, type[np.float32] | type[np.float64]] = {
    "float16": np.float32,
    "bfloat16": np.float32,
    "float32": np.float32,
    "float64": np.float64,
}
STORED = tuple(_NATIVE)
"""Names of the dtypes that features may be stored in."""

Block = NDArray[np.float32] | NDArray[np.float64]


class Features(ABC):
    """A checked (N, d) feature matrix; `dtype` is the name of the dtype it is stored in."""

    shape: tuple[int, int]
    dtype: str

    @property
    def rows(self) -> int:
        """N."""
        return self.shape[0]

    @property
    def cols(self) -> int:
        """D."""
        return self.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes as stored."""
        return self.rows * self.cols * (2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize)

    @property
    def native(self) -> type[np.float32] | type[np.float64]:
        """Type the kernels compute its blocks in."""
        return _NATIVE[self.dtype]

    @abstractmethod
    def block(self, start: int, stop: int) -> Block:
        """Rows [start, stop) as the kernels read them, until the next block is asked for."""

    @abstractmethod
    def take(self, rows: NDArray[np.int64]) -> Block:
        """Return the rows with these increasing numbers, as the kernels read them."""

    @abstractmethod
    def identity(self) -> Iterator[bytes]:
        """Yield what tells this matrix from others without reading it all."""

    def ranges(self, block_rows: int, first: int = 0) -> Iterator[tuple[int, int]]:
        """Cut the rows from `first` on into consecutive ranges of at most `block_rows`."""
        for start in range(first, self.rows, block_rows):
            yield start, min(start + block_rows, self.rows)

    def block_rows(self) -> int:
        """How many rows make a block of bounded memory."""
        return max(1, _BLOCK_BYTES // (self.cols * np.dtype(self.native).itemsize))


class Held(Features):
    """A feature matrix in memory."""

    def __init__(self, array: NDArray[Any], dtype: str) -> None:
        self.array = array
        self.dtype = dtype
        self.shape = (int(array.shape[0]), int(array.shape[1]))

    def block_rows(self) -> int:
        """How many rows make a block; more where a block is no copy."""
        return super().block_rows() * (_MORE_IN_PLACE if self._in_place(self.array) else 1)

    def block(self, start: int, stop: int) -> Block:
        """Rows [start, stop) as the kernels read them."""
        return self._native(self.array[start:stop])

    def take(self, rows: NDArray[np.int64]) -> Block:
        """Rows by number."""
        return self._native(self.array[rows])

    def identity(self) -> Iterator[bytes]:
        """Shape, dtype and rows from all over."""
        yield f"{self.shape} {self.dtype}".encode()
        for row in np.unique(np.linspace(0, self.rows - 1, min(self.rows, _SAMPLED_ROWS)).astype(np.int64)):
            yield np.ascontiguousarray(self.array[row]).tobytes()

    def _in_place(self, part: NDArray[Any]) -> bool:
        return self.dtype != "bfloat16" and _is_native(part, self.native)

    def _native(self, part: NDArray[Any]) -> Block:
        if self._in_place(part):
            return cast(Block, part)
        return to_native(part, self.dtype, np.empty(part.shape, self.native))


def to_native(part: NDArray[Any], dtype: str, out: NDArray[Any]) -> Block:
    """Convert rows stored as `dtype` into `out`, what the kernels read."""
    if dtype == "bfloat16":  # the upper half of a float32
        wide = out.view(np.uint32)
        wide[...] = part
        wide <<= np.uint32(16)
    else:
        out[...] = part
    return cast(Block, out)


def _is_native(part: NDArray[Any], native: type[np.floating[Any]]) -> bool:
    dtype = np.dtype(native)
    forward = part.shape[0] <= 1 or (part.strides[0] >= 0 and part.strides[0] % dtype.itemsize == 0)
    packed = part.shape[1] <= 1 or part.strides[1] == dtype.itemsize
    return bool(part.dtype == dtype and part.dtype.isnative and part.flags.aligned and packed and forward)


def as_features(features: object, num_features: int | None = None) -> Features:
    """Check a feature matrix.

    Raises
    ------
    TypeError
        If the elements are not real floating-point numbers.
    ValueError
        If the shape is not (N, `num_features`).
    """
    if isinstance(features, FeatureFile):
        from ._streamed import Streamed

        source: Features = Streamed(features.source, features.memory)
    else:
        source = _held(features)
    if num_features is not None and source.cols != num_features:
        raise ValueError(f"features has {source.cols} columns; wanted num_features = {num_features}")
    return source


def _held(features: object) -> Held:
    array, dtype = _as_array(features)
    if dtype not in _NATIVE:
        raise TypeError(
            f"features has dtype {dtype}; wanted float16, bfloat16, float32 or float64"
            " (convert it explicitly, e.g. features.astype(numpy.float32))"
        )
    if array.ndim != 2:
        raise ValueError(f"features has shape {array.shape}; wanted two dimensions, (samples, features)")
    if array.shape[1] == 0:
        raise ValueError(f"features has shape {array.shape}; wanted at least one feature per sample")
    return Held(array, dtype)


def _as_array(features: object) -> tuple[NDArray[Any], str]:
    if isinstance(features, np.ma.MaskedArray):
        raise TypeError("features is a masked array; wanted a plain one (drop masked rows and their labels first)")
    array = _from_torch(features)
    if array is not None:
        return array
    if not isinstance(features, np.ndarray) and not hasattr(features, "__array__") and hasattr(features, "__dlpack__"):
        features = np.from_dlpack(features)
    try:
        plain = np.asarray(features)
    except (ValueError, TypeError) as error:
        raise type(error)(f"features cannot be read as an array of numbers: {error}") from error
    if plain.dtype.name == "bfloat16":  # ml_dtypes registers it with numpy
        return plain.view(np.uint16), "bfloat16"
    return plain, plain.dtype.newbyteorder("=").name


def _from_torch(features: object) -> tuple[NDArray[Any], str] | None:
    """Return the memory of a torch tensor, without importing torch; None for anything else."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(features, torch.Tensor):
        return None
    tensor = features.detach()
    if tensor.device.type != "cpu":
        raise TypeError(f"features is a torch tensor on device {tensor.device}; wanted one on the CPU (features.cpu())")
    if tensor.dtype == torch.bfloat16:  # numpy has no bfloat16: hand over the bits
        return tensor.view(torch.uint16).numpy(), "bfloat16"
    array: NDArray[Any] = tensor.numpy()
    return array, array.dtype.name
