"""Several feature matrices of the same samples, measured together as each would be alone."""

from __future__ import annotations

import numpy as np
import pytest

import ncfast
from data import make_features, make_labels
from strategies import assert_same

N, K = 500, 6


@pytest.fixture
def case(rng):
    labels = make_labels(N, K, rng, imbalance=3)
    layers = {}
    for layer, (d, spread, dtype) in {"conv": (30, 1, np.float16), "late": (12, 0.1, np.float32)}.items():
        means = rng.standard_normal((K, d))
        layers[layer] = (means[labels] + spread * rng.standard_normal((N, d))).astype(dtype)
    return layers, labels, rng.standard_normal((K, 12)), rng.standard_normal(K)


def test_each_layer_is_measured_as_alone(case):
    layers, labels, head, bias = case
    reports = ncfast.measure_layers(layers, labels, head, bias)
    assert list(reports) == ["conv", "late"]
    assert len(reports) == 2
    assert_same_reports(reports["conv"], ncfast.measure(layers["conv"], labels))
    assert_same_reports(reports["late"], ncfast.measure(layers["late"], labels, head, bias))
    assert reports.to_dict()["late"] == reports["late"].to_dict()


def assert_same_reports(got, want):
    conditions = {"means_condition_number": 1.0, "weights_condition_number": 1.0}
    assert_same(conditions | got.to_dict(), conditions | want.to_dict())
    assert got.num_samples == want.num_samples
    assert got.num_classes == want.num_classes


def test_heads_by_layer_and_shared_options(case, rng):
    layers, labels, head, bias = case
    heads = {"conv": rng.standard_normal((K, 30)), "late": head}
    weights = rng.integers(0, 3, N)
    options = {"sample_weights": weights, "classes": [3, 0, 5], "weighting": "class", "metrics": ["nc1", "nc4"]}
    reports = ncfast.measure_layers(layers, labels, heads, {"late": bias}, **options)
    for layer, b in (("conv", None), ("late", bias)):
        assert_same_reports(reports[layer], ncfast.measure(layers[layer], labels, heads[layer], b, **options))
        assert reports[layer].classes == (3, 0, 5)


def test_blocks_of_all_layers_are_read_side_by_side(rng, monkeypatch):
    """No layer is ever more than a block ahead of another, in either pass."""
    from ncfast import _features

    monkeypatch.setattr(_features, "_BLOCK_BYTES", 4 * 16 * 100)
    monkeypatch.setattr(_features, "_MORE_IN_PLACE", 1)
    wide, labels = make_features(1000, 16, 2, 0.1, 1, np.float32, rng)
    reads = []
    plain = _features.Held.block

    def block(self, start, stop):
        reads.append((self.cols, start, stop))
        return plain(self, start, stop)

    monkeypatch.setattr(_features.Held, "block", block)
    told = []
    ncfast.measure_layers(
        {"wide": wide, "thin": wide[:, :4].copy()},
        labels,
        method="projection",
        progress=lambda *done: told.append(done),
    )
    assert len(reads) == 2 * 2 * 10
    assert reads[::2] == [(16, start, stop) for _, start, stop in reads[1::2]]
    assert told == [(200 * step, 4000) for step in range(1, 21)]


def test_output(case):
    layers, labels, head, _ = case
    reports = ncfast.measure_layers(layers, labels, head)
    frame = reports.to_frame()
    assert frame.index.tolist() == ["conv", "late"]
    assert frame.index.name == "layer"
    assert frame.loc["late", "nc3_self_duality"] == reports["late"]["nc3_self_duality"]
    assert np.isnan(frame.loc["conv", "nc3_self_duality"])
    text = str(reports).splitlines()
    assert text[0].split() == ["conv", "late"]
    assert any(line.startswith("nc1_pinv ") and len(line.split()) == 3 for line in text)
    with pytest.raises(KeyError, match="'fc' was not measured; layers are: conv, late"):
        reports["fc"]


def test_bad_layers(case):
    layers, labels, head, bias = case
    with pytest.raises(TypeError, match="layers is a list"):
        ncfast.measure_layers(list(layers.values()), labels)
    with pytest.raises(ValueError, match="layers is empty"):
        ncfast.measure_layers({}, labels)
    with pytest.raises(ValueError, match="weights has 'fc', which is no layer; layers are: conv, late"):
        ncfast.measure_layers(layers, labels, {"fc": head})
    with pytest.raises(ValueError, match=r"layer 'conv': weights has shape \(6, 12\)"):
        ncfast.measure_layers(layers, labels, {"conv": head})
    with pytest.raises(ValueError, match="layer 'late': bias is given without weights"):
        ncfast.measure_layers(layers, labels, None, bias)
    with pytest.raises(ValueError, match="layer 'late': labels has length 500; wanted 499"):
        ncfast.measure_layers({"conv": layers["conv"], "late": layers["late"][1:]}, labels)
    broken = layers["late"].copy()
    broken[7, 3] = np.nan
    with pytest.raises(ValueError, match="layer 'late': features holds nan at row 7"):
        ncfast.measure_layers({"conv": layers["conv"], "late": broken}, labels)
    with pytest.raises(TypeError, match="unexpected keyword argument 'method_'"):
        ncfast.measure_layers(layers, labels, method_="auto")
    with pytest.raises(TypeError, match="progress"):
        ncfast.measure_layers(layers, labels, progress=1)
