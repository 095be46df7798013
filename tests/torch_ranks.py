"""One rank of the tests with several processes: ``python torch_ranks.py CHECK RANK WORLD FOLDER``."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

import ncfast.torch as nct
from data import make_features
from watched import Net, assert_counted, batches, body, hooks

NUM_CLASSES, NUM_FEATURES, NUM_SAMPLES = 12, 20, 900


def samples(dtype: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Deep collapse far from the origin; class 7 is missing, class 3 has one sample, sizes differ 20 to 1."""
    rng = np.random.default_rng(5)
    options: dict[str, Any] = {"imbalance": 20, "missing": [7], "singleton": [3]}
    return make_features(NUM_SAMPLES, NUM_FEATURES, NUM_CLASSES, 1e-6, 1000, dtype, rng, **options)


def share(rank: int, world: int) -> slice:
    """Uneven: each rank has about twice what the next has, and of four the last has nothing."""
    cuts = {1: [0, 900], 2: [0, 613, 900], 4: [0, 500, 750, 900, 900]}[world]
    return slice(cuts[rank], cuts[rank + 1])


def merged(rank: int, world: int, folder: Path) -> None:
    """Statistics of all ranks, for float32 and float64 features and all backends, by deterministic operations alone."""
    torch.use_deterministic_algorithms(True)
    for dtype in (np.float32, np.float64):
        features, labels = (torch.from_numpy(a) for a in samples(dtype))
        for backend, precision in (("native", "double"), ("torch", "double"), ("compensated", "feature")):
            if (backend, dtype) == ("compensated", np.float64):
                continue
            acc = nct.Accumulator(NUM_CLASSES, NUM_FEATURES, scatter=True, precision=precision, backend=backend)
            mine = share(rank, world)
            for rows in torch.arange(NUM_SAMPLES)[mine].split(64):
                acc.update(features[rows], labels[rows])
            before = acc.state_dict()
            stats = nct.all_reduce(acc).statistics()
            assert all(torch.equal(v, before[k]) for k, v in acc.state_dict().items() if isinstance(v, torch.Tensor))
            counted = NUM_SAMPLES
            assert nct.all_reduce(acc, expected_rows=counted).statistics().num_samples == counted
            for wrong in (counted - 1, counted + 1):
                with pytest.raises(
                    ValueError, match=f"the ranks counted {counted} rows; wanted expected_rows = {wrong}"
                ):
                    nct.all_reduce(acc, expected_rows=wrong)
            stats.save(folder / f"{np.dtype(dtype)}_{backend}_{rank}.npz")


def metric(rank: int, world: int, folder: Path) -> None:
    """`NeuralCollapse` by torchmetrics' own sync, d unknown to ranks without samples; local states come back."""
    features, labels = (torch.from_numpy(a) for a in samples())
    mine = share(rank, world)
    nc = nct.NeuralCollapse(NUM_CLASSES, precision="double")
    if mine.start < mine.stop:
        nc.update(features[mine], labels[mine], torch.eye(NUM_CLASSES)[labels[mine]])
    else:
        nc._update_count = 1  # its user knows that this rank has nothing
    local = None if nc._accumulator is None else nc.sums.clone()
    values = nc.compute()
    assert local is None or torch.equal(nc.sums, local)
    np.savez(folder / f"metric_{rank}.npz", **{key: value.numpy() for key, value in values.items()})


