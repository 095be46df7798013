"""Pages on disk, and class names from it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a file whole or not at all: whoever reads it sees the old one or the new."""
    target = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)  # temporary files are private
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_class_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read class names, one a line, the name of class 0 first.

    Raises
    ------
    ValueError
        If the file is no UTF-8 text; the message names it.
    OSError
        If it cannot be opened.
    """
    try:
        return tuple(line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start})") from None
