"""Neural collapse of a model while it is trained, without a change to the training loop."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from .._layers import LayerReports
from .._measure import measure_statistics
from ..report import Report
from ..statistics import ClassStatistics
from ._capture import Capture
from ._collected import Collected
from ._modules import classifier, has_channels_first, num_outputs
from ._positions import Positions, as_positions, as_rows, as_tensor, shifted


def watch(
    model: nn.Module,
    head: str | nn.Module | None = None,
    *,
    layers: str | Iterable[str] = (),
    labels: nn.Module | str | None = None,
    mode: str = "train",
    num_classes: int | None = None,
    positions: Positions = "mean",
    shift: bool = False,
    ignore_index: int = -100,
    scatter: bool = True,
) -> Watch:
    """Collect class statistics of what a model's classifier is given, as the model is used.

    Features are the input of the head, and the output of other layers; the classifier is the head as it is when
    measured. Nothing is copied or waited for until labels come: then the features, detached, go into accumulators on
    their own device. Features are as they are passed on: under autocast in half precision, in training with dropout
    and the statistics of the batch, from weights that move during an epoch. `measure_model` is for the end of one.

    Parameters
    ----------
    model : Module
        May be wrapped by ``DistributedDataParallel`` or ``torch.compile``, may be sharded by ``fully_shard``.
    head : str, Module or None
        The linear classifier: its name or the end of it, itself, or None for the last ``nn.Linear``. A convolution of
        kernel size 1 is one, too.
    layers : str or iterable of str
        Further layers to measure, by name; ``*`` stands for any characters between two dots: ``"blocks.*"``.
    labels : Module, str or None
        Where labels come from: the loss *module*, whose second argument is taken when it is called (integers, or
        one-hot over dimension 1, by the largest); the name of an argument of the model's ``forward``; or None for
        calls of `Watch.update`.
    mode : {"train", "eval", "any"}
        Which forward passes count, by ``model.training``.
    num_classes : int, optional
        K; by default the outputs of the head.
    positions : {"mean", "flatten"} or callable
        How the positions of one sample, of images or sequences, become one row where there is one label for all:
        averaged, flattened, or by a function of features (n, ..., d) that returns (n, d). With a label for each
        position, each is a sample.
    shift : bool
        Whether the label of a position is that of the next one, as for causal language models.
    ignore_index : int
        Label of what does not count.
    scatter : bool
        Whether to collect the d * d scatter of each layer, which ``nc1_pinv`` needs.

    Returns
    -------
    Watch
        To be left as a context, or removed; the model is then what it was before.

    Raises
    ------
    ValueError
        If there is no such head or layer, or more than one head it could be; candidates are listed.

    Examples
    --------
    >>> import torch, ncfast.torch as nct
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    >>> criterion = torch.nn.CrossEntropyLoss()
    >>> x, y = torch.randn(60, 4), torch.arange(60) % 3
    >>> with nct.watch(model, labels=criterion) as tap:
    ...     loss = criterion(model(x), y)
    >>> tap.report().num_samples
    60
    """
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()  # code compiled without hooks, of this model or one like it, does not look for them
    return Watch(
        Capture(model, head, layers, mode),
        labels,
        num_classes=num_classes,
        positions=as_positions(positions),
        shift=shift,
        ignore_index=ignore_index,
        scatter=scatter,
    )


class Watch:
    """What `watch` returns: statistics of the head's input, and of other layers, so far.

    Memory: that of an `Accumulator` per layer, copies of the last rows of each up to a million values, which are added
    together, and between a forward pass and its labels the features themselves.
    """

    def __init__(
        self,
        capture: Capture,
        labels: nn.Module | str | None,
        *,
        num_classes: int | None,
        positions: Positions,
        shift: bool,
        ignore_index: int,
        scatter: bool,
    ) -> None:
        self._capture = capture
        self._positions = positions
        self._shift = shift
        self._ignore_index = ignore_index
        self._passed_over = 0
        k = num_outputs(capture.modules[capture.head]) if num_classes is None else num_classes
        self._collected = Collected(tuple(capture.modules), k, scatter=scatter, ignore_index=ignore_index)
        self._handle = _label_hook(self, capture.model, labels)
        capture.attach()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of what is watched: layers in the order of the model, then the head."""
        return tuple(self._capture.modules)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def update(self, labels: object) -> None:
        """Add the features of the last forward pass.

        Parameters
        ----------
        labels : Tensor of int, shape (n,) or that of samples and positions
            On the device of the features. After a pass in the other mode nothing happens.

        Raises
        ------
        ValueError, TypeError
            If they do not fit; if there was no forward pass since the last labels; if a watched layer was not called
            in it, or several times, or if its output was overwritten since.
        """
        if self._capture.is_empty:
            if not self._capture.passed_over:
                raise ValueError(f"there was no forward pass through {self._capture.head!r} since the last labels")
            self._pass_over()
            return
        classes = as_tensor(labels)
        if self._shift:
            classes = shifted(classes, self._ignore_index)
        for name, tensor in self._capture.take().items():
            first = has_channels_first(self._capture.modules[name], tensor.ndim)
            rows = as_rows(tensor, classes, channels_first=first, positions=self._positions, layer=name)
            self._collected.add(name, *rows)

    def offer(self, labels: Tensor) -> None:
        """Add the features of the last forward pass, if they are still waiting for labels."""
        if self._capture.is_empty:
            self._pass_over()
        else:
            self.update(labels)

    def statistics(self, *, local: bool = False) -> dict[str, ClassStatistics]:
        """Return the statistics so far, by layer.

        Parameters
        ----------
        local : bool
            Whether to leave other ranks out. By default those of all ranks are merged where ``torch.distributed`` is
            in use: a collective, which every rank has to call.

        Raises
        ------
        ValueError
            If nothing was counted; the message says why.
        """
        found = self._collected.statistics(local=local)
        if len(found) < len(self.layers):
            why = f": {self._passed_over} passes were in the other mode" if self._passed_over else ""
            raise ValueError(
                f"nothing was counted by {self._capture.head!r} in mode {self._capture.mode!r}{why}; wanted a forward"
                " pass and labels (of update, a loss module, or an argument of forward)"
            )
        return found

    def report(self, *, local: bool = False, **options: Any) -> Report:
        """Measure the head's input and the head as it is now: everything but NC4.

        Parameters
        ----------
        local
            As in `statistics`; parameters that are sharded are gathered in any case.
        **options
            Further keywords of `ncfast.measure_statistics`.
        """
        stats = self.statistics(local=local)[self._capture.head]
        return measure_statistics(stats, *self.classifier(), **options)

    def layer_reports(self, *, local: bool = False, **options: Any) -> LayerReports:
        """Measure all layers, the head's input last and with the head: everything but NC4.

        Keywords are those of `report`.
        """
        heads = {self._capture.head: self.classifier()}
        return LayerReports(
            {
                name: measure_statistics(stats, *heads.get(name, (None, None)), **options)
                for name, stats in self.statistics(local=local).items()
            }
        )

    def classifier(self) -> tuple[Any, Any]:
        """Weights (K, d) and bias (K,) or None of the head as they are now."""
        return classifier(self._capture.modules[self._capture.head])

    def reset(self) -> None:
        """Forget what was counted, for the next epoch."""
        self._collected.clear()
        self._passed_over = 0

    def remove(self) -> None:
        """Take all hooks off; what was counted stays."""
        self._capture.remove()
        if self._handle is not None:
            self._handle.remove()

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted, to go on from."""
        return self._collected.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned, of the same layers."""
        self._collected.load_state_dict(state)

    def _pass_over(self) -> None:
        self._passed_over += self._capture.passed_over
        self._capture.passed_over = 0


def _label_hook(tap: Watch, model: nn.Module, labels: nn.Module | str | None) -> Any:
    """Put a hook on what labels come from."""
    if labels is None:
        return None
    if isinstance(labels, nn.Module):

        def of_loss(module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            target = args[1] if len(args) > 1 else keywords.get("target")
            if module is labels and isinstance(target, Tensor):
                tap.offer(target.argmax(1) if target.is_floating_point() else target)

        return labels.register_forward_pre_hook(of_loss, with_kwargs=True)
    parameters = list(inspect.signature(model.forward).parameters)
    if labels not in parameters:
        raise ValueError(
            f"labels is {labels!r}, which is no argument of {type(model).__name__}.forward: {', '.join(parameters)}"
        )
    place = parameters.index(labels)

    def of_forward(module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any], _: object) -> None:
        given = args[place] if len(args) > place else keywords.get(labels)
        if module is model and isinstance(given, Tensor):
            tap.offer(given)

    return model.register_forward_hook(of_forward, with_kwargs=True)
