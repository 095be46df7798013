"""Sweeps: the table agrees with the theory, survives kills and refuses strangers; the diagrams are drawn."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ncfast.ufm import Grid, sweep
from ncfast.ufm import _sweep_figures as figures
from ncfast.ufm._sweep_table import Table
from pictures import assert_drawn

SMALL = Grid(
    num_classes=(3,), num_features=(4,), weight_decay=(1e-3, 1e-2, 1e-1), feature_decay=(1e-3, 1e-2, 1e-1, 1.0)
)
COMMAND = [sys.executable, "-m", "ncfast", "ufm", "sweep", "--classes", "2", "--features", "2", "--processes", "2",
           "--weight-decay", "1e-3:1:400", "--feature-decay", "0.01", "--quiet"]  # fmt: skip


def strength(row: dict) -> float:
    """K sqrt(n lW lH)."""
    return row["num_classes"] * (row["samples_per_class"] * row["weight_decay"] * row["feature_decay"]) ** 0.5


def test_plain_model_follows_its_closed_form_on_both_sides_of_the_threshold(tmp_path):
    found = sweep(SMALL, tmp_path / "t.csv", processes=1)
    phases = {row["phase"] for row in found.rows}
    assert phases == {"zero", "of"}
    for row in found.rows:
        c = strength(row)
        assert row["kappa"] == pytest.approx(c, rel=1e-12)
        assert row["value"] == pytest.approx(c - c * c / 2 if c < 1 else 0.5, abs=1e-12)
        assert row["minimum"] == pytest.approx(row["value"], abs=1e-12)
        assert row["gradient_norm"] < 1e-8
        assert row["signal"] == pytest.approx(max(1 - c, 0), abs=1e-6)
        assert row["common"] == pytest.approx(max(1 - c, 0), abs=1e-6)
        assert row["phase"] == ("of" if c < 1 else "zero")


def test_bias_decay_leads_from_etf_to_frame(tmp_path):
    grid = Grid(bias=("free", 0.01, 0.1, 0.2, 1.0, "none"))
    rows = sweep(grid, tmp_path / "t.csv", processes=1).rows
    c = strength(rows[0])
    assert c / (1 - c) == pytest.approx(0.1647156697)
    assert [row["phase"] for row in rows] == ["etf", "etf", "etf", "between", "between", "of"]
    for row in rows[1:-1]:
        beta = row["bias"] / (1 + row["bias"])
        assert row["common"] == pytest.approx(max(1 - c / beta, 0), abs=1e-6)
        assert row["signal"] == pytest.approx(1 - c, abs=1e-6)


def test_extended_model_jumps_and_its_learned_minimum_outlives_the_jump(tmp_path):
    """K (n lambda^3)^(1/3) around 2^(-4/3) and around the spinodal, 0.4724703937."""
    kappas = np.array([0.38, 0.41, 0.465, 0.48])
    decays = tuple(float(kappa / (4 * 50 ** (1 / 3))) for kappa in kappas)
    grid = Grid(layers=(3,), weight_decay=decays, feature_decay=("same",), start=("learned", "small"))
    rows = sweep(grid, tmp_path / "t.csv", processes=1).rows
    learned, small = ([row for row in rows if row["start"] == start] for start in ("learned", "small"))
    np.testing.assert_allclose([row["kappa"] for row in learned], kappas)
    for row, kappa in zip(learned[:3], kappas, strict=False):
        roots = np.roots([1, 0, 0, -1, kappa])
        x = max(root.real for root in roots if abs(root.imag) < 1e-9) ** 3
        assert row["signal"] == pytest.approx(x, abs=1e-6)
        assert row["value"] == pytest.approx((1 - x) * (1 + 2 * x) / 2, abs=1e-10)
    assert [row["value"] < 0.5 for row in learned] == [True, False, False, False]
    assert [row["phase"] for row in learned] == ["of", "of", "of", "zero"]
    assert {row["phase"] for row in small} == {"zero"}
    assert learned[1]["minimum"] == pytest.approx(0.5)


def test_cross_entropy_is_an_etf_and_relu_reaches_the_linear_value(tmp_path):
    smooth = sweep(Grid(loss=("cross-entropy",)), tmp_path / "ce.csv", processes=1).rows[0]
    assert smooth["phase"] == "etf"
    assert smooth["value"] == pytest.approx(0.4547359451, abs=1e-10)
    assert smooth["signal"] == pytest.approx(3.2301825126, abs=1e-6)
    relu = sweep(Grid(layers=(3,), nonlinearity=("relu",)), tmp_path / "r.csv", starts=4, processes=1).rows[0]
    assert relu["value"] == pytest.approx(0.1077357156, abs=1e-9)
    assert relu["phase"] == "of"


def test_table_reads_back_the_same(tmp_path):
    calls = []
    first = sweep(SMALL, tmp_path / "t.csv", processes=1)
    again = sweep(SMALL, tmp_path / "t.csv", processes=1, progress=lambda *done: calls.append(done))
    assert again.rows == first.rows
    assert calls == [(12, 12)]
    frame = first.to_frame()
    assert list(frame["phase"]) == [row["phase"] for row in first.rows]
    with first.table.open() as file:
        assert next(file).startswith("# ncfast ufm sweep {")
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows] == [row["value"] for row in first.rows]


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_torn_table_keeps_its_complete_lines(tmp_path, cut):
    path, settings, rows = tmp_path / "t.csv", {"seed": 0}, [{"a": index, "b": 0.1 * index} for index in range(6)]
    table = Table(path, settings, ("a", "b"))
    for row in rows:
        table.append(row)
    table.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    table = Table(path, settings, ("a", "b"))
    kept = len(table.rows)
    assert kept == max(whole[:cut].count(b"\n") - 2, 0)
    assert [float(row["b"]) for row in table.rows] == [row["b"] for row in rows[:kept]]
    for row in rows[kept:]:
        table.append(row)
    table.close()
    assert path.read_bytes() == whole


def test_killed_sweep_goes_on_to_the_same_table(tmp_path):
    subprocess.run([*COMMAND, "--output", str(tmp_path / "whole")], check=True, capture_output=True)
    killed = tmp_path / "killed" / "ufm-sweep-decays.csv"
    with subprocess.Popen([*COMMAND, "--output", str(killed.parent)], stderr=subprocess.PIPE) as process:
        wait_for(lambda: killed.exists() and killed.read_bytes().count(b"\n") > 5)
        children = children_of(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
    lines = killed.read_bytes().count(b"\n")
    assert 5 < lines < 402
    wait_for(lambda: not any(Path(f"/proc/{child}/cmdline").exists() for child in children))
    assert len(children) >= 2
    subprocess.run([*COMMAND, "--output", str(killed.parent)], check=True, capture_output=True)
    whole = tmp_path / "whole" / killed.name
    assert killed.read_bytes() == whole.read_bytes()
    assert killed.with_suffix(".png").read_bytes() == whole.with_suffix(".png").read_bytes()


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def children_of(parent: int) -> list[int]:
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(child) for child in text.split()]


def test_tables_of_other_settings_and_other_files_are_refused(tmp_path):
    table = sweep(SMALL, tmp_path / "t.csv", processes=1).table
    before = table.read_bytes()
    with pytest.raises(ValueError, match=r"other settings \(seed differ\)"):
        sweep(SMALL, table, seed=1, processes=1)
    with pytest.raises(ValueError, match=r"other settings \(num_classes, num_features differ\)"):
        sweep(Grid(weight_decay=SMALL.weight_decay, feature_decay=SMALL.feature_decay), table)
    assert table.read_bytes() == before
    stranger = tmp_path / "stranger.csv"
    stranger.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="not a table of ncfast ufm sweep"):
        sweep(SMALL, stranger)
    assert stranger.read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"weight_decay": (0.0,)}, "weight_decay is 0.0; wanted a positive finite number"),
        ({"num_classes": (0,)}, "num_classes is 0"),
        ({"num_classes": ()}, "wanted a tuple of at least one value"),
        ({"num_classes": (3, 3)}, "wanted each value once"),
        ({"bias": ("some",)}, "bias is 'some'"),
        ({"start": ("warm",)}, "start is 'warm'"),
        ({"loss": ("hinge",)}, "loss is 'hinge'"),
        ({"loss": ("cross-entropy",), "layers": (3,)}, "layers is 3"),
        ({"nonlinearity": ("relu",)}, "nonlinearity 'relu'"),
    ],
)
def test_bad_grids_are_refused_before_any_work(axes, message):
    with pytest.raises(ValueError, match=message):
        Grid(**axes)


def test_diagrams_are_drawn_alike_each_time(tmp_path):
    plain = Grid(num_classes=(3,), num_features=(4,), weight_decay=(1e-3, 1e-1, 1.0), feature_decay=(1e-3, 1e-1, 1.0))
    biased = Grid(num_features=(4,), feature_decay=(1e-3, 1e-2, 1.0), bias=(1e-2, 0.3, 9.0))
    curves = Grid(layers=(2, 3), weight_decay=(1e-2, 2e-2, 5e-2), feature_decay=("same",), start=("learned", "small"))
    sizes = Grid(num_features=(4,), num_classes=(2, 3, 4), samples_per_class=(5, 50, 5000))
    for name, grid in {"plain": plain, "biased": biased, "curves": curves, "sizes": sizes}.items():
        assert figures.drawable(grid)
        found = sweep(grid, tmp_path / f"{name}.csv", processes=1)
        first = [path.read_bytes() for path in figures.draw(found, tmp_path / name)]
        assert_drawn(tmp_path / f"{name}.png")
    assert first == [path.read_bytes() for path in figures.draw(found, tmp_path / name)]
    assert not figures.drawable(Grid())
    assert not figures.drawable(Grid(loss=("mse", "cross-entropy")))


def test_missing_scipy_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r'pip install "ncfast\[ufm\]"'):
        sweep(SMALL, tmp_path / "t.csv", processes=1)


def test_processes_change_nothing_not_even_the_environment(tmp_path):
    before = dict(os.environ)
    one, two = (sweep(SMALL, tmp_path / f"{count}.csv", processes=count) for count in (1, 2))
    assert one.table.read_bytes() == two.table.read_bytes()
    assert one.rows == two.rows
    assert dict(os.environ) == before