def sharded(rank: int, world: int, folder: Path) -> None:
    """Policies for DTensors and for heads under FSDP2."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor, init_device_mesh

    mesh = init_device_mesh("cpu", (world,))
    features = torch.arange(24.0).reshape(6, 4)
    rows = nct.local_rows(distribute_tensor(features, mesh, [Shard(0)]))
    assert torch.equal(rows, features.chunk(world)[rank])
    assert torch.equal(nct.local_rows(distribute_tensor(features, mesh, [Replicate()])), features)
    acc = nct.Accumulator(2, 4)
    for refused in (nct.local_rows, lambda t: acc.update(t, torch.zeros(6, dtype=torch.int64))):
        for spread in (distribute_tensor(features, mesh, [Shard(1)]), DTensor.from_local(features, mesh, [Partial()])):
            with pytest.raises(ValueError, match="full_tensor"):
                refused(spread)
    acc.update(distribute_tensor(features, mesh, [Shard(0)]), torch.arange(6).chunk(world)[rank] % 2)
    assert nct.all_reduce(acc).statistics().counts.tolist() == [3, 3]

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    weight, bias = model[1].weight.detach().clone(), model[1].bias.detach().clone()
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16)
    fully_shard(model[1], mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    seen: list[torch.Tensor] = []
    model[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.ones(2, 3))
    assert not isinstance(seen[0], DTensor)
    assert seen[0].dtype == torch.bfloat16
    nct.Accumulator(5, 4).update(seen[0], torch.zeros(2, dtype=torch.int64))
    assert isinstance(model[1].weight, DTensor)
    whole, whole_bias = nct.full_head(model[1])
    assert torch.equal(whole, weight)
    assert torch.equal(whole_bias, bias)
    with nct.watch(model) as tap:
        model(torch.randn(10, 3, generator=torch.Generator().manual_seed(rank)))
        tap.update(torch.arange(10) % 5)
    report = tap.report()
    assert report.num_samples == 10 * world
    assert "nc3_self_duality" in report
    assert tap.statistics()["1"].feature_dtype == "bfloat16"
    assert torch.equal(torch.as_tensor(tap.classifier()[0]), weight)  # the master weights, whole
    metric = nct.NeuralCollapse(5, head=model[1])
    assert "1.weight" in model.state_dict()
    assert not list(metric.parameters())
    (folder / f"sharded_{rank}").touch()


def trained(rank: int, *, is_watched: bool) -> tuple[Net, Any, list[Any]]:
    """Train under DDP, two uneven parts a step; return the net, what watched it, and what the head was given."""
    torch.manual_seed(0)
    net = Net()
    model = nn.parallel.DistributedDataParallel(net)
    criterion = nn.CrossEntropyLoss()
    optimiser = torch.optim.SGD(model.parameters(), 0.5)
    tap = nct.watch(model, labels=criterion, layers="second") if is_watched else None
    given = []
    for x, y in batches(count=6, rows=24):
        mine = slice(0, 17) if rank == 0 else slice(17, 24)
        for part, (inputs, labels) in enumerate(zip(x[mine].chunk(2), y[mine].chunk(2), strict=True)):
            if tap is None:
                given.append((body(net, inputs), labels.numpy()))
            with model.no_sync() if part == 0 else nullcontext():
                criterion(model(inputs), labels).backward()
        optimiser.step()
        optimiser.zero_grad()
    if tap is not None:
        tap.remove()
        assert not hooks(model)
    return net, tap, given


def watched(rank: int, world: int, folder: Path) -> None:
    """`watch` under DDP with gradient accumulation: what it finds, and that training is what it is without."""
    assert world == 2
    net, _, given = trained(rank, is_watched=False)
    loader = [(x[rank::2], y[rank::2]) for x, y in batches(count=3 + rank, rows=25)]  # uneven
    np.savez(folder / f"measured_{rank}.npz", **nct.measure_model(net, loader).to_dict())
    rows = [torch.cat([part[i] for part in loader]) for i in (0, 1)]
    np.savez(folder / f"rows_{rank}.npz", features=body(net, rows[0]), labels=rows[1].numpy())
    same, tap, _ = trained(rank, is_watched=True)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), same.parameters(), strict=True))
    features, labels = (np.concatenate(parts) for parts in zip(*given, strict=True))
    np.savez(folder / f"given_{rank}.npz", features=features, labels=labels)
    np.savez(folder / f"head_{rank}.npz", **{name: value.numpy() for name, value in net.fc.state_dict().items()})
    np.savez(folder / f"watched_{rank}.npz", **tap.report().to_dict())
    assert list(tap.layer_reports()) == ["second", "fc"]
    tap.statistics()["fc"].save(folder / f"watched_statistics_{rank}.npz")
    assert_counted(tap.statistics(local=True)["fc"], features, labels)
    if rank == 0:  # a label that cannot be is told on every rank, not waited for
        tap._collected.add("fc", torch.ones(1, 5), torch.tensor([99]))
    with pytest.raises(ValueError, match="labels held 1 values outside"):
        tap.statistics()


if __name__ == "__main__":
    check, rank, world, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    checks: dict[str, Callable[[int, int, Path], None]] = {
        "merged": merged,
        "metric": metric,
        "sharded": sharded,
        "watched": watched,
    }
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    for name in check.split(","):
        checks[name](rank, world, folder)
    gc.collect()  # models in cycles hold the group, whose threads have to end before the interpreter does
    dist.destroy_process_group()
