"""The file format of class statistics: one uncompressed ``.npz``, whose CRCs detect damage; no pickle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FORMAT = "ncfast class statistics"
_VERSION = 2
"""Version 1 had neither `class_pooled` nor `rows` nor `chosen`; it loads as it is."""
_REQUIRED = {"counts", "pivots", "sums", "square_sums", "feature_dtype"}
_OPTIONAL = {"pooled", "class_pooled", "rows", "chosen"}


def save(path: str | os.PathLike[str], arrays: dict[str, NDArray[Any] | None], feature_dtype: str | None) -> None:
    """Write to a temporary file beside `path`, bring it to disk, then rename it."""
    import tempfile  # costs more to import than most of the package

    target = Path(path)
    content: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
    content["format"] = np.array(_FORMAT)
    content["version"] = np.array(_VERSION)
    content["feature_dtype"] = np.array(feature_dtype or "")
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **content)
            file.flush()
            os.fsync(file.fileno())
        _take_permissions_of_new_file(temporary)
        os.replace(temporary, target)  # noqa: PTH105 - atomic on every platform
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_directory(target.parent)


def _take_permissions_of_new_file(path: str) -> None:
    """Temporary files are private; what the user asked for has the usual permissions."""
    umask = os.umask(0)
    os.umask(umask)
    Path(path).chmod(0o666 & ~umask)


def _sync_directory(directory: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Any], str | None]:
    """Read and check a statistics file."""
    with Path(path).open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                content = {name: archive[name] for name in archive.files}
        except Exception as error:  # numpy and zipfile raise a dozen kinds on damaged files
            raise ValueError(f"{os.fspath(path)}: not a readable statistics file, or damaged ({error})") from error
    try:
        return _checked(content)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _checked(content: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    if "format" not in content or str(content.pop("format")) != _FORMAT:
        raise ValueError("not a statistics file of ncfast")
    version = _version_of(content)
    if version > _VERSION:
        raise ValueError(f"written in format version {version}; this ncfast reads up to {_VERSION}: upgrade it")
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


def _version_of(content: dict[str, Any]) -> int:
    version = content.pop("version", None)
    if version is None or version.shape != () or version.dtype.kind != "i":
        raise ValueError("states no format version")
    return int(version)
