"""``ncfast ufm``: what it prints and writes, and how it says no."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from ncfast.cli import main

SMALL = ["--classes", "2", "--features", "2", "--weight-decay", "1e-2,1", "--feature-decay", "0.01", "--processes", "1"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ncfast", "ufm", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_sweep_prints_a_summary_and_writes_where_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = {}  # in place of pyarrow, which pandas would call
    monkeypatch.setattr(pandas.DataFrame, "to_parquet", lambda frame, path: frames.update({path: frame}))
    parquet = tmp_path / "t.parquet"
    assert main(["ufm", "sweep", *SMALL, "--output", str(tmp_path / "new"), "--parquet", str(parquet)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "2 cells: 1 of, 1 zero" in shown.out
    assert (tmp_path / "new" / "ufm-sweep-decays.png").exists()
    table = pandas.read_csv(tmp_path / "new" / "ufm-sweep-decays.csv", comment="#", keep_default_na=False)
    assert list(table["phase"]) == ["of", "zero"]
    assert list(frames[parquet]["value"]) == list(table["value"])


def test_axes_are_lists_and_ranges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SMALL, "--samples", "1:100:3", "--bias", "none,free,0.5", "--classes", "2", "--output", str(tmp_path)]
    assert main(["ufm", "sweep", "bias", *arguments]) == 0
    shown = capsys.readouterr().out
    assert "18 cells" in shown
    assert "not drawn" in shown
    table = pandas.read_csv(tmp_path / "ufm-sweep-bias.csv", comment="#", keep_default_na=False)
    assert sorted(set(table["samples_per_class"])) == [1, 10, 100]
    assert sorted(set(table["bias"])) == ["0.5", "free", "none"]


def test_reproduce_prints_the_table_and_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--output", str(tmp_path), "--only", "plain", "--iterations", "200", "--quiet"]
    assert main(["ufm", "reproduce", *arguments]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "plain, free bias, seed 0" in shown.out
    assert "0.1314213562" in shown.out
    for name in ("table.md", "table.csv", "table.json", "plain.png", "plain.svg"):
        assert f"written: {tmp_path / name}" in shown.out
        assert (tmp_path / name).stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "--classes", "0"], "num_classes is 0"),
        (["sweep", "--weight-decay", "0,2"], "wanted a positive finite number"),
        (["sweep", "--bias", "same"], "bias is 'same'"),
        (["sweep", *SMALL, "--processes", "0"], "processes is 0"),
        (["reproduce", "--iterations", "0"], "iterations is 0"),
        (["reproduce", "--images", "/nowhere", "--only", "networks"], "No such file"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["ufm", *arguments, "--output", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("ncfast: error: ")
    assert shown.err.count("\n") == 1
    assert message in shown.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sweep", "phases"],
        ["sweep", "--samples", "1:x"],
        ["sweep", "--samples", "5:1:3"],
        ["reproduce", "--only", "x"],
    ],
)
def test_wrong_usage_exits_2_with_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["ufm", *arguments])
    assert exit_.value.code == 2
    assert "usage: ncfast ufm" in capsys.readouterr().err


def test_help_needs_no_library_but_numpy() -> None:
    code = (
        "import sys\nfrom ncfast.cli import main\n"
        "try: main(['ufm', 'reproduce', '--help'])\nexcept SystemExit: pass\n"
        "print({'scipy', 'matplotlib', 'torch', 'tqdm', 'pandas', 'sklearn', 'multiprocessing'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--relu-iterations" in done.stdout
    assert done.stdout.rstrip().endswith("set()")
    assert run("sweep", "--help").returncode == 0
