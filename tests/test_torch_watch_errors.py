"""What cannot be watched, and how that is said."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ncfast.torch as nct
from watched import K, Net, batches, hooks


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def two_heads() -> nn.Module:
    return nn.ModuleDict({"body": nn.Linear(4, 5), "heads": nn.ModuleList([nn.Linear(5, 3), nn.Linear(5, 7)])})


@pytest.mark.parametrize(
    ("model", "head", "match"),
    [
        (nn.Sequential(nn.ReLU()), None, "Sequential has no layer that is an nn.Linear; linear layers are: none"),
        (
            Net(),
            "head",
            r"no layer that is head 'head'; linear layers are: first \(6, 4\), second \(5, 6\), fc \(3, 5\)",
        ),
        (two_heads(), None, "an nn.Linear is ambiguous: heads.0, heads.1; give the full name of one"),
        (nn.Sequential(Net(), Net()), "fc", "head 'fc' is ambiguous: 0.fc, 1.fc"),
        (Net(), "act", "head 'act' is a ReLU, not linear; linear layers are: first"),
        (Net(), nn.Linear(5, 3), "no layer that is the Linear given as head"),
    ],
)
def test_heads_that_are_not_found(model: nn.Module, head: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        nct.watch(model, head)
    assert hooks(model) == 0


def test_bad_use_teaches(net: Net) -> None:
    x, y = batches()[0]
    cases: list[tuple[type[Exception], str, Any]] = [
        (TypeError, "model is a function; wanted a torch.nn.Module", lambda: nct.watch(two_heads)),  # type: ignore[arg-type]
        (TypeError, "model is a DataParallel", lambda: nct.watch(nn.DataParallel(net))),
        (ValueError, "layers has 'conv', which matches no module of Net; modules are: first, act", lambda: nct.watch(net, layers="conv")),  # noqa: E501
        (ValueError, "layers has the head, 'fc'", lambda: nct.watch(net, layers=["act", "fc"])),
        (ValueError, "labels is 'labels', which is no argument of Net.forward: x", lambda: nct.watch(net, labels="labels")),  # noqa: E501
        (ValueError, "mode is 'both'; wanted one of 'train', 'eval', 'any'", lambda: nct.watch(net, mode="both")),
        (ValueError, "positions is 'max'; wanted 'mean', 'flatten'", lambda: nct.watch(net, positions="max")),
    ]  # fmt: skip
    for kind, match, act in cases:
        with pytest.raises(kind, match=match):
            act()
    assert hooks(net) == 0
    with nct.watch(net) as tap:
        with pytest.raises(ValueError, match="no forward pass through 'fc' since the last labels"):
            tap.update(y)
        net(x)
        with pytest.raises(ValueError, match=r"labels has shape \(7,\); wanted \(12,\)"):
            tap.update(y[:7])
        net(x)
        with pytest.raises((ValueError, TypeError), match="labels"):
            tap.update(y.to("meta"))
        net.fc(torch.zeros(12, 5))
        net.fc(torch.zeros(12, 5))
        with pytest.raises(ValueError, match="layer 'fc' was called 2 times since the last labels"):
            tap.update(y)


def test_a_head_called_twice_in_a_pass_and_a_layer_not_called(net: Net) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.unused = net, nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x) + self.net(2 * x)  # type: ignore[no-any-return]

    model, (x, y) = Twice(), batches()[0]
    with nct.watch(model, "fc") as tap:
        model(x)
        with pytest.raises(ValueError, match=r"layer 'net.fc' was called 2 times"):
            tap.update(y)
    with nct.watch(model, "fc", layers="unused") as tap:
        net(x)
        with pytest.raises(ValueError, match="layer 'unused' was not called in the last forward pass"):
            tap.update(y)


def test_what_is_overwritten_in_place_is_not_counted() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, K))
    x, y = batches()[0]
    with nct.watch(model, layers="0") as tap:
        model(x)
        with pytest.raises(ValueError, match="what layer '0' passed on was overwritten in place; watch the module"):
            tap.update(y)


def test_shapes_that_change_are_an_error() -> None:
    model = nn.ModuleDict({"pool": nn.Identity(), "fc": nn.Linear(5, K)})
    with nct.watch(model, layers="pool") as tap:
        for width in (4, 6):
            model["pool"](torch.zeros(3, width))
            model["fc"](torch.zeros(3, 5))
            if width == 4:
                tap.update(torch.arange(3))
        with pytest.raises(ValueError, match=r"features.*wanted"):
            tap.update(torch.arange(3))
