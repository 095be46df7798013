"""The accumulator of torch batches: the numbers of the native one, on any device, without waiting for it."""

from __future__ import annotations

from contextlib import nullcontext
from shutil import which
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import ncfast
import ncfast.torch as nct
import reference as ref
from compare import DOUBLE, SINGLE, accumulate, assert_statistics, assert_variability, state, variability
from data import batches, make_features

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
# Where, and by what: torch operations everywhere, with float64 and without, the compiled kernels on the CPU.
ENGINES = ["native", "torch", "compensated"]
PLACES = [("cpu", "native"), *((device, backend) for device in DEVICES for backend in ENGINES[1:])]
COMPILERS = ["eager", "aot_eager", *(["inductor"] if which("g++") or which("clang++") else [])]
SHAPES: dict[str, Any] = {
    "fewer_classes_than_features": (600, 64, 10, {}),
    "more_classes_than_features": (700, 16, 50, {}),
    "imbalanced_100_to_1": (900, 24, 10, {"imbalance": 100}),
    "missing_and_singleton": (500, 20, 12, {"missing": [0, 7, 11], "singleton": [3]}),
}
places = pytest.mark.parametrize(("device", "backend"), PLACES)


def collect(features, labels, num_classes, size=None, *, device="cpu", **options):
    acc = nct.Accumulator(num_classes, features.shape[1], device=device, **options)
    x, y = torch.as_tensor(features).to(device), torch.as_tensor(labels).to(device)
    for part in batches(len(x), size):
        acc.update(x[part], y[part])
    return acc


