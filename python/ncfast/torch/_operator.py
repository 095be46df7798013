"""Functions that add rows to statistics, and are operators where a compiled graph has to keep them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import torch

_CHANGED = ("counts", "pivots", "sums", "squares", "scatter", "left_out")
# Spelled out, as torch before 2.6 may not read it from annotations that are strings.
_SCHEMA = (
    "(Tensor features, Tensor classes, Tensor(a!) counts, Tensor(b!) pivots, Tensor(c!) sums, Tensor(d!) squares,"
    " Tensor(e!)? scatter, Tensor(f!) left_out, {last}) -> ()"
)
AddRows = Callable[..., None]


def operator(
    name: str,
    device_types: str | None = None,
    *,
    last: str = "bool double_products",
    also_changed: tuple[str, ...] = (),
) -> Callable[[AddRows], AddRows]:
    """Make an operator of a function with the arguments of `ncfast.torch._portable.add_rows`, but for the last one.

    The way through torch's dispatcher costs more than adding a small batch does, so only compiled code takes it.
    """
    schema, changed = _SCHEMA.format(last=last), (*_CHANGED, *also_changed)

    def decorate(function: AddRows) -> AddRows:
        made = torch.library.custom_op(name, function, mutates_args=changed, device_types=device_types, schema=schema)
        made.register_fake(_nothing)

        @wraps(function)
        def add(*arguments: object) -> None:
            (made if torch.compiler.is_compiling() else function)(*arguments)

        return add

    return decorate


def _nothing(*_: object) -> None:
    """Say to compilers that nothing is returned."""
