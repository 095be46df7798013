"""The file format of class statistics."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _archive

_FORMAT = "ncfast class statistics"
_VERSION = 1


def save(path: str | os.PathLike[str], arrays: dict[str, NDArray[Any] | None], feature_dtype: str | None) -> None:
    """Write a statistics file."""
    content: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
    _archive.write(path, _FORMAT, _VERSION, {**content, "feature_dtype": np.array(feature_dtype or "")})


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Any], str | None]:
    """Read and check a statistics file."""
    content = _archive.read(path, _FORMAT, _VERSION, "statistics file")
    try:
        return _checked(content)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _checked(content: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    names = {"counts", "pivots", "sums", "square_sums", "feature_dtype"}
    if not names <= content.keys() <= names | {"pooled"}:
        raise ValueError(f"holds {sorted(content)}; wanted {sorted(names)} and perhaps pooled")
    feature_dtype = str(content.pop("feature_dtype")) or None
    if content["pivots"].ndim != 2:
        raise ValueError("its pivots are not two-dimensional")
    k, d = content["pivots"].shape
    shapes = {"counts": (k,), "pivots": (k, d), "sums": (k, d), "square_sums": (k,), "pooled": (d, d)}
    for name, array in content.items():
        dtype = np.int64 if name == "counts" else np.float64
        if array.shape != shapes[name] or array.dtype != dtype:
            raise ValueError(f"its {name} are {array.dtype}{array.shape}; wanted {np.dtype(dtype)}{shapes[name]}")
        if not np.isfinite(array).all():
            raise ValueError(f"its {name} are not all finite")
    for name in ("counts", "square_sums"):
        if (content[name] < 0).any():
            raise ValueError(f"its {name} are negative")
    return content, feature_dtype
