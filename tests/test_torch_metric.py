"""`NeuralCollapse` among torchmetrics: what that library does to states must not cost a digit."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
import torchmetrics

import ncfast
import ncfast.torch as nct
import reference as ref
from compare import SINGLE, assert_close, variability
from data import make_features
from ncfast.torch._engines import engine_for

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
pytestmark = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture
def data(rng, device):
    """Batches of (features, labels, logits), and what the textbook finds."""
    features, labels = make_features(300, 12, 5, 1e-6, 1000, np.float32, rng)
    x, y = torch.from_numpy(features).to(device), torch.from_numpy(labels).to(device)
    logits = torch.eye(5, device=device)[(y + (torch.arange(300, device=device) < 30)) % 5]
    want = variability(ref.two_pass(features, labels)) | {"accuracy": 0.9}
    return list(zip(x.split(64), y.split(64), logits.split(64), strict=True)), want


def require(values, want, rtol=SINGLE):
    for key, value in want.items():
        assert values[key].dtype == torch.float64
        assert_close(float(values[key]), value, rtol, what=key)


def test_updates_forwards_and_merges_agree_with_the_formulas(data, device):
    batches, want = data
    updated, forwarded, merged = (nct.NeuralCollapse(5).to(device) for _ in range(3))
    for batch in batches:
        updated.update(*batch)
        alone = forwarded(*batch)
        part = nct.NeuralCollapse(5, 12).to(device)
        part.update(*batch)
        require(part.compute(), {key: float(value) for key, value in alone.items()}, 1e-9)
        merged.merge_state(part if batch is batches[0] else part.metric_state)
    for metric in (updated, forwarded, merged):
        require(metric.compute(), want)
    native = ncfast.measure_statistics(updated.statistics()).to_dict()
    require(updated.compute(), native, 1e-15)


def test_rows_that_are_masked_do_not_count(data, device):
    batches, want = data
    metric = nct.NeuralCollapse(5).to(device)
    for features, labels, logits in batches:
        twice, n = torch.cat((features, features + 1)), len(labels)
        counted = torch.arange(2 * n, device=device) < n
        metric.update(twice, torch.cat((labels, labels)), torch.cat((logits, logits.flip(0))), mask=counted)
    require(metric.compute(), want)


def test_states_survive_what_happens_to_modules(data, device):
    batches, want = data

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(12, 5)
            self.collapse = nct.NeuralCollapse(5, head=self.head)

    model = Model().to(device)
    assert [name for name, _ in model.named_parameters()] == ["head.weight", "head.bias"]
    for batch in batches[:2]:
        model.collapse.update(*batch)
    model.to(torch.bfloat16).half().float().to(torch.float32)
    assert model.collapse.sums.dtype == torch.float64
    assert model.collapse.counts.dtype == torch.int64
    model = copy.deepcopy(model)
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    stream.seek(0)
    saved = torch.load(stream, weights_only=True)
    resumed = Model().to(device)
    resumed.load_state_dict(saved)
    before = saved["collapse.sums"].clone()
    for batch in batches[2:]:
        resumed.collapse.update(*batch)
        model.collapse.update(*batch)
    assert torch.equal(saved["collapse.sums"], before)
    require(resumed.collapse.compute(), want)
    assert "nc3_self_duality" in resumed.collapse.compute()
    for name, value in model.collapse.compute().items():
        assert torch.equal(resumed.collapse.compute()[name], value), name
    resumed.collapse.reset()
    for batch in batches:
        resumed.collapse.update(*batch)
    require(resumed.collapse.compute(), want)


@pytest.mark.parametrize("there", ["native", "torch", "compensated"])
@pytest.mark.parametrize("here", ["native", "torch", "compensated"])
def test_states_go_over_to_what_suits_another_device(data, device, here, there, monkeypatch):
    """As from the CPU to CUDA or MPS, of which this machine may have none: what suits it changes."""
    batches, want = data

    def on(backend):
        def engine(device, asked, precision):
            return engine_for(device, asked or (backend if device.type == "cpu" else None), precision)

        for module in ("accumulator", "metric"):
            monkeypatch.setattr(f"ncfast.torch.{module}.engine_for", engine)

    on(here)
    begun = nct.NeuralCollapse(5).to(device)
    begun.persistent(True)
    for batch in batches[:2]:
        begun.update(*batch)
    saved = begun.state_dict()
    part = {name: value.clone() for name, value in begun.metric_state.items()}
    on(there)
    loaded, merged = nct.NeuralCollapse(5).to(device), nct.NeuralCollapse(5).to(device)
    loaded.load_state_dict(saved)
    merged.merge_state(part)
    for metric in (begun.to(device), loaded, merged):
        for batch in batches[2:]:
            metric.update(*batch)
        require(metric.compute(), want)
        assert metric._accumulator.backend == (there if device == "cpu" else "torch")
        assert set(metric.state_dict()) == {*metric._accumulator.tensors(), "judged", "layout"}
        metric.reset()
        for batch in batches:
            metric.update(*batch)
        require(metric.compute(), want)


def test_states_of_other_classes_or_features_are_refused(data, device):
    batches, _ = data
    for other, message in (
        (nct.NeuralCollapse(6, 12), r"\(classes, from, to\) = \(6, 0, 6\); wanted \(5, 0, 5\)"),
        (nct.NeuralCollapse(4, 12), r"\(classes, from, to\) = \(4, 0, 4\)"),
        (nct.NeuralCollapse(5, 11), "state is of 11 features; wanted 12"),
        (nct.NeuralCollapse(5, 12, scatter=False), "collected with scatter=False"),
    ):
        metric = nct.NeuralCollapse(5).to(device)
        metric.update(*batches[0])
        before = metric.compute()
        with pytest.raises(ValueError, match=message):
            metric.merge_state(other.metric_state)
        with pytest.raises(ValueError, match=message):
            metric.load_state_dict(other.to(device).state_dict())
        assert metric.compute() == before


def test_a_collection_shares_one_state(data, device):
    batches, want = data
    members = {
        "variability": nct.NeuralCollapse(5, metrics="nc1"),
        "geometry": nct.NeuralCollapse(5, metrics="nc2"),
    }
    collection = torchmetrics.MetricCollection(members).to(device)
    for batch in batches:
        collection.update(*batch)
    values = collection.compute()
    assert [sorted(group) for group in collection.compute_groups.values()] == [["geometry", "variability"]]
    require({key.removeprefix("variability_"): v for key, v in values.items()}, {"nc1_pinv": want["nc1_pinv"]})
    assert any("nc2_equinorm_means" in key for key in values)


def test_plot(data, device):
    pytest.importorskip("matplotlib").use("agg")
    batches, _ = data
    metric = nct.NeuralCollapse(5, metrics=["nc1_trace_ratio", "cdnv"]).to(device)
    values = [metric(*batch) for batch in batches]
    figure, _ = metric.plot(values)
    assert figure.axes
    import matplotlib.pyplot as plt

    plt.close("all")


def test_inside_a_compiled_function(data, device):
    batches, want = data
    metric = nct.NeuralCollapse(5, 12).to(device)

    def step(features, labels, logits):
        metric.update(features * 1.0, labels, logits)
        return features.sum()

    compiled = torch.compile(step, backend="eager")
    for batch in batches:
        compiled(*batch)
    require(metric.compute(), want)


def test_begun_in_inference_mode_and_continued_outside_of_it(data, device):
    batches, want = data
    metric = nct.NeuralCollapse(5).to(device)
    for _ in range(2):
        for i, batch in enumerate(batches):
            with torch.inference_mode(i % 2 == 0):
                metric.update(*batch)
        require(metric.compute(), want)
        with torch.inference_mode():
            metric.reset()


def test_arguments_that_do_not_fit(data, device):
    batches, _ = data
    metric = nct.NeuralCollapse(5).to(device)
    with pytest.raises(ValueError, match="no statistics before the first update"):
        metric.statistics()
    with pytest.raises(ValueError, match=r"logits has shape \(64, 4\); wanted \(64, 5\)"):
        metric.update(*batches[0][:2], batches[0][2][:, :4])
    with pytest.raises(ValueError, match="num_classes is 1"):
        nct.NeuralCollapse(1)
    with pytest.raises(ValueError, match="Unexpected keyword"):
        nct.NeuralCollapse(5, colour="red")
    metric.update(*batches[0])
    with pytest.raises(ValueError, match="wanted \\(n, 12\\)"):
        metric.update(torch.ones(3, 11, device=device), torch.zeros(3, dtype=torch.int64, device=device))
