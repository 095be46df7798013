"""A plain simulation of unconstrained-features descents and plain metrics; it never imports the package.

Everything is in the columns convention of the papers: H is d x N, sorted by class; weights come innermost first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


@dataclass
class Model:
    counts: tuple[int, ...]
    decays: tuple[float, ...]  # of W_1, ..., W_M
    feature_decay: float
    bias_decay: float | None = None
    relu: bool = False
    loss: str = "square"  # or "cross-entropy"
    smoothing: float = 0.0
    focal: float = 0.0
    nonnegative: bool = False
    class_targets: Float | None = None  # (K, outputs)

    @property
    def labels(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def targets(self) -> Float:
        k = len(self.counts)
        rows = np.eye(k) if self.class_targets is None else self.class_targets
        return ((1 - self.smoothing) * rows + self.smoothing / k)[self.labels].T


@dataclass
class Variables:
    weights: list[Float]
    features: Float
    bias: Float | None
    memory: dict[str, Float] = field(default_factory=dict)

    def copy(self) -> Variables:
        bias = None if self.bias is None else self.bias.copy()
        return Variables([w.copy() for w in self.weights], self.features.copy(), bias)


def levels_of(model: Model, x: Variables) -> list[Float]:
    """Features, then what each layer but the last makes of them; with a ReLU before and after it."""
    out = [x.features]
    for weights in x.weights[:-1]:
        out.append(weights @ out[-1])
        if model.relu:
            out.append(np.maximum(out[-1], 0))
    return out


def loss_and_gradient(
    model: Model, x: Variables, rows: NDArray[np.int64] | None = None
) -> tuple[float, list[Float], Float, Float | None]:
    """Objective, and gradients in weights, features and bias; of a batch if `rows` are given."""
    total = model.labels.size
    rows = np.arange(total) if rows is None else rows
    batch = rows.size
    h, y = x.features[:, rows], model.targets()[:, rows]
    inputs, passed = [h], []
    for weights in x.weights[:-1]:
        z = weights @ inputs[-1]
        passed.append(z > 0)
        inputs.append(np.maximum(z, 0) if model.relu else z)
    z = x.weights[-1] @ inputs[-1]
    if x.bias is not None:
        z = z + x.bias[:, None]
    if model.loss == "square":
        slope = z - y
        fit = np.sum(slope**2) / 2
    else:
        z = z - z.max(axis=0)
        p = np.exp(z) / np.exp(z).sum(axis=0)
        log_p = z - np.log(np.exp(z).sum(axis=0))
        if model.focal:
            own, g = (y * p).sum(axis=0), model.focal
            rest, log_own = ((1 - y) * p).sum(axis=0), (y * log_p).sum(axis=0)
            fit = -np.sum(rest**g * log_own)
            slope = (rest**g - g * rest ** (g - 1) * own * log_own) * (p - y)
        else:
            fit = -np.sum(y * log_p)
            slope = p - y
    slope = slope / batch
    by_bias = None if x.bias is None else slope.sum(axis=1) + (model.bias_decay or 0.0) * x.bias
    by_weights = []
    for layer in range(len(x.weights) - 1, -1, -1):
        by_weights.insert(0, slope @ inputs[layer].T + model.decays[layer] * x.weights[layer])
        slope = x.weights[layer].T @ slope
        if model.relu and layer > 0:
            slope = slope * passed[layer - 1]
    by_features = np.zeros_like(x.features)
    by_features[:, rows] = slope + model.feature_decay * total / batch * h
    value = fit / batch + model.feature_decay / 2 * np.sum(x.features**2)
    value += sum(decay / 2 * np.sum(w**2) for decay, w in zip(model.decays, x.weights, strict=True))
    if x.bias is not None:
        value += (model.bias_decay or 0.0) / 2 * np.sum(x.bias**2)
    return float(value), by_weights, by_features, by_bias


def step(
    model: Model,
    x: Variables,
    rate: float,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    adam: int = 0,
    rows: NDArray[np.int64] | None = None,
) -> float:
    """One step in place; `adam` is the number of the step, from 1, or 0 for gradient descent. Returns the loss."""
    value, by_weights, by_features, by_bias = loss_and_gradient(model, x, rows)
    moved = [(f"w{i}", w, g) for i, (w, g) in enumerate(zip(x.weights, by_weights, strict=True))]
    moved.append(("h", x.features, by_features))
    if x.bias is not None and by_bias is not None:
        moved.append(("b", x.bias, by_bias))
    for name, variable, gradient in moved:
        first = x.memory.setdefault(name + "1", np.zeros_like(variable))
        second = x.memory.setdefault(name + "2", np.zeros_like(variable))
        some = (slice(None), rows) if name == "h" and rows is not None else ...
        g = gradient[some]
        if adam:
            first[some] = 0.9 * first[some] + 0.1 * g
            second[some] = 0.999 * second[some] + 0.001 * g**2
            unbiased = first[some] / (1 - 0.9**adam)
            variable[some] -= rate * unbiased / (np.sqrt(second[some] / (1 - 0.999**adam)) + 1e-8)
        else:
            first[some] = momentum * first[some] + g
            variable[some] -= rate * (g + momentum * first[some] if nesterov else first[some])
    if model.nonnegative:
        np.maximum(x.features, 0, out=x.features)
    return value


def metrics(model: Model, x: Variables) -> list[dict[str, float]]:
    """Collapse metrics at each level, with the product of the weights above it."""
    out = []
    for index, level in enumerate(levels_of(model, x)):
        above = x.weights[(index + 1) // 2 if model.relu else index :]
        product = np.eye(level.shape[0])
        for weights in above:
            product = weights @ product
        out.append(metrics_of(level, model.labels, product))
    return out


def metrics_of(h: Float, labels: NDArray[np.int64], w: Float) -> dict[str, float]:
    k = labels.max() + 1
    means = np.stack([h[:, labels == c].mean(axis=1) for c in range(k)], axis=1)
    deviations = h - means[:, labels]
    centred = means - means.mean(axis=1, keepdims=True)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    rank = min(h.shape[0], k - 1)
    along = (u[:, :rank].T @ deviations) / s[:rank, None]
    etf = (np.eye(k) - 1 / k) / np.sqrt(k - 1)
    of = np.eye(k) / np.sqrt(k)

    def apart(gram: Float, target: Float) -> float:
        return float(np.linalg.norm(gram / np.linalg.norm(gram) - target))

    def dual(m: Float) -> float:
        return float(np.linalg.norm(w / np.linalg.norm(w) - m.T / np.linalg.norm(m)))

    values = {
        "nc1_pinv": float(np.sum(along**2)) / labels.size,
        "nc1_trace_ratio": float(np.sum(deviations**2) / labels.size / (np.sum(centred**2) / k)),
        "nc2_etf_means": apart(centred.T @ centred, etf),
        "nc2_of_means": apart(means.T @ means, of),
    }
    if w.shape[0] == k:
        values |= {
            "nc2_etf_weights": apart(w @ w.T, etf),
            "nc2_of_weights": apart(w @ w.T, of),
            "nc3_self_duality": dual(centred),
            "nc3_self_duality_of": dual(means),
            "nc3_alignment_etf": apart(w @ centred, etf),
            "nc3_alignment_of": apart(w @ means, of),
        }
    return values
