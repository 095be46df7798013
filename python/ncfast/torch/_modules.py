"""Modules of a model by name: the classifier head, hidden layers, and what wrappers hide."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NEVER_CALLED = nn.modules.linear.NonDynamicallyQuantizableLinear
"""The projection inside of nn.MultiheadAttention, of a subclass. So is what `fully_shard` makes of a linear layer."""


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model that ``torch.compile`` or ``DistributedDataParallel`` wrap.

    Raises
    ------
    TypeError
        For what is no module, and for ``DataParallel``, which runs copies that are thrown away.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}; wanted a torch.nn.Module")
    if isinstance(model, nn.DataParallel):
        raise TypeError("model is a DataParallel, which runs throw-away copies; wanted DistributedDataParallel")
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def is_compiled(model: nn.Module) -> bool:
    """Whether ``torch.compile`` wraps the model, or a module in it was compiled in place."""
    return any(hasattr(module, "_orig_mod") or module._compiled_call_impl for module in model.modules())


def find_head(model: nn.Module, head: str | nn.Module | None) -> tuple[str, nn.Module]:
    """Find the linear classifier of an unwrapped model.

    Parameters
    ----------
    head : str, Module or None
        Its name, in full or its end (``"fc"`` for ``"backbone.fc"``); itself; or None for the last ``nn.Linear``.

    Returns
    -------
    str, Module
        Name and module, which has a weight of shape (K, d) or is a convolution of kernel size 1.

    Raises
    ------
    ValueError
        If there is none, or more than one; the message lists what could be meant.
    """
    modules = dict(model.named_modules())
    if isinstance(head, nn.Module):
        found = [name for name, module in modules.items() if module is unwrapped(head)]
        wanted = f"the {type(head).__name__} given as head"
    elif head is None:
        found = _last_linear(modules)
        wanted = "an nn.Linear"
    else:
        found = [head] if head in modules else [name for name in modules if name.endswith(f".{head}")]
        wanted = f"head {head!r}"
    if len(found) == 1 and _is_linear(modules[found[0]]):
        return found[0], modules[found[0]]
    listed = [f"{name} {_shape(module)}" for name, module in modules.items() if _is_linear(module)]
    candidates = f"linear layers are: {', '.join(listed) or 'none'}"
    if len(found) == 1:
        raise ValueError(f"head {found[0]!r} is a {type(modules[found[0]]).__name__}, not linear; {candidates}")
    if found:
        raise ValueError(f"{wanted} is ambiguous: {', '.join(found)}; give the full name of one")
    raise ValueError(f"{type(model).__name__} has no layer that is {wanted}; {candidates}")


def find_layers(model: nn.Module, patterns: str | Iterable[str]) -> dict[str, nn.Module]:
    """Find modules of an unwrapped model by name, in the order of the model.

    Patterns are full names in which ``*`` and ``?`` stand for any characters between two dots.
    """
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    modules = dict(model.named_modules())
    matched = {pattern: [name for name in modules if name and _matches(name, pattern)] for pattern in patterns}
    for pattern, names in matched.items():
        if not names:
            raise ValueError(
                f"layers has {pattern!r}, which matches no module of {type(model).__name__};"
                f" modules are: {_some(list(modules)[1:])}"
            )
    wanted = {name for names in matched.values() for name in names}
    return {name: module for name, module in modules.items() if name in wanted}


def classifier(head: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return weights (K, d) and bias (K,) of a head as they are now, without gradients.

    Sharded parameters are gathered: a collective, which every rank has to call.
    """
    with torch.no_grad():
        weights, bias = (_whole(getattr(head, name, None)) for name in ("weight", "bias"))
    assert weights is not None
    return weights.flatten(1), bias


def num_outputs(head: nn.Module) -> int:
    """K, of a head."""
    return int(_weight(head).shape[0])


def has_channels_first(module: nn.Module, ndim: int) -> bool:
    """Whether tensors of this many dimensions around a module are (n, channels, positions...).

    Those with two or more dimensions of positions are, as convolutions have it, unless the module is one that works
    on the last dimension; sequences are (n, positions, features) unless the module is made for the other order.
    """
    if isinstance(module, (nn.Linear, nn.LayerNorm, nn.Embedding)):
        return False
    ordered = (*_CONVOLUTIONS, nn.BatchNorm1d, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d, nn.GroupNorm)
    return ndim > 3 or isinstance(module, ordered)


def _last_linear(modules: dict[str, nn.Module]) -> list[str]:
    """Return the last linear layer, or the whole list or dict of them that it stands in."""
    names = [
        name
        for name, module in modules.items()
        if isinstance(module, nn.Linear) and not isinstance(module, _NEVER_CALLED)
    ]
    if not names:
        return []
    siblings = modules.get(names[-1].rpartition(".")[0])
    if isinstance(siblings, (nn.ModuleList, nn.ModuleDict)):
        return [name for name in names if modules[name] in set(siblings.children())]
    return names[-1:]


def _matches(name: str, pattern: str) -> bool:
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight


def _is_linear(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    if isinstance(module, nn.Embedding) or not isinstance(weight, Tensor) or weight.ndim < 2:
        return False
    return weight.ndim == 2 or (isinstance(module, _CONVOLUTIONS) and set(module.kernel_size) == {1})


def _shape(module: nn.Module) -> str:
    return f"({', '.join(map(str, _weight(module).shape[:2]))})"


def _whole(parameter: Tensor | None) -> Tensor | None:
    if parameter is None:
        return None
    gathered: Tensor = parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter
    return gathered.detach()


def _some(names: list[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
