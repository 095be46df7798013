"""A report as a mapping, as JSON, as a frame, as text and as HTML."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas
import pytest

import ncfast
from compare import degenerate
from data import make_features

N, D, K = 300, 12, 5


@pytest.fixture
def report(rng):
    features, labels = make_features(N, D, K, 0.8, 1, np.float32, rng, imbalance=4)
    weights = rng.standard_normal((K, D)).astype(np.float32)
    return ncfast.measure(features, labels, weights, np.zeros(K))


def strict(text):
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_mapping(report):
    assert "cdnv" in report
    assert "nc9" not in report
    assert len(report) == 29
    assert list(report.keys()) == list(report)
    assert dict(report.items()) == dict(zip(report.keys(), report.values(), strict=True))
    for key in report:
        assert isinstance(report[key], float)
    with pytest.raises(KeyError, match="nc9"):
        report["nc9"]


def test_to_dict_is_a_plain_copy(report):
    values = report.to_dict()
    assert type(values) is dict
    assert values == dict(report.items())
    assert {type(v) for v in values.values()} == {float}
    values["cdnv"] = -1.0
    assert report["cdnv"] != -1.0


def test_to_json(report, tmp_path):
    text = report.to_json()
    found = strict(text)
    assert found["metrics"] == report.to_dict()  # no digit is lost
    assert found["num_samples"] == N
    assert found["plan"] == list(report.plan)
    assert found["conventions"] == report.conventions
    assert found["floors"] == report.floors
    assert found["at_floor"] == []
    assert found["uncollapsed"] == list(report.uncollapsed) == list(range(K))
    assert found["spectra"]["means"] == report.spectra["means"].tolist()
    path = tmp_path / "report.json"
    assert report.to_json(path).strip() == text.strip()
    assert strict(path.read_text(encoding="utf-8")) == found
    report.to_json(str(path))
    assert strict(path.read_text(encoding="utf-8")) == found


def test_json_of_infinite_and_undefined_values():
    features = np.concatenate([np.eye(3), -np.eye(3)])
    with degenerate("mean"):
        report = ncfast.measure(features, np.arange(6) % 3)
    assert np.isinf(report["nc1_pinv"])
    assert np.isnan(report["nc2_etf_means"])
    found = strict(report.to_json())["metrics"]
    assert found.keys() == report.keys()
    assert found["nc1_pinv"] == "inf"
    assert found["nc2_etf_means"] == "nan"
    assert "inf" in str(report)
    assert "nan" in str(report)
    assert report._repr_html_()


def test_to_frame(report):
    frame = report.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == 1
    for key, value in report.items():
        assert frame[key].iloc[0] == value


def test_to_frame_without_pandas(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"ncfast\[frame\]"):
        report.to_frame()


def test_text(report):
    text = str(report)
    for key in report:
        assert key in text
    assert f"{report['cdnv']:.3g}"[:4] in text
    assert str(N) in text
    assert max(map(len, text.splitlines())) <= 120


def test_html(report):
    html = report._repr_html_()
    for key in report:
        assert key in html
    assert html.count("<table") == html.count("</table>") >= 1
    assert html.count("<tr") == html.count("</tr>") >= len(report)
    assert "<script" not in html


def test_importing_and_measuring_loads_numpy_alone():
    code = (
        "import sys, numpy as np, ncfast;"
        "str(ncfast.measure(np.eye(4), np.arange(4) % 2));"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"matplotlib", "ml_dtypes", "pandas", "scipy", "sklearn", "torch", "tqdm"}
