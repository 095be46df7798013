"""Statistics without float64; what they share with the other backends is tested in `test_torch_accumulator`."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import ncfast
import ncfast.torch as nct
import reference as ref
from compare import SINGLE, UNIT, assert_statistics, assert_variability, variability
from data import batches, make_features
from ncfast.torch._arithmetic import add_pairs, power_of_two, reciprocal, two_sum
from ncfast.torch._engines import engine_for
from ncfast.torch._segments import Segments

PAIR = 2.0**-45
"""Accuracy of a sum in 48 bits, with some to spare."""


def collect(features, labels, num_classes, size, **options):
    acc = nct.Accumulator(num_classes, features.shape[1], scatter=True, backend="compensated", **options)
    for part in batches(len(features), size):
        acc.update(torch.from_numpy(features[part]), torch.from_numpy(labels[part]))
    return acc


class NoDouble(TorchDispatchMode):
    """Fail on float64, and on operations that torch does not have on MPS."""

    MISSING = ("segment_reduce", "frexp", "index_reduce", "linalg")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert not name.startswith(self.MISSING), name
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, made)):
            assert not isinstance(value, torch.Tensor) or value.dtype != torch.float64, name
            assert value is not torch.float64, name
        return made


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_no_float64_while_it_collects(dtype, rng):
    features, labels = make_features(300, 8, 5, 1, 0, np.float32, rng)
    x, y = torch.from_numpy(features).to(dtype), torch.from_numpy(labels)
    acc = nct.Accumulator(5, 8, scatter=True, ignore_index=-100, backend="compensated", classes=slice(1, 4))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # a program may, and it must not matter
    try:
        with NoDouble():
            acc.update(x, y, torch.ones(300, dtype=torch.bool))
            acc.update(x[:0], y[:0])
            acc.state_dict()
            acc.reset()
        with pytest.raises(AssertionError, match="segment_reduce"), NoDouble():
            Segments.of(y, 5).sum(x.float())
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("spread", [1, 1e-6])
@pytest.mark.parametrize("offset", [0, 1000])
def test_thousands_of_batches_do_not_drift(spread, offset, rng):
    features, labels = make_features(20_000, 6, 4, spread, offset, np.float32, rng, imbalance=10)
    stats = collect(features, labels, 4, 10).statistics()
    assert_statistics(stats, features, labels, 4, 1e-6)
    assert_variability(ncfast.measure_statistics(stats), variability(ref.two_pass(features, labels)), 1e-6, "batches")
    deviations = features - features[[np.flatnonzero(labels == k)[0] for k in range(4)]][labels].astype(np.float64)
    for k in range(4):  # sums of what is left of a row of the class
        allowed = PAIR * np.abs(deviations[labels == k]).mean(0) + 4 * UNIT * np.abs(stats.means[k])
        exact = features[labels == k].astype(np.longdouble).mean(0)
        assert (np.abs(stats.means[k] - exact) <= allowed).all()


def test_the_largest_deviation_may_come_at_any_time(rng):
    features, labels = make_features(400, 6, 4, 1e-3, 1, np.float32, rng)
    for row in (0, 150, 399):
        far = features.copy()
        far[row] *= np.float32(1e12)
        assert_statistics(collect(far, labels, 4, 50).statistics(), far, labels, 4, SINGLE)
    begun_at_zero = np.concatenate((np.zeros((8, 6), np.float32), features))
    its_labels = np.concatenate((np.arange(8) % 4, labels))
    stats = collect(begun_at_zero, its_labels, 4, 8).statistics()
    assert_statistics(stats, begun_at_zero, its_labels, 4, SINGLE)


def test_a_device_without_float64_gets_it_by_itself():
    mps, cpu = torch.device("mps"), torch.device("cpu")
    assert engine_for(mps, None, "feature").name == "compensated"
    assert engine_for(cpu, None, "feature").name == "native"
    for backend in ("torch", "native"):
        with pytest.raises(ValueError, match=f"backend is '{backend}' on device mps.*wanted 'compensated'"):
            engine_for(mps, backend, "feature")
    with pytest.raises(ValueError, match="precision is 'double' without float64"):
        engine_for(mps, None, "double")


def test_what_needs_float64_says_so(rng):
    features, labels = make_features(40, 3, 2, 1, 0, np.float32, rng)
    stats = collect(features, labels, 2, None).statistics()
    with pytest.raises(ValueError, match="device is mps, which has no float64; wanted 'cpu'"):
        nct.Decisions(stats, device="mps")
    with pytest.raises(ValueError, match=r"frame is on device mps, which has no float64; wanted frame.cpu\(\)"):
        nct.sweep_pairs(SimpleNamespace(ndim=2, shape=(2, 3), device=torch.device("mps")))


def test_float64_features_are_refused(rng):
    features, labels = make_features(40, 3, 2, 1, 0, np.float64, rng)
    with pytest.raises(TypeError, match=r"dtype torch.float64; wanted at most 32 bits .*features.float\(\)"):
        collect(features, labels, 2, None)


def test_pairs_lose_nothing(rng):
    a, b = (torch.from_numpy(rng.standard_normal(1000) * 10.0 ** rng.integers(-9, 9, 1000)) for _ in range(2))
    high, low = two_sum(a.float(), b.float())
    assert torch.equal(high.double() + low.double(), a.float().double() + b.float().double())
    assert torch.equal(high, a.float() + b.float())
    pairs = [(x.float(), (x - x.float()).float()) for x in (a, b)]
    exact = sum(part.double() for pair in pairs for part in pair)
    high, low = add_pairs(*pairs)
    error = (high.double() + low.double() - exact).abs()
    assert (error <= PAIR * (a.abs() + b.abs())).all()
    assert (low.abs() <= 2.0**-24 * high.abs()).all()


def test_powers_of_two():
    values = torch.tensor([1.0, 1.5, 0.99, 3e38, 2.0**-126, 0.0, 1e-40])
    powers = power_of_two(values)
    assert powers.tolist() == [1.0, 1.0, 0.5, 2.0**127, 2.0**-126, 0.0, 0.0]
    assert reciprocal(powers[[0, 2, 4]]).tolist() == [1.0, 2.0, 2.0**126]


@pytest.mark.parametrize("rows", [1, 2, 3, 64, 513])
@pytest.mark.parametrize("num_classes", [2, 7, 700])
def test_sums_of_pairs_by_class(rows, num_classes, rng):
    classes = torch.from_numpy(rng.integers(0, num_classes, rows))
    values = torch.from_numpy(
        (rng.standard_normal((rows, 3)) * 10.0 ** rng.integers(-6, 6, (rows, 1))).astype(np.float32)
    )
    by_class = Segments.of(classes, num_classes)
    high, low = by_class.sum_pairs((values[by_class.order], torch.zeros_like(values)))
    for segment, owner in enumerate(by_class.owners.tolist()):
        mine = values[classes == owner] if by_class.counts[segment] else values[:0]
        size = mine.double().abs().sum(0)
        assert ((high[segment].double() + low[segment].double() - mine.double().sum(0)).abs() <= PAIR * size).all()
    assert by_class.counts.sum() == rows
