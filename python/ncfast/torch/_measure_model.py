"""One line from a model and a data loader to a report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from .._layers import LayerReports
from ..report import Report
from ._batches import Unpack, unpack
from ._pass import Pass
from ._positions import Positions


def measure_model(
    model: nn.Module,
    loader: Iterable[Any],
    head: str | nn.Module | None = None,
    *,
    unpack: Unpack = unpack,
    num_classes: int | None = None,
    positions: Positions = "mean",
    shift: bool = False,
    ignore_index: int = -100,
    memory: int = 1 << 30,
    progress: bool = True,
    **options: Any,
) -> Report:
    """Measure neural collapse of a model on the samples of a data loader: NC1 to NC4, in eval mode.

    While the features fit in `memory` they are kept on the host, and one forward pass is all it takes. Beyond that,
    and among the ranks of ``torch.distributed``, class statistics are collected on the model's device instead, and
    NC4 takes a second pass over the loader, which has to give the same samples again.

    Parameters
    ----------
    model : Module
        On any device; the mode of each of its modules is what it was afterwards.
    loader : iterable of batches
        (inputs, labels), or mappings with ``"labels"`` or ``"label"``, whose other items are the model's keywords.
        Tensors are moved to the device of the model.
    head : str, Module or None
        The linear classifier, as in `watch`: by default the last ``nn.Linear``.
    unpack : callable, optional
        Function of a batch that returns inputs (a tensor, a tuple of arguments or a mapping of keywords) and labels,
        for other batches.
    num_classes, positions, shift, ignore_index
        As in `watch`.
    memory : int
        Bytes of features to keep. Up to 256 MiB of them wait for the next measurement, where the system has no other
        use for that memory: new memory takes as long to write to as the copy.
    progress : bool
        Whether to show a bar on stderr if that is a terminal and tqdm is installed.
    **options
        Further keywords of `ncfast.measure`; if features are not kept, of `ncfast.measure_statistics`.

    Returns
    -------
    Report

    Raises
    ------
    ValueError, TypeError
        On a batch that does not fit, or a head that is not found.

    Examples
    --------
    >>> import torch, ncfast.torch as nct
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    >>> loader = [(torch.randn(20, 4), torch.arange(20) % 3) for _ in range(5)]
    >>> nct.measure_model(model, loader).num_samples
    100
    """
    run = Pass(model, loader, head, (), unpack, num_classes, positions, shift, ignore_index, memory, progress)
    return list(run.reports(options).values())[-1]


def measure_model_layers(
    model: nn.Module,
    loader: Iterable[Any],
    layers: str | Iterable[str],
    head: str | nn.Module | None = None,
    *,
    unpack: Unpack = unpack,
    num_classes: int | None = None,
    positions: Positions = "mean",
    shift: bool = False,
    ignore_index: int = -100,
    memory: int = 1 << 30,
    progress: bool = True,
    **options: Any,
) -> LayerReports:
    """Measure several layers of a model on the samples of a data loader, the head's input last and with the head.

    Parameters
    ----------
    layers : str or iterable of str
        Names of the layers whose output is measured, as in `watch`: ``"blocks.*"``.
    model, loader, head, unpack, num_classes, positions, shift, ignore_index, memory, progress, **options
        As in `measure_model`.

    Returns
    -------
    LayerReports
        In the order of the model; `depth_decay` fits how fast a metric falls along it.
    """
    run = Pass(model, loader, head, layers, unpack, num_classes, positions, shift, ignore_index, memory, progress)
    return run.reports(options)
