"""The command line: what it prints where, and how it says no."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest

import ncfast
from ncfast.cli import main


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 5, 400)
    arrays = {
        "features": (np.eye(5, 16)[labels] + 1e-2 * rng.standard_normal((400, 16))).astype(np.float32),
        "labels": labels,
        "weights": np.eye(5, 16),
        "bias": np.zeros(5),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return {name: str(tmp_path / f"{name}.npy") for name in arrays}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ncfast", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_measure_prints_the_report_and_writes_json(files: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    done = run(
        *("measure", files["features"], files["labels"]),
        *("--weights", files["weights"], "--bias", files["bias"], "--json", str(out)),
    )
    assert done.returncode == 0
    assert done.stderr == ""
    expected = ncfast.measure(*(np.load(files[name]) for name in ("features", "labels", "weights", "bias")))
    assert done.stdout == f"{expected}\n"
    assert json.loads(out.read_text())["metrics"] == expected.to_dict()


def test_options_reach_the_measurement(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--weighting", "class", "--precision", "double", "--method", "projection", "--num-classes", "7"]
    assert main(["measure", files["features"], files["labels"], "--quiet", "--threads", "1", *options]) == 0
    ncfast.set_num_threads(None)
    shown = capsys.readouterr().out
    assert "weighting 'class'" in shown
    assert "7 classes" in shown
    assert "2 class(es) without samples are left out: 5, 6" in shown


def test_some_classes_and_weighted_rows(files: dict[str, str], tmp_path: Path) -> None:
    counts = np.random.default_rng(4).integers(0, 3, 400)
    np.save(tmp_path / "counts.npy", counts)
    out = tmp_path / "report.json"
    arguments = [files["features"], files["labels"], "--weights", files["weights"], "--json", str(out), "--quiet"]
    assert main(["measure", *arguments, "--classes", "4,0,3", "--sample-weights", str(tmp_path / "counts.npy")]) == 0
    features, labels, weights = (np.load(files[name]) for name in ("features", "labels", "weights"))
    expected = ncfast.measure(features, labels, weights, classes=[4, 0, 3], sample_weights=counts)
    assert json.loads(out.read_text())["metrics"] == expected.to_dict()
    assert expected.to_dict() != ncfast.measure(features, labels, weights).to_dict()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--classes", "3"], "classes has shape (1,); wanted at least two"),
        (["--classes", "3,3"], "classes holds 3 more than once"),
        (["--classes", "0,9", "--num-classes", "5"], "classes holds 9; wanted class labels in [0, 5)"),
        (["--sample-weights", "{bias}"], "sample_weights has shape (5,); wanted (400,), one weight per row"),
        (["--sample-weights", "missing.npy"], "missing.npy: No such file"),
    ],
)
def test_classes_and_weights_that_do_not_fit(
    option: list[str], message: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["measure", files["features"], files["labels"], *(part.format(**files) for part in option)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ncfast: error: ")
    assert error.count("\n") == 1
    assert message in error


def test_metrics_and_conventions(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    command = ["measure", files["features"], files["labels"], "--quiet"]
    assert main([*command, "--metrics", "nc2_etf_means,cdnv", "--conventions", "papyan", "--errors"]) == 0
    shown = capsys.readouterr().out
    assert "conventions 'papyan'" in shown
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("  ")] == ["cdnv", "nc2_etf_means"]
    assert shown.count("±") == 1
    assert main([*command, "--metrics", "cdnw"]) == 2
    assert "nearest are 'cdnv'" in capsys.readouterr().err


def test_skipped_rows_are_counted(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    features = np.load(files["features"])
    features[17, 3] = np.nan
    np.save(files["features"], features)
    assert main(["measure", files["features"], files["labels"]]) == 2
    assert "row 17" in capsys.readouterr().err
    assert main(["measure", files["features"], files["labels"], "--nonfinite", "skip"]) == 0
    assert "1 row(s) with NaN or infinity were skipped" in capsys.readouterr().out


def damaged(path: str, content: bytes) -> str:
    Path(path).write_bytes(content)
    return path


def archive(path: str) -> str:
    with Path(path).open("wb") as file:
        np.savez(file, a=np.zeros(3))
    return path


def pickled(path: str) -> str:
    np.save(path, np.array([{}, []], dtype=object), allow_pickle=True)
    return path


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: damaged(path, b""), "features.npy"),
        (lambda path: damaged(path, b"not numpy at all"), "features.npy"),
        (lambda path: damaged(path, Path(path).read_bytes()[:-40]), "features.npy"),
        (lambda path: damaged(path, b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4((('"), "features.npy"),
        (archive, "not a readable .npy"),
        (pickled, "features.npy"),
        (lambda path: Path(path).unlink(), "No such file"),
        (lambda path: np.save(path, np.arange(8).reshape(2, 4)), "of int64; wanted features"),
        (lambda path: np.save(path, np.zeros((3, 4))), "holds 400 labels; wanted 3"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(files: dict[str, str], spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    spoil(files["features"])
    done = run("measure", files["features"], files["labels"])
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ncfast: error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_unwritable_output_is_a_user_error(files: dict[str, str], tmp_path: Path) -> None:
    done = run("measure", files["features"], files["labels"], "--json", str(tmp_path / "nowhere" / "out.json"))
    assert done.returncode == 2
    assert "No such file" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["meisure"], ["measure"], ["measure", "a", "b", "--weighting", "none"]])
def test_wrong_usage_exits_2_with_usage(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "usage: ncfast" in done.stderr


def test_info_and_version() -> None:
    done = run("info")
    assert done.returncode == 0
    for name in ("version", "isa", "isa_available", "threads", "eigen", "compiler"):
        assert f"{name} " in done.stdout
    assert run("--version").stdout.strip() == f"ncfast {ncfast.__version__}"


def test_progress_goes_to_a_terminal_on_stderr_only(files: dict[str, str]) -> None:
    """On a terminal a bar is drawn on stderr; stdout stays clean. With --quiet there is none."""
    for quiet in ([], ["--quiet"]):
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        command = [sys.executable, "-m", "ncfast", "measure", files["features"], files["labels"], *quiet]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, text=True) as process:
            out, _ = process.communicate(timeout=60)
        os.close(terminal)
        drawn = b""
        try:
            while chunk := os.read(controller, 4096):
                drawn += chunk
        except OSError:  # Linux says so when the other side is closed
            pass
        os.close(controller)
        assert out.startswith("Neural collapse: 400 samples")
        assert (b"rows" in drawn) == (not quiet)


@pytest.mark.usefixtures("heeds_interrupts")
def test_interrupt_exits_130_without_traceback(tmp_path: Path) -> None:
    features, labels = tmp_path / "features.npy", tmp_path / "labels.npy"
    shape = (2_000_000, 500)  # sparse on disk
    header = np.lib.format.open_memmap(features, mode="w+", dtype=np.float32, shape=shape)
    del header
    np.save(labels, np.arange(shape[0]) % 400)
    command = [sys.executable, "-m", "ncfast", "measure", str(features), str(labels), "--method", "scatter"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert "interrupted" in err
