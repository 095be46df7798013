"""Unconstrained-features problems: objectives and gradients against plain ones, normalisations, states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import reference_ufm as ref
from ncfast import ufm

SIZES: dict[str, Any] = {"num_classes": 3, "num_features": 4, "feature_decay": 0.03}
COUNTS = (2, 1, 3)
LABELS = np.array([0, 0, 1, 2, 2, 2])
RNG = np.random.default_rng(5)
CODES, PER_SAMPLE = RNG.normal(size=(3, 2)), RNG.normal(size=(6, 2))
SMOOTH = 0.9 * np.eye(3) + 0.1 / 3

# Problem, loss, targets by sample, decays in the order of the factors.
CASES: dict[str, tuple[ufm.Problem, Callable[..., Any], Any, list[float]]] = {
    "mse": (ufm.MSE(samples_per_class=2, weight_decay=0.2, **SIZES), ref.squared,
            np.eye(3)[[0, 0, 1, 1, 2, 2]], [0.2, 0.03]),
    "mse free bias, unequal": (ufm.MSE(samples_per_class=COUNTS, weight_decay=0.2, bias="free", **SIZES), ref.squared,
                               np.eye(3)[LABELS], [0.2, 0.03, 0.0]),
    "mse decayed bias": (ufm.MSE(samples_per_class=COUNTS, weight_decay=0.2, bias=0.7, **SIZES), ref.squared,
                         np.eye(3)[LABELS], [0.2, 0.03, 0.7]),
    "normalised": (ufm.MSE(samples_per_class=COUNTS, weight_decay=0.2, bias=0.7, normalisation="normalised", **SIZES),
                   ref.squared, np.eye(3)[LABELS], [0.2 / 3, 0.03 / 6, 0.7]),
    "codes": (ufm.MSE(samples_per_class=COUNTS, weight_decay=0.2, targets=CODES, bias=0.7, **SIZES), ref.squared,
              CODES[LABELS], [0.2, 0.03, 0.7]),
    "regression": (ufm.MSE(num_classes=1, num_features=4, samples_per_class=6, feature_decay=0.03, weight_decay=0.2,
                           targets=PER_SAMPLE), ref.squared, PER_SAMPLE, [0.2, 0.03]),
    "chain": (ufm.ExtendedMSE(samples_per_class=COUNTS, weight_decays=(0.1, 0.2, 0.3), widths=(5, 2), bias="free",
                              **SIZES), ref.squared, np.eye(3)[LABELS], [0.1, 0.2, 0.3, 0.03, 0.0]),
    "relu": (ufm.ExtendedMSE(samples_per_class=COUNTS, weight_decays=(0.1, 0.2, 0.3), nonlinearity="relu", **SIZES),
             ref.squared, np.eye(3)[LABELS], [0.1, 0.2, 0.3, 0.03]),
    "cross-entropy": (ufm.CrossEntropy(samples_per_class=COUNTS, weight_decay=0.2, bias=0.7, **SIZES),
                      ref.cross_entropy, np.eye(3)[LABELS], [0.2, 0.03, 0.7]),
    "smoothed": (ufm.CrossEntropy(samples_per_class=COUNTS, weight_decay=0.2, label_smoothing=0.1, **SIZES),
                 ref.cross_entropy, SMOOTH[LABELS], [0.2, 0.03]),
    "focal": (ufm.CrossEntropy(samples_per_class=COUNTS, weight_decay=0.2, focal=1.5, **SIZES), ref.focal(1.5),
              np.eye(3)[LABELS], [0.2, 0.03]),
}  # fmt: skip


def perturbed(problem: ufm.Problem, seed: int = 1) -> ufm.State:
    """A random state, bias included."""
    state = problem.initial_state(seed)
    bias = None if state.bias is None else np.random.default_rng(seed).normal(size=state.bias.shape)
    return ufm.State(state.weights, state.features, bias)


def parts(state: ufm.State) -> list[Any]:
    return [*state.weights, state.features, *([] if state.bias is None else [state.bias])]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_objective_and_gradient(name: str, seed: int) -> None:
    problem, loss, targets, decays = CASES[name]
    state = perturbed(problem, seed)
    layers = len(state.weights)

    def plain(*arrays: Any) -> Any:
        bias = arrays[layers + 1] if len(arrays) > layers + 1 else None
        return ref.objective(loss, arrays[:layers], arrays[layers], bias, targets, decays, relu=name == "relu")

    assert problem.objective(state) == pytest.approx(plain(*parts(state)), rel=1e-13)
    gradient = problem.gradient(state)
    for found, wanted in zip(parts(gradient), ref.gradient(plain, parts(state)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13 * (1 + np.abs(wanted).max()))


def test_sphere_objective_and_gradient() -> None:
    problem = ufm.SphereCrossEntropy(num_classes=3, num_features=4, samples_per_class=COUNTS, temperature=2.5)
    state = problem.initial_state(4)

    def plain(weights: Any, features: Any) -> Any:
        unit = [rows / np.sqrt((rows**2).sum(axis=1))[:, None] for rows in (weights, features)]
        return ref.objective(ref.cross_entropy, [2.5 * unit[0]], unit[1], None, np.eye(3)[LABELS], [0.0, 0.0])

    assert problem.objective(state) == pytest.approx(plain(*parts(state)), rel=1e-14)
    for found, wanted in zip(parts(problem.gradient(state)), ref.gradient(plain, parts(state)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in CASES if name != "regression"])
def test_collapsed_rows_stand_for_their_samples(name: str) -> None:
    problem = CASES[name][0]
    few = problem.initial_state(3, collapsed=True)
    bias = None if few.bias is None else np.array([0.1, -0.3, 0.2])[: few.bias.size]
    few = ufm.State(few.weights, few.features, bias)
    all_rows = ufm.State(few.weights, few.features[problem.labels], bias)
    value, gradient = problem.evaluate(few, collapsed=True)
    whole = problem.gradient(all_rows)
    assert value == pytest.approx(problem.objective(all_rows), rel=1e-14)
    sums = np.array([whole.features[problem.labels == k].sum(axis=0) for k in range(3)])
    for found, wanted in zip(parts(gradient), parts(ufm.State(whole.weights, sums, whole.bias)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-13)


@pytest.mark.parametrize("name", [name for name in CASES if name != "focal"])
def test_smoothness_bounds_the_hessian(name: str) -> None:
    problem = CASES[name][0]
    state = perturbed(problem, 7)
    shapes = [part.shape for part in parts(state)]
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])

    def flat_gradient(x: Any) -> Any:
        pieces = [p.reshape(s) for p, s in zip(np.split(x, ends[:-1]), shapes, strict=True)]
        layers = len(state.weights)
        made = ufm.State(tuple(pieces[:layers]), pieces[layers], pieces[-1] if problem.has_bias else None)
        return np.concatenate([part.ravel() for part in parts(problem.gradient(made))])

    x = np.concatenate([part.ravel() for part in parts(state)])
    step = 1e-6
    hessian = np.array(
        [(flat_gradient(x + step * e) - flat_gradient(x - step * e)) / (2 * step) for e in np.eye(x.size)]
    )
    largest = np.linalg.norm(hessian, 2)
    assert isinstance(problem, ufm.MSE | ufm.ExtendedMSE | ufm.CrossEntropy)
    bound = problem.smoothness(state)
    assert largest <= bound
    assert bound <= 10 * largest or len(state.weights) > 1  # chains pay for the coupling of their layers


def test_focal_has_no_smoothness() -> None:
    problem = CASES["focal"][0]
    assert isinstance(problem, ufm.CrossEntropy)
    with pytest.raises(ValueError, match="focal loss has no smoothness bound"):
        problem.smoothness(problem.initial_state())


def test_normalisations_convert_both_ways() -> None:
    raw = ufm.ExtendedMSE(samples_per_class=COUNTS, weight_decays=(0.1, 0.2), bias=0.4, **SIZES)
    other = raw.to("normalised")
    assert other.weight_decays == pytest.approx((0.3, 0.6))
    assert other.feature_decay == pytest.approx(0.18)
    assert other.bias == 0.4
    assert other.normalisation == "normalised"
    assert other.to("raw").weight_decays == pytest.approx((0.1, 0.2))
    state = perturbed(raw)
    assert other.objective(state) == pytest.approx(raw.objective(state), rel=1e-15)


def test_normalised_theory_is_free_of_n_and_k() -> None:
    for n in (1, 50):
        problem = ufm.MSE(num_classes=4, num_features=5, samples_per_class=n, weight_decay=0.02, feature_decay=0.08,
                          normalisation="normalised")  # fmt: skip
        best = ufm.minimizer(problem)
        assert ufm.thresholds(problem).kappa == pytest.approx(np.full(4, 0.04))
        assert np.diagonal(best.grams[0].means) == pytest.approx(np.full(4, 0.96 * 0.5))


@pytest.mark.parametrize("bias", ["none", 0.02])
def test_pytorch_equivalence(bias: Any) -> None:
    problem = ufm.MSE.from_pytorch(weight_decay=0.01, samples_per_class=2, bias=bias, **SIZES)
    state = perturbed(problem)
    tensors = [torch.tensor(part, requires_grad=True) for part in parts(state)]
    logits = tensors[1] @ tensors[0].T + (tensors[2] if bias != "none" else 0.0)
    loss = torch.nn.MSELoss()(logits, torch.tensor(np.eye(3)[problem.labels]))
    loss.backward()
    decays = [0.01, 0.03, 0.02][: len(tensors)]
    penalty = sum(decay / 2 * float((t.detach() ** 2).sum()) for decay, t in zip(decays, tensors, strict=True))
    assert problem.objective(state) * 2 / 3 == pytest.approx(loss.item() + penalty, rel=1e-14)
    # An optimiser adds decay times the parameter to its gradient.
    for decay, tensor, found in zip(decays, tensors, parts(problem.gradient(state)), strict=True):
        np.testing.assert_allclose(found * 2 / 3, tensor.grad.numpy() + decay * tensor.detach().numpy(), atol=1e-15)


def test_pytorch_chain_scales_every_decay() -> None:
    problem = ufm.ExtendedMSE.from_pytorch(samples_per_class=2, weight_decays=(0.1, 0.2), bias="free", **SIZES)
    assert problem.penalties == ((pytest.approx(0.15), pytest.approx(0.3)), pytest.approx(0.045), 0.0)


def test_pytorch_decays_are_raw() -> None:
    with pytest.raises(ValueError, match="normalisation is 'normalised'; wanted 'raw'"):
        ufm.MSE.from_pytorch(weight_decay=0.01, samples_per_class=2, normalisation="normalised", **SIZES)


def test_initial_state() -> None:
    problem = ufm.ExtendedMSE(num_classes=30, num_features=400, samples_per_class=20, weight_decays=(1e-3, 1e-3),
                              feature_decay=1e-3, bias="free")  # fmt: skip
    state = problem.initial_state(8)
    assert [w.shape for w in state.weights] == [(30, 400), (400, 400)]
    assert state.features.shape == (600, 400)
    spreads = [part.std() for part in (*state.weights, state.features)]
    assert spreads == pytest.approx([1.0, 400**-0.5, 1.0], rel=0.03)
    assert state.bias is not None
    assert not state.bias.any()
    again, smaller = problem.initial_state(8), problem.initial_state(8, scale=0.25)
    np.testing.assert_array_equal(state.features, again.features)
    np.testing.assert_allclose(smaller.features, 0.25 * state.features, rtol=1e-15)
    assert not np.array_equal(problem.initial_state(9).features, state.features)


def test_nonnegative_features_start_so() -> None:
    problem = ufm.CrossEntropy(samples_per_class=2, weight_decay=0.1, features="nonnegative", **SIZES)
    assert problem.initial_state().features.min() >= 0


def test_sizes() -> None:
    problem = ufm.MSE(samples_per_class=COUNTS, weight_decay=0.1, **SIZES)
    np.testing.assert_array_equal(problem.labels, LABELS)
    np.testing.assert_array_equal(problem.counts, COUNTS)
    assert problem.num_samples == 6
    assert not problem.balanced
    with pytest.raises(AttributeError):
        problem.weight_decay = 1.0  # type: ignore[misc]


def test_targets_are_a_copy() -> None:
    codes = CODES.copy()
    problem = ufm.MSE(samples_per_class=2, weight_decay=0.1, targets=codes, **SIZES)
    codes[:] = 0
    np.testing.assert_array_equal(problem.class_targets, CODES)
