"""Train a network far beyond zero training error and watch its last layer collapse.

    python examples/train_fashion_mnist.py --data /usr/share/datasets/fashion-mnist
    python examples/train_fashion_mnist.py                       # the small digits of scikit-learn instead
    torchrun --nproc_per_node 2 examples/train_fashion_mnist.py  # the same on two ranks

Fashion-MNIST is read from its IDX files. Every epoch prints a line, and the picture of all curves so far is written
anew every few seconds. On 2,000 images of Fashion-MNIST the 600 epochs take about two minutes on one core, and
`nc1_pinv` falls to 2e-4.

Needs: pip install "ncfast[torch,plot]", and scikit-learn for the digits.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, one_hot
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import ncfast.torch as nct

CLASSES = 10
PANELS = {
    "NC1: variability": ("nc1_pinv",),
    "NC2: geometry": ("nc2_equinorm_means", "nc2_max_angle_means"),
    "NC3: duality": ("nc3_self_duality",),
    "NC4: nearest class mean": ("nc4_disagreement", "training_error"),
}


def main() -> None:
    """Train, measure, print and draw."""
    options = parse_options()
    if "RANK" in os.environ:  # started by torchrun
        dist.init_process_group()
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    device = torch.device(f"cuda:{rank % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)

    images, labels = fashion_mnist(options.data, options.samples) if options.data else digits(options.samples)
    data = TensorDataset(images, labels)
    sampler: DistributedSampler[tuple[Tensor, ...]] | None = DistributedSampler(data) if ranks > 1 else None
    batches = DataLoader(data, options.batch // ranks, shuffle=sampler is None, sampler=sampler, drop_last=True)
    share = DataLoader(TensorDataset(images[rank::ranks], labels[rank::ranks]), 500)  # each sample on one rank

    network = mlp(images.shape[1], options.width, options.depth).to(device)
    model = nn.parallel.DistributedDataParallel(network) if ranks > 1 else network
    # Weight decay and depth, more than the accuracy, make features collapse.
    decay = {"ce": 5e-3, "mse": 1e-3}[options.loss]
    optimiser = torch.optim.SGD(model.parameters(), options.rate, momentum=0.9, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.epochs)

    curves: dict[str, list[float]] = {}
    drawn = 0.0
    for epoch in range(1, options.epochs + 1):
        if sampler is not None:
            sampler.set_epoch(epoch)
        error = train(model, batches, optimiser, options.loss, device)
        schedule.step()
        for buffer in network.buffers() if ranks > 1 else ():  # ranks may have met other batches
            dist.broadcast(buffer, 0)
        report = nct.measure_model(network, share, progress=False)
        if rank == 0:
            values = {"epoch": epoch, "training_error": error, **report}
            for name, value in values.items():
                curves.setdefault(name, []).append(value)
            print(line(values), flush=True)
            if time.monotonic() - drawn > 5 or epoch == options.epochs:
                draw(curves, options.picture)
                drawn = time.monotonic()
    if rank == 0:
        print(report, f"\ncurves: {options.picture}", sep="\n")
    if dist.is_initialized():
        del model
        gc.collect()  # it held the group, whose threads have to end before the interpreter does
        dist.destroy_process_group()


def train(
    model: nn.Module,
    batches: DataLoader[tuple[Tensor, ...]],
    optimiser: torch.optim.Optimizer,
    loss_name: str,
    device: torch.device,
) -> float:
    """Train one epoch; return the share of samples that were classified wrongly as they passed by, on this rank."""
    model.train()
    wrong, count = torch.zeros((), device=device), 0
    for images, labels in batches:
        x, y = images.to(device), labels.to(device)
        outputs = model(x)
        loss = cross_entropy(outputs, y) if loss_name == "ce" else mse_loss(outputs, one_hot(y, CLASSES).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        wrong += (outputs.argmax(1) != y).sum()
        count += len(y)
    return float(wrong) / count


def mlp(inputs: int, width: int, depth: int) -> nn.Sequential:
    """Hidden layers with batch normalisation and ReLU, and a linear head."""
    layers: list[nn.Module] = []
    for size in (inputs, *[width] * (depth - 1)):
        layers += [nn.Linear(size, width), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def fashion_mnist(folder: Path, samples: int) -> tuple[Tensor, Tensor]:
    """Read training images, as many of each class, as rows of pixels of mean 0 and variance 1."""
    images = read_idx(folder / "train-images-idx3-ubyte.gz").reshape(-1, 784)
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz")
    chosen = np.concatenate([np.flatnonzero(labels == k)[: samples // CLASSES] for k in range(CLASSES)])
    pixels = torch.from_numpy(images[chosen].astype(np.float32)) / 255
    return (pixels - 0.286) / 0.353, torch.from_numpy(labels[chosen].astype(np.int64))


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes: two zeros, the type, the number of axes, their lengths, the values."""
    content = gzip.decompress(path.read_bytes())
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is no IDX file of bytes")
    axes = content[3]
    shape = np.frombuffer(content, ">u4", axes, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def digits(samples: int) -> tuple[Tensor, Tensor]:
    """Images of handwritten digits, 8 x 8 pixels, at most 1,797."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = torch.from_numpy(images[:samples].astype(np.float32))
    return (pixels - pixels.mean(0)) / 3, torch.from_numpy(labels[:samples].astype(np.int64))


def line(values: dict[str, float]) -> str:
    """Say in one line how far collapse has come."""
    shown = [name for names in PANELS.values() for name in names]
    return f"epoch {values['epoch']:>4}  " + "  ".join(f"{name} {values[name]:<9.3g}" for name in shown)


def draw(curves: dict[str, list[float]], path: Path) -> None:
    """Draw all curves so far; the picture appears whole or not at all."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(2, 2).flat, PANELS.items(), strict=True):
        for name in names:
            axes.plot(curves["epoch"], curves[name], label=name)
        axes.set(title=title, xlabel="epoch")
        if title.startswith("NC4"):  # reaches zero
            axes.set_yscale("symlog", linthresh=1e-3)
        else:
            axes.set_yscale("log")
        axes.legend()
    unfinished = path.with_name(f".{path.name}")
    figure.savefig(unfinished, format="png")
    unfinished.replace(path)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with the IDX files of Fashion-MNIST")
    parser.add_argument("--loss", choices=("ce", "mse"), default="ce", help="cross-entropy or squared loss")
    parser.add_argument("--samples", type=int, default=2000, metavar="N")
    parser.add_argument("--epochs", type=int, default=600, metavar="N")
    parser.add_argument("--batch", type=int, default=128, metavar="N", help="of all ranks together")
    parser.add_argument("--rate", type=float, default=0.05, metavar="LR")
    parser.add_argument("--width", type=int, default=256, metavar="D", help="features of each hidden layer")
    parser.add_argument("--depth", type=int, default=6, metavar="L", help="hidden layers")
    parser.add_argument("--picture", type=Path, default=Path("fashion-mnist.png"), metavar="PNG")
    return parser.parse_args()


if __name__ == "__main__":
    main()