@pytest.mark.parametrize(
    ("backend", "dtype", "rtol"),
    [("torch", np.float32, SINGLE), ("torch", np.float64, DOUBLE), ("compensated", np.float32, SINGLE)],
)
@pytest.mark.parametrize("offset", [0, 10, 1000])
@pytest.mark.parametrize("spread", [1, 1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("device", DEVICES)
def test_grid_of_collapse(shape, spread, offset, backend, dtype, rtol, device, rng):
    n, d, k, options = SHAPES[shape]
    features, labels = make_features(n, d, k, spread, offset, dtype, rng, **options)
    want = variability(ref.two_pass(features, labels))
    for size in (7, 128, None):
        stats = collect(features, labels, k, size, device=device, backend=backend, scatter=True).statistics()
        assert_statistics(stats, features, labels, k, rtol)
        assert_variability(ncfast.measure_statistics(stats), want, rtol, f"batches of {size}")


@pytest.mark.parametrize("size", [0, 128, None])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_on_the_cpu_the_bits_are_those_of_the_native_accumulator(dtype, size, rng):
    features, labels = make_features(700, 20, 12, 1e-2, 1, dtype, rng, missing=[2])
    acc = collect(features, labels, 12, size, scatter=True)
    acc.num_samples, acc.skipped_rows = 700, 0
    native = ncfast.Accumulator(12, 20)
    for part in batches(700, size):
        native.update(features[part], labels[part])
    assert state(acc) == state(native)


@places
@pytest.mark.parametrize("scale", [1, 300])  # squares of 300 are beyond the range of float16
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_measured_as_its_exact_values(dtype, scale, device, backend, rng):
    features, labels = make_features(900, 24, 6, 1e-1, 1, np.float32, rng, scale=scale)
    half = torch.from_numpy(features).to(dtype)
    for context in (nullcontext(), torch.autocast(device, torch.bfloat16)):
        with context:
            acc = collect(half, labels, 6, 100, device=device, backend=backend, scatter=True)
        assert_statistics(acc.statistics(), half.float().numpy(), labels, 6, SINGLE)
        assert acc.feature_dtype == str(dtype).removeprefix("torch.")


@places
@pytest.mark.parametrize("size", [1, 64, None])
@pytest.mark.parametrize("distance", [1e-2, 1, 100])
def test_classes_that_open_with_an_outlier(distance, size, device, backend, rng):
    features, labels = make_features(240, 6, 4, 1e-4, 3, np.float32, rng)
    for k in range(4):
        features[np.flatnonzero(labels == k)[0]] += distance * rng.standard_normal(6).astype(np.float32)
    stats = collect(features, labels, 4, size, device=device, backend=backend, scatter=True).statistics()
    assert_statistics(stats, features, labels, 4, SINGLE)


@places
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_squares_beyond_the_range_of_float32(scale, device, backend, rng):
    features, labels = make_features(300, 6, 4, 1e-2, 1, np.float32, rng, scale=scale)
    stats = collect(features, labels, 4, 64, device=device, backend=backend, scatter=True).statistics()
    assert_statistics(stats, features, labels, 4, SINGLE)


operations = pytest.mark.parametrize("backend", ENGINES[1:])


@operations
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("setting", ["high", "medium"])
def test_products_are_of_float32_whatever_the_program_allows(setting, device, backend, rng):
    features, labels = make_features(600, 32, 4, 1, 0, np.float32, rng)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(setting)
    try:
        backends: Any = torch.backends
        flags = [backends.mkldnn.matmul, backends.cuda.matmul]
        allowed = [flag.fp32_precision for flag in flags]
        seen = []

        class Watch(TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                if func is torch.ops.aten.mm.default:
                    seen.append(flags[DEVICES.index(device)].fp32_precision)
                return func(*args, **(kwargs or {}))

        with Watch():
            acc = collect(features, labels, 4, 200, device=device, backend=backend, scatter=True)
        assert set(seen) == {"ieee"}
        assert [flag.fp32_precision for flag in flags] == allowed
        assert torch.get_float32_matmul_precision() == setting
    finally:
        torch.set_float32_matmul_precision(before)
    assert_statistics(acc.statistics(), features, labels, 4, SINGLE)


@pytest.mark.parametrize("backend", ENGINES)
def test_before_torch_2_9_one_setting_rules_the_products(backend, rng, monkeypatch):
    monkeypatch.setattr(type(torch.backends.mkldnn), "matmul", None)
    monkeypatch.setattr(torch.backends.cuda, "matmul", None)
    features, labels = make_features(600, 32, 4, 1, 0, np.float32, rng)
    before, seen = torch.get_float32_matmul_precision(), []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(torch.get_float32_matmul_precision() if func is torch.ops.aten.mm.default else None)
            return func(*args, **(kwargs or {}))

    torch.set_float32_matmul_precision("medium")
    try:
        with Watch():
            acc = collect(features, labels, 4, 200, backend=backend, scatter=True)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert set(seen) - {None} == (set() if backend == "native" else {"highest"})
    assert_statistics(acc.statistics(), features, labels, 4, SINGLE)


class NoWaiting(TorchDispatchMode):
    """Fail on what makes the host wait for a device: values read, copies to the host, sizes that depend on data."""

    FORBIDDEN = ("_local_scalar_dense", "item", "nonzero", "masked_select", "unique", "is_nonzero", "bincount", "equal")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert not name.startswith(self.FORBIDDEN), name
        moved = (kwargs or {}).get("device")
        assert moved is None or torch.device(moved).type in (*DEVICES[-1:], "meta"), (name, moved)
        index = args[1] if name.startswith("index") and len(args) > 1 and isinstance(args[1], (list, tuple)) else ()
        assert not any(t is not None and t.dtype in (torch.bool, torch.uint8) for t in index), name
        return func(*args, **(kwargs or {}))


@operations
def test_update_never_waits_for_the_device(backend, rng):
    features, labels = make_features(300, 8, 5, 1, 0, np.float32, rng)
    labels[3] = 99
    features[5, 2] = np.nan
    mask = torch.ones(300, dtype=torch.bool, device=DEVICES[-1])
    acc = nct.Accumulator(5, 8, scatter=True, ignore_index=-100, backend=backend, device=DEVICES[-1])
    x, y = (torch.from_numpy(a).to(DEVICES[-1]) for a in (features, labels))
    with NoWaiting():
        acc.update(x, y, mask)
        acc.update(x[:0], y[:0])
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NoWaiting():
        bool(acc.tensors()["tally"].any())


@operations
def test_update_runs_where_there_is_nothing_to_wait_for(backend, monkeypatch):
    """On the meta device there are no values: whatever looks at one fails."""
    for module in ("_portable", "_compensated"):  # no autocast there
        monkeypatch.setattr(f"ncfast.torch.{module}.plain_arithmetic", lambda _: torch.no_grad())
    acc = nct.Accumulator(5, 8, scatter=True, ignore_index=-100, backend=backend, device="meta")
    acc.update(torch.ones(300, 8, device="meta"), torch.zeros(300, dtype=torch.int64, device="meta"))


if torch.cuda.is_available():

    @operations
    def test_update_never_waits_for_cuda(backend):
        acc = nct.Accumulator(5, 8, scatter=True, device="cuda", backend=backend)
        x, y = torch.randn(300, 8, device="cuda"), torch.randint(0, 5, (300,), device="cuda")
        acc.update(x, y)
        torch.cuda.set_sync_debug_mode("error")
        try:
            acc.update(x, y)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    @operations
    def test_updates_on_another_stream_wait_for_nothing_but_it(backend):
        x, y = torch.randn(20, 4096, 64, device="cuda"), torch.randint(0, 5, (20, 4096), device="cuda")
        expected, acc = (nct.Accumulator(5, 64, scatter=True, device="cuda", backend=backend) for _ in range(2))
        for features, labels in zip(x, y, strict=True):
            expected.update(features, labels)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for features, labels in zip(x, y, strict=True):
                acc.update(features, labels)
        torch.cuda.current_stream().wait_stream(side)
        assert all(torch.equal(tensor, expected.tensors()[name]) for name, tensor in acc.tensors().items())


@places
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of the compiler itself
@pytest.mark.parametrize("compiler", COMPILERS)
def test_compiled_graphs_keep_it_whole(compiler, device, backend, rng):
    features, labels = make_features(256, 8, 5, 1e-3, 1, np.float32, rng)
    x, y = torch.from_numpy(features).to(device), torch.from_numpy(labels).to(device)
    acc = nct.Accumulator(5, 8, scatter=True, device=device, backend=backend)
    torch.compiler.reset()  # what the other cases compiled counts towards a limit

    def step(batch, classes):
        acc.update(batch * 1.0, classes)
        return batch.sum()

    compiled = torch.compile(step, backend=compiler, fullgraph=True)
    for rows in range(0, 256, 64):
        compiled(x[rows : rows + 64], y[rows : rows + 64])
    eager = collect(features, labels, 5, 64, device=device, backend=backend, scatter=True)
    assert all(torch.equal(tensor, eager.tensors()[name]) for name, tensor in acc.tensors().items())


@places
def test_same_bits_again_and_after_a_resume(device, backend, rng):
    features, labels = make_features(500, 8, 5, 1e-3, 1, np.float32, rng)
    once, again = (collect(features, labels, 5, 50, device=device, backend=backend, scatter=True) for _ in range(2))
    resumed = collect(features[:250], labels[:250], 5, 50, device=device, backend=backend, scatter=True)
    saved = resumed.state_dict()
    resumed = nct.Accumulator(5, 8, device=device, backend=backend, scatter=True)
    addresses = [tensor.data_ptr() for tensor in resumed.tensors().values()]
    resumed.load_state_dict(saved)
    for part in batches(250, 50):
        resumed.update(
            torch.from_numpy(features[250:][part]).to(device), torch.from_numpy(labels[250:][part]).to(device)
        )
    for name, tensor in once.tensors().items():
        assert torch.equal(again.tensors()[name], tensor)
        assert torch.equal(resumed.tensors()[name], tensor)
    assert once.nbytes == sum(t.nbytes for t in once.tensors().values())
    assert [tensor.data_ptr() for tensor in resumed.tensors().values()] == addresses  # as captured graphs need them
    once.reset()
    assert once.statistics().num_samples == 0
    assert once.feature_dtype is None


@pytest.mark.parametrize("into", ENGINES)
@pytest.mark.parametrize("source", ENGINES)
def test_backends_merge_and_load_each_other(source, into, rng):
    narrow = "compensated" in (source, into)
    kind = np.float32 if narrow else np.float64
    features, labels = make_features(500, 20, 12, 1e-6, 1000, kind, rng, missing=[0], singleton=[3])
    first = collect(features[:100], labels[:100], 12, backend=source, scatter=True)
    loaded = nct.Accumulator(12, 20, backend=into, scatter=True)
    loaded.load_state_dict(first.state_dict())
    rest = collect(features[100:], labels[100:], 12, 64, backend=source, scatter=True)
    loaded.merge(rest)
    assert_statistics(loaded.statistics(), features, labels, 12, SINGLE if narrow else DOUBLE)
    loaded = collect(features, labels, 12, 64, backend=into, scatter=True)
    loaded.load_state_dict(first.state_dict())  # what it held is gone
    assert_statistics(loaded.statistics(), features[:100], labels[:100], 12, SINGLE if narrow else DOUBLE)


def test_classes_shared_between_owners_are_joined_again(rng):
    features, labels = make_features(700, 16, 50, 1e-3, 10, np.float32, rng)
    for scatter in (False, True):
        parts = [
            collect(features, labels, 50, 100, classes=owned, backend=backend, scatter=scatter).statistics()
            for owned, backend in ((slice(30, None), "torch"), (range(20), "native"), (slice(20, 30), "torch"))
        ]
        assert parts[0].labels.tolist() == list(range(30, 50))
        assert_statistics(nct.join_classes(parts), features, labels, 50, SINGLE, scatter=scatter)
    with pytest.raises(ValueError, match="class 30 more than once"):
        nct.join_classes([parts[0], parts[0]])
    assert nct.join_classes(parts[:2]).labels.tolist() == [*range(20), *range(30, 50)]


@places
def test_rows_whose_squares_would_overflow_spoil_nothing(device, backend, rng):
    kind, most, rtol = (np.float32, -2e33, SINGLE) if backend == "compensated" else (np.float64, -1e160, DOUBLE)
    features, labels = make_features(50, 3, 2, 1, 0, kind, rng)
    huge = features.copy()
    huge[7, 1] = most
    acc = collect(huge, labels, 2, 10, device=device, backend=backend, scatter=True)
    assert acc.left_out() == {"nonfinite": 1, "ignored": 0, "invalid_labels": 0}
    assert_statistics(acc.statistics(strict=False), np.delete(features, 7, 0), np.delete(labels, 7), 2, rtol)


@places
def test_rows_that_cannot_be_used_are_counted_and_told(device, backend, rng):
    features, labels = make_features(400, 8, 5, 1e-3, 1, np.float32, rng)
    bad, wrong = features.copy(), labels.copy()
    bad[7, 3], bad[9, 0] = np.nan, np.inf
    wrong[[1, 2, 3]] = [-1, 5, 2**40]
    wrong[[4, 5]] = -100
    good = np.setdiff1d(np.arange(400), [1, 2, 3, 4, 5, 7, 9])
    options = {"device": device, "backend": backend, "scatter": True, "ignore_index": -100}
    acc = collect(bad, wrong, 5, 50, **options)
    assert acc.left_out() == {"nonfinite": 2, "ignored": 2, "invalid_labels": 3}
    with pytest.raises(ValueError, match=r"labels held 3 values outside of \[0, 5\)"):
        acc.statistics()
    assert_statistics(acc.statistics(strict=False), features[good], labels[good], 5, SINGLE)
    wrong[[1, 2, 3]] = -100
    with pytest.raises(ValueError, match="NaN or infinity in 2 rows"):
        collect(bad, wrong, 5, **options).statistics()
    skipping = collect(bad, wrong, 5, nonfinite="skip", **options).statistics()
    assert_statistics(skipping, features[good], labels[good], 5, SINGLE)

    checking = collect(features, labels, 5, check=True, **options)
    before = checking.state_dict()
    x, y = torch.from_numpy(bad).to(device), torch.from_numpy(labels).to(device)
    with pytest.raises(ValueError, match="features holds nan at row 7"):
        checking.update(x, y)
    y[11] = 5
    with pytest.raises(ValueError, match="labels holds 5 at row 11"):
        checking.update(x, y)
    assert all(torch.equal(tensor, before[name]) for name, tensor in checking.tensors().items())


@places
@pytest.mark.parametrize("kind", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16])
def test_labels_of_any_integer_type(kind, device, backend):
    acc = nct.Accumulator(3, 2, device=device, backend=backend)
    acc.update(torch.ones(4, 2, device=device), torch.tensor([0, 1, 2, 1], device=device).to(kind))
    assert acc.statistics().counts.tolist() == [1, 2, 1]


def test_gradients_do_not_reach_it():
    features = torch.ones(4, 2, requires_grad=True) * 2
    for backend in ENGINES:
        acc = nct.Accumulator(3, 2, backend=backend)
        acc.update(features, torch.tensor([0, 1, 2, 1]))
        assert not any(t.requires_grad for t in acc.tensors().values())
    features.sum().backward()


@operations
def test_a_chunk_at_a_time_gives_the_same(backend, rng, monkeypatch):
    features, labels = make_features(700, 16, 50, 1e-6, 1000, np.float32, rng)
    monkeypatch.setattr("ncfast.torch._portable._CHUNK_VALUES", 16 * 45)
    stats = collect(features, labels, 50, backend=backend, scatter=True).statistics()
    assert_statistics(stats, features, labels, 50, SINGLE)
    reference = accumulate(features, labels, 50)
    np.testing.assert_array_equal(stats.counts, reference.counts)
