"""A small network to watch, and what to expect of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import ncfast

K = 3


class Net(nn.Module):
    """Two layers and a head; the layers may be checkpointed."""

    def __init__(self, *, reentrant: bool | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.act = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(6, 5)
        self.fc = nn.Linear(5, K)
        self.reentrant = reentrant

    def body(self, x: Tensor) -> Tensor:
        return torch.tanh(self.second(self.dropout(self.act(self.first(x)))))

    def classify(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        if self.reentrant is None:
            return self.classify(x)
        return checkpoint(self.classify, x, use_reentrant=self.reentrant)  # type: ignore[no-any-return]


def batches(count: int = 4, rows: int = 12) -> list[tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(1)
    return [
        (torch.randn(rows, 4, generator=random, requires_grad=True), torch.randint(K, (rows,), generator=random))
        for _ in range(count)
    ]


def body(net: Net, x: Tensor) -> npt.NDArray[np.float32]:
    with torch.no_grad():
        return net.body(x).numpy()


def assert_counted(stats: ncfast.ClassStatistics, features: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> None:
    """Compare with plain float64 means and scatter."""
    rows = features.astype(np.float64)
    assert stats.counts.tolist() == np.bincount(labels, minlength=K).tolist()
    for k in range(K):
        np.testing.assert_allclose(stats.means[k], rows[labels == k].mean(0), rtol=1e-6, atol=1e-8)
    assert stats.pooled is not None
    centred = rows - np.stack([rows[labels == k].mean(0) for k in range(K)])[labels]
    np.testing.assert_allclose(stats.scatter, centred.T @ centred, rtol=1e-5, atol=1e-5)


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())
