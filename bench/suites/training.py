"""What measuring costs where training happens: of a training step, and of a pass at the end of an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import ncfast.torch as nct

from .. import timing
from ..results import Table, ratio, seconds

if TYPE_CHECKING:
    from . import Options

_INPUTS, _WIDTH, _DEPTH, _CLASSES = 784, 256, 6, 10
_STEPS = 40
_APART = 0.2  # of classes in the inputs, where a sample's noise is 1 in each
Batches = list[tuple[Tensor, Tensor]]


def run(options: Options) -> list[Table]:
    """Time the network of ``examples/train_fashion_mnist.py`` with and without ncfast."""
    samples = 6000 if options.quick else 60_000
    return [_steps(options), _passes(options, samples)]


def _steps(options: Options) -> Table:
    shape = f"{_INPUTS}-{_DEPTH} x {_WIDTH}-{_CLASSES}, batch normalisation"
    table = Table(
        f"Training steps ({shape}, SGD): the median step, and what measuring each adds",
        ["rows of a batch", "bare", "watch, no scatter", "watch", "watch, 6 layers", "report of an epoch"],
    )
    for rows in (128, 512):
        batches = _batches(_STEPS * rows, rows)
        contenders = {
            "bare": _trainer(batches),
            "lean": _trainer(batches, scatter=False),
            "watch": _trainer(batches, scatter=True),
            "layers": _trainer(batches, scatter=True, layers=True),
        }
        took = timing.interleaved(contenders, 3 * options.repeats)
        report = _report_time(batches, options.repeats)
        bare = took["bare"].median / _STEPS
        added = {name: took[name].over(took["bare"]) - 1 for name in ("lean", "watch", "layers")}
        cells = [f"{share:+.1%}" for share in added.values()]
        table.rows.append([str(rows), seconds(bare), *cells, seconds(report)])
        table.records.append({"rows": rows, "step": bare, "added": added, "report": report})
    table.notes += [
        "what it adds: median over the turns, each with the bare one beside it",
        "labels from a hook on the loss, features from a hook on the head; d = 256, K = 10, float32",
        "6 layers: the outputs of the batch normalisations, which no ReLU overwrites, and the head",
    ]
    return table


def _passes(options: Options, samples: int) -> Table:
    table = Table(
        f"A pass over {samples:,} samples in eval mode: alone, and as measure_model makes it",
        ["rows of a batch", "trained for", "nc1_pinv", "bare", "measure_model", "measure_model / bare"],
    )
    for rows in (128, 500):
        batches, model = _batches(samples, rows), _network()
        train = _trainer(batches, model=model)
        parts = (torch.cat(part) for part in zip(*batches, strict=True))
        loader = DataLoader(TensorDataset(*parts), rows)

        def bare(loader: DataLoader[Any] = loader, model: nn.Module = model) -> None:
            model.eval()
            with torch.no_grad():
                for inputs, _ in loader:
                    model(inputs)

        def measured(loader: DataLoader[Any] = loader, model: nn.Module = model) -> float:
            return nct.measure_model(model, loader, progress=False)["nc1_pinv"]

        for epochs in (0, 3):
            for _ in range(epochs):
                train()
            nc1 = measured()
            took = timing.interleaved({"bare": bare, "measured": measured}, 3 * options.repeats)
            alone, whole = took["bare"].median, took["measured"].median
            cells = [seconds(alone), seconds(whole), ratio(took["measured"].over(took["bare"]))]
            table.rows.append([str(rows), f"{epochs} epochs", f"{nc1:.2g}", *cells])
            table.records.append({"rows": rows, "samples": samples, "epochs": epochs, "bare": alone, "measured": whole})
    table.notes += [
        "measure_model: the same pass of the same `DataLoader`, then NC1 to NC4 of the features it kept",
        "measure_model / bare: median over the turns, each with the one beside it",
    ]
    return table


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for size in (_INPUTS, *[_WIDTH] * (_DEPTH - 1)):
        layers += [nn.Linear(size, _WIDTH), nn.BatchNorm1d(_WIDTH), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(_WIDTH, _CLASSES))


def _batches(samples: int, rows: int) -> Batches:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(_CLASSES, (samples,), generator=generator)
    centres = _APART * torch.randn(_CLASSES, _INPUTS, generator=generator)
    inputs = centres[labels] + torch.randn(samples, _INPUTS, generator=generator)
    return list(zip(inputs.split(rows), labels.split(rows), strict=True))


def _trainer(
    batches: Batches, *, model: nn.Module | None = None, scatter: bool | None = None, layers: bool = False
) -> Callable[[], None]:
    """Return a function that trains a network, or one of its own, for an epoch; watched unless scatter is None."""
    model, criterion = model or _network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    if scatter is not None:
        names = [name for name, module in model.named_modules() if layers and isinstance(module, nn.BatchNorm1d)]
        nct.watch(model, labels=criterion, layers=names, scatter=scatter)

    def train() -> None:
        model.train()
        for inputs, labels in batches:
            loss = criterion(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return train


def _report_time(batches: Batches, repeats: int) -> float:
    model, criterion = _network(), nn.CrossEntropyLoss()
    with nct.watch(model, labels=criterion) as tap:
        for inputs, labels in batches:
            criterion(model(inputs), labels)
    return timing.interleaved({"report": tap.report}, repeats)["report"].median
