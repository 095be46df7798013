"""Small arguments: names of ways to do something, and counts."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable

_CHOICES = {
    "conventions": ("ncfast", "papyan", "zhu", "rhubarbwu"),
    "method": ("auto", "projection", "scatter"),
    "mode": ("train", "eval", "any"),
    "nonfinite": ("raise", "skip"),
    "precision": ("feature", "double"),
    "train": ("stream", "pass", "none"),
    "weighting": ("papyan", "class", "sample"),
}


def as_choice(argument: str, value: str) -> str:
    """Return `value` if it is one that `argument` may take.

    Raises
    ------
    ValueError
        Naming the argument, the value and what is wanted.
    """
    choices = _CHOICES[argument]
    if value not in choices:
        raise ValueError(f"{argument} is {value!r}; wanted one of {', '.join(map(repr, choices))}")
    return value


def as_scatter(value: object) -> bool | str:
    """Return which scatter to collect: True, False or "class"."""
    if value in (True, False):
        return bool(value)
    if value != "class":
        raise ValueError(f"scatter is {value!r}; wanted True, False or 'class'")
    return "class"


def require_memory(num_classes: int, num_features: int) -> None:
    """Refuse scatters by class that this machine cannot hold."""
    needed = 8 * num_classes * num_features**2
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not known everywhere
        return
    if needed > there:
        raise ValueError(
            f"scatter='class' needs 8 * K * d^2 = {needed:,} bytes; wanted at most the {there:,} of this machine"
            " (scatter=True needs 8 * d^2)"
        )


def as_count(argument: str, value: object, least: int, why: str = "") -> int:
    """Return `value` if it is an integer of at least `least`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, the value, what is wanted and why.
    """
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{argument} is {value!r}; wanted an integer of at least {least}") from None
    if count < least:
        raise ValueError(f"{argument} is {count}; wanted at least {least}{why}")
    return count


def nearest_names(name: str, names: Iterable[str]) -> str:
    """List, for an error, those of `names` that look most like `name`."""
    import difflib

    return ", ".join(map(repr, difflib.get_close_matches(name, list(names), n=3, cutoff=0.0)))
