"""Reports in the forms that experiments are logged in, read back by other programs' readers."""

from __future__ import annotations

import csv
import json
import struct
import sys

import numpy as np
import pandas
import pyarrow
import pytest
import tensorboardX

import ncfast
from compare import degenerate
from data import make_features
from ncfast.loggers import append_csv, append_jsonl, log_tensorboard, log_wandb, prefixed


@pytest.fixture
def report(rng):
    features, labels = make_features(300, 12, 5, 0.8, 1, np.float32, rng)
    return ncfast.measure(features, labels, rng.standard_normal((5, 12)), errors=True)


@pytest.fixture
def undefined():
    with degenerate("mean"):
        return ncfast.measure(np.concatenate([np.eye(3), -np.eye(3)]), np.arange(6) % 3)


def test_row_has_values_floors_and_errors(report):
    row = report.row()
    assert row["cdnv"] == report["cdnv"]
    assert row["cdnv_error"] == report.errors["cdnv"]
    assert row["cdnv_floor"] == report.floors["cdnv"]
    assert len(row) == len(report) + len(report.floors) + len(report.errors)


def test_arrow(report, undefined):
    table = report.to_arrow()
    assert isinstance(table, pyarrow.Table)
    assert {name: column[0] for name, column in table.to_pydict().items()} == report.row()
    assert {key.decode(): value.decode() for key, value in table.schema.metadata.items()} == report.conventions
    assert np.isinf(undefined.to_arrow()["nc1_pinv"][0].as_py())
    pandas.testing.assert_frame_equal(table.to_pandas(), report.to_frame())


def test_arrow_without_pyarrow(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"ncfast\[parquet\]"):
        report.to_arrow()


def test_jsonl(report, undefined, tmp_path):
    path = tmp_path / "log.jsonl"
    append_jsonl(path, report, epoch=1, layer="fc")
    append_jsonl(path, undefined, epoch=2)
    first, second = (
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        for line in path.read_text(encoding="utf-8").splitlines()
    )
    assert first == {"epoch": 1, "layer": "fc", **report.row()}
    assert second["nc1_pinv"] == "inf"


def test_csv(report, undefined, tmp_path):
    path = tmp_path / "log.csv"
    for epoch in (1, 2, 3):
        append_csv(path, report, epoch=epoch)
    frame = pandas.read_csv(path)
    assert frame["epoch"].tolist() == [1, 2, 3]
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{name: float(text) for name, text in row.items()} for row in rows] == [
        {"epoch": epoch, **report.row()} for epoch in (1, 2, 3)
    ]
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"log.csv: has other columns than this report; first difference: "):
        append_csv(path, undefined, epoch=4)
    with pytest.raises(ValueError, match="first difference: step"):
        append_csv(path, report, epoch=1, step=1)
    assert path.read_bytes() == before
    append_csv(tmp_path / "other.csv", undefined, epoch=1)
    with (tmp_path / "other.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert float(row["nc1_pinv"]) == np.inf
    assert np.isnan(float(row["nc2_etf_means"]))


def scalars_of(path):
    """Read an event file: records of length, its checksum, a message, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    data, found = path.read_bytes(), {}
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
        data = data[16 + length :]
    return found


def test_tensorboard(report, tmp_path):
    with tensorboardX.SummaryWriter(str(tmp_path)) as writer:
        log_tensorboard(writer, report, 7)
        log_tensorboard(writer, report, 8, prefix="layer4/")
    (path,) = tmp_path.iterdir()
    found = scalars_of(path)
    assert len(found) == 2 * len(report)
    for name, value in report.items():
        assert found[f"collapse/{name}", 7] == np.float32(value)
        assert found[f"layer4/{name}", 8] == np.float32(value)


def test_wandb(report):
    class Run:
        def __init__(self):
            self.calls = []

        def log(self, data, step=None, commit=None):  # noqa: ARG002 - as theirs
            self.calls.append((data, step))

    run = Run()
    log_wandb(run, report, 3)
    log_wandb(run, report, prefix="")
    assert run.calls == [({f"collapse/{name}": value for name, value in report.items()}, 3), (report.to_dict(), None)]
    assert prefixed(report, "x-") == {f"x-{name}": value for name, value in report.items()}


def test_wandb_offline(report, tmp_path):
    """The package itself, where it is installed: its file holds what was logged."""
    wandb = pytest.importorskip("wandb")
    with wandb.init(mode="offline", dir=str(tmp_path), project="ncfast") as run:
        log_wandb(run, report, 3)
    content = next(tmp_path.glob("wandb/offline-run-*/run-*.wandb")).read_bytes()
    assert all(f"collapse/{name}".encode() in content for name in report)
    assert repr(report["cdnv"]).encode() in content
