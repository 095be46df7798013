"""The file format of class statistics."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _archive

_FORMAT = "ncfast class statistics"
_VERSION = 2
"""Version 1 had neither `class_pooled` nor `rows` nor `chosen`; it loads as it is."""
_REQUIRED = {"counts", "pivots", "sums", "square_sums", "feature_dtype"}
_OPTIONAL = {"pooled", "class_pooled", "rows", "chosen"}


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
    if not _REQUIRED <= content.keys() <= _REQUIRED | _OPTIONAL:
        raise ValueError(f"holds {sorted(content)}; wanted {sorted(_REQUIRED)} and perhaps {sorted(_OPTIONAL)}")
    feature_dtype = str(content.pop("feature_dtype")) or None
    if content["pivots"].ndim != 2:
        raise ValueError("its pivots are not two-dimensional")
    k, d = content["pivots"].shape
    shapes = {
        "pivots": (k, d),
        "sums": (k, d),
        "pooled": (d, d),
        "class_pooled": (k, d, d),
    }
    integers = {"rows", "chosen"} if "rows" in content else {"counts", "chosen"}
    for name, array in content.items():
        dtype = np.int64 if name in integers else np.float64
        shape = shapes.get(name, (k,))
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"its {name} are {array.dtype}{array.shape}; wanted {np.dtype(dtype)}{shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"its {name} are not all finite")
    for name in {"counts", "square_sums", "rows", "chosen"} & content.keys():
        if (content[name] < 0).any():
            raise ValueError(f"its {name} are negative")
    if "chosen" in content and np.unique(content["chosen"]).size < k:
        raise ValueError("its chosen are not all different")
    return content, feature_dtype
