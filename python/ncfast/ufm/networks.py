"""The practical side of the theory: a small network on real images, squared loss and weight decay, until it collapses.

Its last two layers are those of the extended model: features H1 enter a matrix W1 without bias, a ReLU makes H2 of
them, and W2 the outputs. What the theory leaves unconstrained, H1, comes here from a body that sees images.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._choices import as_count
from .._measure import measure
from .._measurement import Progress
from ..report import Report
from ._images import Images, load_images

if TYPE_CHECKING:
    import torch

WIDTH = 64
BODY_LAYERS = 3
DECAY = 5e-3
RATE = 1e-2  # at the start; it falls to zero along a cosine
# A shorter memory and a larger floor than Adam's usual ones: near the end gradients are tiny, and it would overshoot.
BETAS, EPSILON = (0.9, 0.99), 1e-6
CHECKPOINTS = 40


@dataclass(frozen=True)
class NetworkRun:
    """What was seen of a network during its training.

    Attributes
    ----------
    images : str
        What it was trained on.
    bias : bool
        Whether its last layer has a bias, which is not decayed.
    epochs : tuple of int
        Passes over the training set, one gradient step each, in which it was measured, before the step.
    accuracies, losses : tuple of float
        On the training set: share it gets right; squared loss with the decay.
    before, last : tuple of Report
        Metrics of H1, what enters the last hidden layer, and of H2, what enters the classifier, with the classifier.
    norms : tuple of (float, float)
        Frobenius norms of the classifier's matrix W2 and of W1, the one before.
    """

    images: str
    bias: bool
    epochs: tuple[int, ...]
    accuracies: tuple[float, ...]
    losses: tuple[float, ...]
    before: tuple[Report, ...]
    last: tuple[Report, ...]
    norms: tuple[tuple[float, float], ...]

    @property
    def terminal_epoch(self) -> int | None:
        """The first measured epoch without a training error: the terminal phase begins. None if there is none."""
        return next((epoch for epoch, share in zip(self.epochs, self.accuracies, strict=True) if share == 1), None)


def train_network(
    *,
    bias: bool,
    images: Path | None = None,
    epochs: int = 2000,
    seed: int = 0,
    progress: Progress | None = None,
) -> NetworkRun:
    """Train a network with ReLUs on real images until it has collapsed, and measure its last two layers on the way.

    It minimises ``||outputs - Y||^2 / (2N) + 5e-3/2 ||weights||^2`` with Adam on the whole training set at once. Three
    layers with batch normalisation make up the body; all layers have 64 units.

    Parameters
    ----------
    bias : bool
        Whether the last layer has a bias, without decay.
    images : Path, optional
        Folder of ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, each perhaps with ``.gz``, of MNIST,
        Fashion-MNIST and their kind; the digits of scikit-learn by default. 170 of each class are used.
    epochs : int, default 2000
        About 12 seconds.
    seed : int, default 0
        Of the initial weights; on one machine it decides the whole result.
    progress : callable, optional
        Called with (epochs done, epochs in all).

    Raises
    ------
    ImportError
        If torch is missing, or scikit-learn for the digits.
    ValueError, OSError
        On bad arguments or files.

    References
    ----------
    Tirer, Bruna, "Extended unconstrained features model for exploring deep neural collapse", ICML 2022.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError('the networks are trained with torch: pip install "ncfast[torch]"') from error
    epochs = as_count("epochs", epochs, 1)
    data = load_images(images)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # products this small only lose time to a second thread
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _train(data, bias, epochs, progress)
    finally:
        torch.set_num_threads(threads)


class _Network(NamedTuple):
    body: torch.nn.Module
    hidden: torch.nn.Linear
    head: torch.nn.Linear


def _build(inputs: int, classes: int, bias: bool) -> _Network:
    from torch import nn

    sizes = (inputs, *[WIDTH] * BODY_LAYERS)
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out, bias=False), nn.BatchNorm1d(fan_out), nn.ReLU()]
    head = nn.Linear(WIDTH, classes, bias=bias)
    if bias:
        nn.init.zeros_(head.bias)
    return _Network(nn.Sequential(*layers), nn.Linear(WIDTH, WIDTH, bias=False), head)


def _train(data: Images, bias: bool, epochs: int, progress: Progress | None) -> NetworkRun:
    import torch

    inputs, labels = torch.from_numpy(data.pixels), torch.from_numpy(data.labels)
    classes = int(labels.max()) + 1
    targets = torch.eye(classes)[labels]
    network = _build(inputs.shape[1], classes, bias)
    decayed: list[Any] = [*network.body.parameters(), network.hidden.weight, network.head.weight]
    groups = [{"params": decayed, "weight_decay": DECAY}]
    if bias:
        groups.append({"params": [network.head.bias], "weight_decay": 0.0})
    optimiser = torch.optim.Adam(groups, lr=RATE, betas=BETAS, eps=EPSILON)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)

    checkpoints = {int(epoch) for epoch in np.geomspace(1, epochs, CHECKPOINTS).round()}
    seen = []
    for epoch in range(1, epochs + 1):
        before = network.body(inputs)  # the whole set is one batch, so that its own statistics normalise it always
        last = torch.relu(network.hidden(before))
        outputs = network.head(last)
        loss = ((outputs - targets) ** 2).sum() / (2 * len(targets))
        if epoch in checkpoints:
            seen.append(
                _look(network, data.labels, before, last, outputs, float(loss.detach() + DECAY / 2 * _squares(decayed)))
            )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress is not None:
            progress(epoch, epochs)
    columns = [tuple(column) for column in zip(*seen, strict=True)]
    return NetworkRun(data.name, bias, tuple(sorted(checkpoints)), *columns)


def _look(
    network: _Network, labels: Any, before: torch.Tensor, last: torch.Tensor, outputs: torch.Tensor, loss: float
) -> tuple[float, float, Report, Report, tuple[float, float]]:
    """Measure both layers."""
    head, hidden = network.head, network.hidden.weight
    bias = dict(head.named_parameters()).get("bias")
    accuracy = float(np.mean(outputs.detach().numpy().argmax(axis=1) == labels))
    reports = (
        measure(before, labels),
        measure(
            last, labels, weights=head.weight.detach().numpy(), bias=None if bias is None else bias.detach().numpy()
        ),
    )
    return accuracy, loss, *reports, (float(head.weight.detach().norm()), float(hidden.detach().norm()))


def _squares(parameters: list[Any]) -> Any:
    return sum(parameter.detach().square().sum() for parameter in parameters)
