"""Checks of the numbers that define a problem."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._choices import as_count

Float = NDArray[np.float64]


def as_positive(name: str, value: object) -> float:
    """Return `value` as a float if it is positive and finite."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}; wanted a positive number") from None
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"{name} is {number}; wanted a positive finite number")
    return number


def as_fraction(name: str, value: object) -> float:
    """Return `value` as a float if it is in [0, 1)."""
    number = 0.0 if value == 0 else as_positive(name, value)
    if number >= 1:
        raise ValueError(f"{name} is {number}; wanted at least 0 and below 1")
    return number


def as_one_of(name: str, value: object, choices: tuple[str, ...]) -> str:
    """Return `value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} is {value!r}; wanted one of {', '.join(map(repr, choices))}")
    return value


def as_bias(value: object) -> str | float:
    """Return "none", "free", or the positive decay of the bias."""
    if isinstance(value, str | bool):
        if value not in ("none", "free"):
            raise ValueError(f"bias is {value!r}; wanted 'none', 'free' or a positive decay")
        return str(value)
    return as_positive("bias", value)


def as_tuple(name: str, value: object) -> tuple[Any, ...]:
    """Return the entries of a sequence."""
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} is {value!r}; wanted a sequence of numbers")
    return tuple(value)


def as_samples(value: object, classes: int) -> int | tuple[int, ...]:
    """Return samples per class: one number for all, or one per class."""
    if not isinstance(value, Iterable):
        return as_count("samples_per_class", value, 1)
    counts = tuple(as_count("samples_per_class", count, 1) for count in value)
    if len(counts) != classes:
        raise ValueError(f"samples_per_class has {len(counts)} entries; wanted one per class, {classes}")
    return counts


def as_matrix(name: str, value: ArrayLike, shape: tuple[int, ...], meaning: str) -> Float:
    """Return a finite float64 array of that shape."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} has dtype {array.dtype}; wanted real numbers")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; wanted {shape}, {meaning}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has a non-finite value; wanted finite numbers")
    return array.astype(np.float64, copy=False)


class NoClosedFormError(ValueError):
    """The minimum of a problem is not known in closed form; `ncfast.ufm.minimise` looks for it."""
