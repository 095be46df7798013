"""One kind of error for whatever a reader raises on a damaged file, and for a reader that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn errors of readers into ValueError that begins with the path; those about the file system pass."""
    try:
        yield
    except ImportError:
        raise
    except OSError as error:
        if error.errno is not None and error.filename is not None:
            raise
        raise ValueError(_led(path, error)) from error
    except Exception as error:  # readers raise dozens of kinds, some of them undocumented
        raise ValueError(_led(path, error)) from error


def _led(path: str, error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return said if said.startswith(path) else f"{path}: {said[:400]}"


def require(module: str, extra: str) -> Any:
    """Import a reader; say what to install if it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise ImportError(f'{name} is not installed; it reads these files: pip install "ncfast[{extra}]"') from error
