"""`ncfast.torch.measure_model`: a loader through a model in eval mode is what its features and head measure to."""

from __future__ import annotations

import mmap
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ncfast
import ncfast.torch as nct
from compare import SINGLE, assert_close
from ncfast.torch import _room
from watched import K, Net, batches, body, hooks

SMALL = {"memory": 600}
"""Bytes that hold the features of two of the batches: then statistics are collected, and NC4 takes a second pass."""


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net(dropout=0.5)


def expected(net: Net, seen: list[Any]) -> ncfast.Report:
    net.eval()
    features = np.concatenate([body(net, x) for x, _ in seen])
    labels = torch.cat([y for _, y in seen]).numpy()
    net.train()
    return ncfast.measure(features, labels, net.fc.weight, net.fc.bias, num_classes=K)


def assert_same(found: ncfast.Report, want: ncfast.Report) -> None:
    assert found.num_samples == want.num_samples
    assert list(found) == list(want)
    for key, value in want.items():
        assert_close(found[key], value, SINGLE, atol=1e-9, what=key)


@pytest.mark.parametrize("options", [{}, SMALL])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_model_is_measured_in_eval_mode_and_left_as_it_was(net: Net, options: dict[str, Any], compiled: bool) -> None:
    want = expected(net, batches())
    net.first.eval()  # a frozen layer stays one
    model = torch.compile(net, backend="eager") if compiled else net
    if compiled:
        model(batches()[0][0])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    report = nct.measure_model(model, batches(), **options)
    assert_same(report, want)
    assert ("second pass" in str(report.plan)) == bool(options)
    assert [net.training, net.dropout.training, net.first.training] == [True, True, False]
    assert hooks(net) == 0
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("options", [{}, SMALL])
def test_rows_to_ignore_and_batches_of_any_kind(net: Net, options: dict[str, Any]) -> None:
    seen = batches()
    want = expected(net, seen)
    mapped = [{"x": x, "labels": y} for x, y in seen]
    assert_same(nct.measure_model(net, mapped, **options), want)
    nested = [{"data": (x,), "classes": y} for x, y in seen]
    found = nct.measure_model(net, nested, unpack=lambda batch: (batch["data"], batch["classes"]), **options)
    assert_same(found, want)
    padded = [(torch.cat((x, x + 1)), torch.cat((y, torch.full_like(y, -100)))) for x, y in seen]
    padded.insert(1, (torch.ones(5, 4), torch.full((5,), -100)))
    assert_same(nct.measure_model(net, padded, **options), want)
    report = nct.measure_model(net, seen, metrics="nc1", **options)
    assert_close(report["nc1_pinv"], want["nc1_pinv"], SINGLE)
    assert "nc4_disagreement" not in report


@pytest.mark.parametrize("options", [{}, SMALL])
def test_layers_in_the_order_of_the_model(net: Net, options: dict[str, Any]) -> None:
    seen = batches()
    reports = nct.measure_model_layers(net, seen, ["second", "first"], **options)
    assert list(reports) == ["first", "second", "fc"]
    assert_same(reports["fc"], expected(net, seen))
    net.eval()
    with torch.no_grad():
        second = torch.cat([net.second(net.act(net.first(x))) for x, _ in seen]).numpy()
    want = ncfast.measure(second, torch.cat([y for _, y in seen]).numpy(), num_classes=K)
    assert_close(reports["second"]["nc1_pinv"], want["nc1_pinv"], SINGLE)
    assert "nc3_self_duality" not in reports["second"]


class Bar:
    """In place of tqdm's."""

    shown: list[dict[str, Any]]

    def __init__(self, loader: Any, **options: Any) -> None:
        self.loader = loader
        Bar.shown.append(options)

    def __iter__(self) -> Any:
        return iter(self.loader)


def test_progress_is_shown_where_there_is_a_terminal(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    tqdm = pytest.importorskip("tqdm")
    monkeypatch.setattr(tqdm, "tqdm", Bar)
    for progress, disable in ((True, None), (False, True)):  # None: where stderr is no terminal
        Bar.shown = []
        nct.measure_model(net, batches(), progress=progress)
        assert [options["disable"] for options in Bar.shown] == [disable]
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert nct.measure_model(net, batches()).num_samples == 48


@pytest.mark.parametrize(
    ("loader", "error", "match"),
    [
        ([], ValueError, "loader has no batches"),
        ([(torch.ones(3, 4), torch.full((3,), -100))], ValueError, "wanted at least one sample"),
        ([torch.ones(3, 4)], TypeError, r"a batch is a Tensor; wanted \(inputs, labels\)"),
        ([(torch.ones(3, 4), torch.zeros(3), 1)], TypeError, "a batch is a tuple of 3"),
        ([{"x": torch.ones(3, 4)}], ValueError, "a batch has keys x; wanted one of labels"),
        ([(torch.ones(3, 4), torch.zeros(2, dtype=torch.int64))], ValueError, r"labels has shape \(2,\)"),
        ([(torch.ones(3, 4), torch.full((3,), K))], ValueError, rf"labels holds {K}"),
        ([(torch.ones(3, 4), torch.rand(3))], TypeError, "labels has dtype torch.float32; wanted integers"),
        ([(torch.full((3, 4), torch.nan), torch.arange(3))], ValueError, "features holds nan"),
    ],
)
def test_what_cannot_be_measured_is_told(net: Net, loader: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        nct.measure_model(net, loader)
    assert net.training
    assert net.dropout.training
    assert hooks(net) == 0


def test_a_model_without_a_head_lists_what_there_is() -> None:
    with pytest.raises(ValueError, match="linear layers are: none"):
        nct.measure_model(nn.Sequential(nn.Flatten(), nn.ReLU()), batches())


def test_memory_is_used_again_but_not_while_it_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_room, "_spare", [])
    first = _room.room(1 << 20)
    place = first.ctypes.data
    first[:] = 7
    view = torch.from_numpy(first).view(torch.float32)[5:]
    del first
    other = _room.room(1 << 20)
    other[:] = 0
    assert bool((view.view(torch.uint8) == 7).all())
    del view
    assert (_room.room(1000).ctypes.data == place) == hasattr(mmap, "MADV_FREE")
    assert _room.room(1 << 20).size == 1 << 20
    assert other.any() == 0
