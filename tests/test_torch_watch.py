"""`ncfast.torch.watch`: what is counted, in which modes, under which wrappers; and the model left as it was."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ncfast
import ncfast.torch as nct
from compare import assert_close
from watched import K, Net, assert_counted, batches, body, hooks


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def test_counts_what_the_head_is_given(net: Net) -> None:
    seen = batches()
    features = np.concatenate([body(net, x) for x, _ in seen])
    with nct.watch(net, "fc") as tap:
        for x, y in seen:
            net(x)
            tap.update(y)
    labels = torch.cat([y for _, y in seen]).numpy()
    assert_counted(tap.statistics()["fc"], features, labels)
    weights, bias = net.fc.weight.detach().double().numpy(), net.fc.bias.detach().double().numpy()
    report = tap.report()
    assert_close(report["nc1_pinv"], ncfast.measure(features, labels, weights, bias)["nc1_pinv"], 1e-5)
    assert_close(report["nc3_self_duality"], ncfast.measure(features, labels, weights)["nc3_self_duality"], 1e-5)


def test_training_is_what_it_is_without(net: Net) -> None:
    twin = copy.deepcopy(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    criterion = nn.CrossEntropyLoss()
    with nct.watch(net, labels=criterion, layers=["first", "act"]) as tap:
        assert list(net.state_dict()) == list(before)
        for model in (net, twin):
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            for x, y in batches():
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), twin.parameters(), strict=True))
    assert hooks(net) == hooks(criterion) == 0
    assert list(net.state_dict()) == list(before)
    # The twin's losses came without a pass of the watched model, and do not count.
    assert tap.report().num_samples == 48


def test_keeps_no_graph_and_no_features(net: Net) -> None:
    with nct.watch(net) as tap:
        x, y = batches()[0]
        kept: list[Tensor] = []
        net.second.register_forward_hook(lambda *passed: kept.append(passed[2]))
        net(x)
        waiting = tap._capture._seen["fc"].tensor
        assert not waiting.requires_grad
        tap.update(y)
        assert not tap._capture._seen
    assert kept[0].requires_grad


@pytest.mark.parametrize("source", ["loss", "one-hot", "argument"])
def test_labels_come_by_themselves(net: Net, source: str) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
            return self.net(x)  # type: ignore[no-any-return]

    seen = batches()
    criterion: nn.Module = nn.MSELoss() if source == "one-hot" else nn.CrossEntropyLoss()
    model = Wrapped() if source == "argument" else net
    with nct.watch(model, "fc", labels="labels" if source == "argument" else criterion) as tap:
        for i, (x, y) in enumerate(seen):
            if source == "argument":
                model(x, y) if i % 2 else model(x, labels=y)
            else:
                criterion(net(x), nn.functional.one_hot(y, K).float() if source == "one-hot" else y)
    stats = tap.statistics()[tap.layers[-1]]
    assert_counted(stats, np.concatenate([body(net, x) for x, _ in seen]), torch.cat([y for _, y in seen]).numpy())


@pytest.mark.parametrize("mode", ["train", "eval", "any"])
def test_counts_passes_of_its_mode(net: Net, mode: str) -> None:
    criterion = nn.CrossEntropyLoss()
    with nct.watch(net, labels=criterion, mode=mode) as tap, nct.watch(net, mode=mode) as manual:
        for i, (x, y) in enumerate(batches()):
            net.train(i < 3)
            criterion(net(x), y)
            manual.update(y)
    counted = {"train": 36, "eval": 12, "any": 48}[mode]
    assert tap.report().num_samples == manual.report().num_samples == counted


def test_says_why_nothing_was_counted(net: Net) -> None:
    x, y = batches()[0]
    with nct.watch(net) as tap:
        net.eval()(x)
        tap.update(y)
        with pytest.raises(ValueError, match="nothing was counted by 'fc' in mode 'train': 1 passes were in the other"):
            tap.report()


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_counts_once(reentrant: bool) -> None:
    torch.manual_seed(0)
    net = Net(reentrant=reentrant)
    criterion = nn.CrossEntropyLoss()
    calls = []
    net.fc.register_forward_pre_hook(lambda *_: calls.append(1))
    with nct.watch(net, labels=criterion, layers="act") as tap:
        for x, y in batches():
            criterion(net(x), y).backward()
            assert tap._capture.is_empty
    assert len(calls) == 8
    assert tap.statistics()["fc"].num_samples == tap.statistics()["act"].num_samples == 48


def test_gradient_accumulation_counts_each_part(net: Net) -> None:
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with nct.watch(net, labels=criterion) as tap:
        for i, (x, y) in enumerate(batches()):
            (criterion(net(x), y) / 2).backward()
            if i % 2:
                optimizer.step()
                optimizer.zero_grad()
    assert tap.report().num_samples == 48


def test_autocast_statistics_are_of_the_half_precision_values(net: Net) -> None:
    seen = batches()
    with nct.watch(net, "fc") as tap, torch.autocast("cpu", torch.bfloat16):
        for x, y in seen:
            net(x)
            tap.update(y)
        features = torch.cat([net.body(x) for x, _ in seen]).detach()
    assert features.dtype == torch.bfloat16
    stats = tap.statistics()["fc"]
    assert stats.feature_dtype == "bfloat16"
    assert_counted(stats, features.double().numpy(), torch.cat([y for _, y in seen]).numpy())


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("first", ["watched", "compiled"])
def test_compiled_models(net: Net, in_place: bool, first: str) -> None:
    model: Any = net
    tap = nct.watch(net, layers="act") if first == "watched" else None
    if in_place:
        net.compile(fullgraph=True, backend="aot_eager")
    else:
        model = torch.compile(net, fullgraph=True, backend="aot_eager")
    seen = batches()
    if tap is None:
        model(seen[0][0])
        tap = nct.watch(model, layers="act")
    for x, y in seen:
        model(x).sum().backward()
        tap.update(y)
    assert tap.layers == ("act", "fc")
    labels = torch.cat([y for _, y in seen]).numpy()
    tap.remove()
    model(seen[0][0])
    assert tap._capture.is_empty
    assert_counted(tap.statistics()["fc"], np.concatenate([body(net, x) for x, _ in seen]), labels)


def test_copies_and_pickles_of_a_watched_model_are_not_watched(net: Net) -> None:
    with nct.watch(net) as tap:
        for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            copied(batches()[0][0])
            assert tap._capture.is_empty


def test_the_last_linear_layer_is_the_head_but_not_what_attention_has_inside() -> None:
    class Linear(nn.Linear):
        """As `fully_shard`, adapters and quantisation put in the place of a layer."""

    model = nn.Sequential(nn.Linear(4, 4), Linear(4, K), nn.MultiheadAttention(4, 1))
    with nct.watch(model) as tap:
        assert tap.layers == ("1",)


def test_layers_by_pattern_in_the_order_of_the_model() -> None:
    blocks = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3)))
    model = nn.ModuleDict({"blocks": blocks, "fc": nn.Linear(4, K)})
    tap = nct.watch(model, layers=["blocks.2", "blocks.?.0"])
    assert tap.layers == ("blocks.0.0", "blocks.1.0", "blocks.2", "blocks.2.0", "fc")
    for x, y in batches():
        model["fc"](blocks(x))
        tap.update(y)
    tap.remove()
    reports = tap.layer_reports(metrics="nc1")
    assert list(reports) == list(tap.layers)
    assert all(report.num_samples == 48 for report in reports.values())
    x = torch.cat([x for x, _ in batches()]).detach()
    labels = torch.cat([y for _, y in batches()])
    hidden = blocks[:2](x)
    assert_close(
        reports["blocks.2.0"]["nc1_pinv"],
        ncfast.measure(blocks[2][0](hidden).detach(), labels, metrics="nc1")["nc1_pinv"],
        1e-4,
    )


@pytest.mark.parametrize(
    ("shape", "labels", "module", "positions", "rows"),
    [
        ((6, 5), (6,), "linear", "mean", lambda t: t),
        ((6, 4, 5), (6, 4), "linear", "mean", lambda t: t.reshape(24, 5)),
        ((6, 4, 5), (24,), "linear", "mean", lambda t: t.reshape(24, 5)),
        ((6, 4, 5), (6,), "linear", "mean", lambda t: t.mean(1)),
        ((6, 4, 5), (6,), "linear", "flatten", lambda t: t.reshape(6, 20)),
        ((6, 4, 5), (6,), "linear", lambda t: t[:, 0], lambda t: t[:, 0]),
        ((6, 5, 3, 2), (6,), "conv", "mean", lambda t: t.mean((2, 3))),
        ((6, 5, 3, 2), (6, 3, 2), "conv", "mean", lambda t: t.permute(0, 2, 3, 1).reshape(36, 5)),
    ],
)
def test_positions(shape: tuple[int, ...], labels: tuple[int, ...], module: str, positions: Any, rows: Any) -> None:
    torch.manual_seed(0)
    head: nn.Module = nn.Linear(5, K) if module == "linear" else nn.Conv2d(5, K, 1)
    model = nn.Sequential(nn.Identity(), head)
    features, classes = torch.randn(shape), torch.arange(math.prod(labels)).reshape(labels) % K
    with nct.watch(model, "1", positions=positions) as tap:
        model(features)
        tap.update(classes)
    wanted = rows(features)
    assert_counted(tap.statistics()["1"], wanted.numpy(), classes.flatten().numpy())


def test_shift_gives_each_position_the_next_label() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Identity(), nn.Linear(5, K))
    features, labels = torch.randn(6, 4, 5), torch.randint(K, (6, 4))
    labels[0, 2] = -100
    with nct.watch(model, shift=True) as tap:
        model(features)
        tap.update(labels)
    kept = labels[:, 1:].flatten() >= 0
    rows, classes = features[:, :-1].reshape(-1, 5)[kept], labels[:, 1:].flatten()[kept]
    assert_counted(tap.statistics()["1"], rows.numpy(), classes.numpy())


def test_rows_that_wait_are_counted_once_whatever_comes_between(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncfast.torch._collected._WAITING_VALUES", 5 * 20)  # of 5 features: 20 rows
    seen = [*batches(), *batches(2, 30), *batches(3, 7)]
    rows: list[Tensor] = []
    with nct.watch(net, "fc") as tap:
        for i, (x, y) in enumerate(seen):
            with torch.inference_mode(i % 3 == 0), torch.autocast("cpu", torch.bfloat16, enabled=i % 4 == 1):
                net(x)
                rows.append(net.body(x).detach().double())
                tap.update(y)
            x.detach().zero_()
            if i == 5:
                tap.report()
    stats = tap.statistics()["fc"]
    assert_counted(stats, torch.cat(rows).numpy(), torch.cat([y for _, y in seen]).numpy())
    assert stats.feature_dtype == "mixed"


def test_state_goes_on(net: Net) -> None:
    seen = batches()
    first, whole = nct.watch(net, layers="act"), nct.watch(net, layers="act")
    for i, (x, y) in enumerate(seen):
        net(x)
        whole.update(y)
        first.update(y)
        if i == 1:
            state = pickle.loads(pickle.dumps(first.state_dict()))
            first.remove()
            first = nct.watch(net, layers="act")
            first.load_state_dict(state)
    for name, stats in whole.statistics().items():
        assert np.array_equal(stats.sums, first.statistics()[name].sums)
        assert np.array_equal(stats.pooled, first.statistics()[name].pooled)
    first.reset()
    with pytest.raises(ValueError, match="nothing was counted"):
        first.report()
    with pytest.raises(ValueError, match="state has layer 'act'; wanted layers among fc"):
        nct.watch(net).load_state_dict(state)
