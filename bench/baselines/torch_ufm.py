"""Gradient descent of the unconstrained-features models as one writes it in torch: no autograd, in place.

All buffers are made once, every product and update writes into one of them, and decays are folded into the updates.
The same metrics as ncfast's are computed every `record_every` iterations.
"""

from __future__ import annotations

import torch
from torch import Tensor

Record = dict[str, float]


class Linear:
    """``W H`` with the squared loss, no bias; features are d x N, sorted by class."""

    def __init__(self, weights: Tensor, features: Tensor, classes: int, decays: tuple[float, float]) -> None:
        self.weights, self.features, self.classes = weights.clone(), features.clone(), classes
        self.by_weights, self.by_features = decays
        samples = features.shape[1]
        self.targets = torch.eye(classes, dtype=features.dtype).repeat_interleave(samples // classes, dim=1)
        self.rest = torch.empty_like(self.targets)
        self.gradient = torch.empty_like(self.weights)

    def descend(self, step: float, iterations: int, record_every: int) -> list[Record]:
        """Run, and return the records."""
        records = []
        scale = step / self.features.shape[1]
        for t in range(iterations):
            torch.mm(self.weights, self.features, out=self.rest)
            self.rest -= self.targets
            if t % record_every == 0:
                records.append(self.record())
            torch.mm(self.rest, self.features.T, out=self.gradient)
            self.features.addmm_(self.weights.T, self.rest, beta=1 - step * self.by_features, alpha=-scale)
            self.weights.mul_(1 - step * self.by_weights).add_(self.gradient, alpha=-scale)
        torch.mm(self.weights, self.features, out=self.rest)
        self.rest -= self.targets
        records.append(self.record())
        return records

    def record(self) -> Record:
        """Loss and metrics, the residual being up to date."""
        loss = self.rest.square().sum() / (2 * self.features.shape[1])
        loss += self.by_weights / 2 * self.weights.square().sum() + self.by_features / 2 * self.features.square().sum()
        return {"loss": loss.item(), **metrics(self.features, self.weights, self.classes)}


class Relu:
    """``W_2 ReLU(W_1 H)`` with the squared loss, no bias."""

    def __init__(
        self, weights: tuple[Tensor, Tensor], features: Tensor, classes: int, decays: tuple[float, float, float]
    ) -> None:
        self.outer, self.inner = weights[0].clone(), weights[1].clone()
        self.features, self.classes = features.clone(), classes
        self.by_outer, self.by_inner, self.by_features = decays
        samples = features.shape[1]
        self.targets = torch.eye(classes, dtype=features.dtype).repeat_interleave(samples // classes, dim=1)
        self.rest = torch.empty_like(self.targets)
        self.before = torch.empty(self.inner.shape[0], samples, dtype=features.dtype)
        self.after, self.slope = torch.empty_like(self.before), torch.empty_like(self.before)
        self.passed = torch.empty(self.before.shape, dtype=torch.bool)
        self.of_outer, self.of_inner = torch.empty_like(self.outer), torch.empty_like(self.inner)

    def descend(self, step: float, iterations: int, record_every: int) -> list[Record]:
        """Run, and return the records."""
        records = []
        scale = step / self.features.shape[1]
        for t in range(iterations):
            self.forward()
            if t % record_every == 0:
                records.append(self.record())
            torch.mm(self.rest, self.after.T, out=self.of_outer)
            torch.mm(self.outer.T, self.rest, out=self.slope)
            torch.gt(self.before, 0, out=self.passed)
            self.slope.mul_(self.passed)
            torch.mm(self.slope, self.features.T, out=self.of_inner)
            self.features.addmm_(self.inner.T, self.slope, beta=1 - step * self.by_features, alpha=-scale)
            self.outer.mul_(1 - step * self.by_outer).add_(self.of_outer, alpha=-scale)
            self.inner.mul_(1 - step * self.by_inner).add_(self.of_inner, alpha=-scale)
        self.forward()
        records.append(self.record())
        return records

    def forward(self) -> None:
        """Bring activations and residual up to date."""
        torch.mm(self.inner, self.features, out=self.before)
        torch.clamp_min(self.before, 0, out=self.after)
        torch.mm(self.outer, self.after, out=self.rest)
        self.rest -= self.targets

    def record(self) -> Record:
        """Loss and metrics at all three levels."""
        loss = self.rest.square().sum() / (2 * self.features.shape[1])
        for decay, factor in (
            (self.by_outer, self.outer),
            (self.by_inner, self.inner),
            (self.by_features, self.features),
        ):
            loss += decay / 2 * factor.square().sum()
        levels = {"": (self.features, self.outer @ self.inner), "pre2/": (self.before, self.outer)}
        levels["h2/"] = (self.after, self.outer)
        return {
            "loss": loss.item(),
            **{p + k: v for p, (h, w) in levels.items() for k, v in metrics(h, w, self.classes).items()},
        }


def metrics(features: Tensor, weights: Tensor, classes: int) -> Record:
    """NC1 to NC3 of features (d, N) and weights (K, d)."""
    size, samples = features.shape
    by_class = features.view(size, classes, -1)
    means = by_class.mean(dim=2)
    deviations = (by_class - means[:, :, None]).view(size, samples)
    centred = means - means.mean(dim=1, keepdim=True)
    directions, values, _ = torch.linalg.svd(centred, full_matrices=False)
    rank = min(size, classes - 1)
    along = (directions[:, :rank] / values[:rank]).T @ deviations
    eye = torch.eye(classes, dtype=features.dtype)
    etf, of = (eye - 1 / classes) / (classes - 1) ** 0.5, eye / classes**0.5
    gram = weights @ weights.T
    unit = weights / weights.norm()
    values_by_name = {
        "nc1_pinv": along.square().sum() / samples,
        "nc1_trace_ratio": deviations.square().sum() / samples / (centred.square().sum() / classes),
        "nc2_etf_means": _apart(centred.T @ centred, etf),
        "nc2_of_means": _apart(means.T @ means, of),
        "nc2_etf_weights": _apart(gram, etf),
        "nc2_of_weights": _apart(gram, of),
        "nc3_self_duality": (unit - centred.T / centred.norm()).norm(),
        "nc3_self_duality_of": (unit - means.T / means.norm()).norm(),
        "nc3_alignment_etf": _apart(weights @ centred, etf),
        "nc3_alignment_of": _apart(weights @ means, of),
    }
    return dict(zip(values_by_name, torch.stack(list(values_by_name.values())).tolist(), strict=True))


def _apart(gram: Tensor, target: Tensor) -> Tensor:
    return (gram / gram.norm() - target).norm()
