"""Hooks that keep what layers were last given or gave, and leave a model as they found it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .._choices import as_choice
from ._modules import find_head, find_layers, unwrapped


@dataclass
class _Seen:
    """A tensor, how often it had been written to, and how many there were in this forward pass."""

    tensor: Tensor
    version: int | None
    calls: int


class Capture:
    """The input of the classifier head and the outputs of layers, of the last forward pass in one mode.

    Tensors are kept as they are, detached and not copied, until they are taken. What runs again in a backward pass,
    for gradient checkpointing, is not kept.

    Parameters
    ----------
    model, head, layers, mode
        As in `watch`.
    taken_at_once : bool
        Whether tensors are taken after each forward pass, so that there are none to forget when one begins.

    Attributes
    ----------
    model : Module
        What wrappers hide.
    head : str
        Name of the head.
    modules : dict of str to Module
        What is watched: layers in the order of the model, then the head.
    passed_over : int
        Calls of the head in the other mode since tensors were last taken.
    """

    def __init__(
        self,
        model: nn.Module,
        head: str | nn.Module | None,
        layers: str | Iterable[str],
        mode: str = "any",
        *,
        taken_at_once: bool = False,
    ) -> None:
        self.model = unwrapped(model)
        self.mode = as_choice("mode", mode)
        self.head, head_module = find_head(self.model, head)
        self.modules = find_layers(self.model, layers)
        if self.head in self.modules:
            raise ValueError(f"layers has the head, {self.head!r}; its input is watched as it is")
        self.modules[self.head] = head_module
        self.passed_over = 0
        self._taken_at_once = taken_at_once
        self._seen: dict[str, _Seen] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Capture:
        self.attach()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def attach(self) -> None:
        """Put the hooks on the model."""
        if not self._taken_at_once:
            self._handles.append(self.model.register_forward_pre_hook(_Hook(self, self.model, None)))
        for name, module in self.modules.items():
            hook = _Hook(self, module, name)
            if name == self.head:
                self._handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
            else:
                self._handles.append(module.register_forward_hook(hook))

    def remove(self) -> None:
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()
        self._seen.clear()

    def saw(self, name: str | None, value: object) -> None:
        """Keep what a layer passes on; None says that a forward pass begins."""
        if not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1:
            return  # a backward pass runs this again
        if self.mode != "any" and self.model.training != (self.mode == "train"):
            self._seen.clear()
            self.passed_over += name == self.head
            return
        if name is None:
            self._seen.clear()
            return
        tensor = _first_tensor(value, name).detach()
        before = self._seen.get(name)
        self._seen[name] = _Seen(tensor, _version(tensor), 1 if before is None else before.calls + 1)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        return self.head not in self._seen

    def take(self) -> dict[str, Tensor]:
        """Return what was kept, by name, and forget it.

        Raises
        ------
        ValueError
            If a layer was not called, or several times, or what it gave was overwritten since.
        """
        seen, self._seen = self._seen, {}
        self.passed_over = 0
        for name in self.modules:
            if name not in seen:
                raise ValueError(f"layer {name!r} was not called in the last forward pass; watch one that is")
            if seen[name].calls > 1:
                raise ValueError(
                    f"layer {name!r} was called {seen[name].calls} times since the last labels; wanted one call for"
                    " each batch of labels"
                )
            if seen[name].version not in (None, _version(seen[name].tensor)):
                raise ValueError(
                    f"what layer {name!r} passed on was overwritten in place; watch the module that did it instead"
                )
        return {name: seen[name].tensor for name in self.modules}


class _Hook:
    """A hook of one module, before its call (args, kwargs) or after (args, output). Copies of a model carry none."""

    def __init__(self, capture: Capture, module: nn.Module, name: str | None) -> None:
        self._capture = capture
        self._module = module
        self._name = name

    def __call__(self, module: nn.Module, args: tuple[Any, ...], passed: Any = None) -> None:
        if module is self._module:  # not a replica of it
            # What follows the arguments is keywords before a call, and the output after it.
            is_input = self._name == self._capture.head
            self._capture.saw(self._name, (args or passed) if is_input else passed)

    def __reduce__(self) -> tuple[Any, ...]:
        return _HookOfCopy, ()


class _HookOfCopy:
    """What a copy or a pickle of a watched model has in place of the hook: nothing happens."""

    def __call__(self, *_: object) -> None:
        pass


def _first_tensor(value: object, name: str) -> Tensor:
    """Return a tensor, or the first of a tuple or mapping of them."""
    if not isinstance(value, (Tensor, tuple)) and isinstance(value, Mapping) and value:
        value = next(iter(value.values()))
    if isinstance(value, (tuple, list)) and value:
        value = value[0]
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"layer {name!r} passes on {kind}; wanted a floating-point tensor, or a tuple that starts so")
    return value


def _version(tensor: Tensor) -> int | None:
    """How often a tensor was written to, where that is known."""
    return None if torch.compiler.is_compiling() or tensor.is_inference() else tensor._version
