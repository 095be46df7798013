"""Files of arrays: one uncompressed ``.npz``, whose CRCs detect damage, without pickle, replaced in one piece."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write(path: str | os.PathLike[str], form: str, version: int, content: Mapping[str, Any]) -> None:
    """Write to a temporary file beside `path`, bring it to disk, then rename it.

    `form` and `version` say what the file is.
    """
    import tempfile  # costs more to import than most of the package

    target = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **{**content, "format": np.array(form), "version": np.array(version)})
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


def read(path: str | os.PathLike[str], form: str, version: int, what: str) -> dict[str, Any]:
    """Read all arrays of a file of that form, up to that version.

    Raises
    ------
    OSError
        If it cannot be opened.
    ValueError
        If it is damaged or something else; the message calls it `what`.
    """
    with Path(path).open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                content = {name: archive[name] for name in archive.files}
        except Exception as error:  # numpy and zipfile raise a dozen kinds on damaged files
            raise ValueError(f"{os.fspath(path)}: not a readable {what}, or damaged ({error})") from error
    if "format" not in content or str(content.pop("format")) != form:
        raise ValueError(f"{os.fspath(path)}: not a {what} of ncfast")
    written = content.pop("version", None)
    if written is None or written.shape != () or written.dtype.kind != "i":
        raise ValueError(f"{os.fspath(path)}: states no format version")
    if int(written) > version:
        raise ValueError(
            f"{os.fspath(path)}: written in format version {int(written)}; "
            f"this ncfast reads up to {version}: upgrade it"
        )
    return content
