"""The examples as a reader would start them, on little data and for few epochs: they run, and what they print falls."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ncfast

EXAMPLES = Path(__file__).parents[1] / "examples"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def run(folder: Path, *command: str) -> str:
    """Run Python in a folder, one thread each, and return what it printed."""
    path = str(Path(ncfast.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=environment, cwd=folder, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def column(printed: str, name: str) -> list[float]:
    """Return the values a name has in the lines of epochs or steps."""
    return [float(value) for value in re.findall(rf"^(?:epoch|step) .*\b{name} +(\S+)", printed, re.MULTILINE)]


@pytest.mark.parametrize(("loss", "start"), [("ce", []), ("mse", TORCHRUN)])
def test_an_image_classifier_begins_to_collapse(tmp_path, loss, start):
    sizes = ["--loss", loss, "--samples", "501", "--epochs", "12", "--width", "32", "--depth", "3", "--batch", "50"]
    printed = run(tmp_path, *start, str(EXAMPLES / "train_fashion_mnist.py"), *sizes, "--picture", "curves.png")
    nc1 = column(printed, "nc1_pinv")
    assert len(nc1) == 12  # one rank prints
    assert nc1[-1] < 0.5 * nc1[0]
    assert column(printed, "training_error")[-1] < 0.1
    assert "501 samples" in printed  # of both ranks, none twice
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]


def test_fashion_mnist_is_read_from_idx_files(tmp_path):
    import gzip
    import struct

    for name, axes in (("train-images-idx3-ubyte.gz", (60, 28, 28)), ("train-labels-idx1-ubyte.gz", (60,))):
        values = bytes(i // 784 % 10 for i in range(60 * 784)) if len(axes) == 3 else bytes(i % 10 for i in range(60))
        header = bytes([0, 0, 8, len(axes)]) + struct.pack(f">{len(axes)}I", *axes)
        (tmp_path / name).write_bytes(gzip.compress(header + values))
    sizes = ["--samples", "40", "--epochs", "2", "--width", "8", "--depth", "2", "--batch", "20"]
    printed = run(tmp_path, str(EXAMPLES / "train_fashion_mnist.py"), "--data", ".", *sizes)
    assert len(column(printed, "nc1_pinv")) == 2
    assert "40 samples" in printed


def test_a_language_model_is_measured_with_words_as_classes(tmp_path):
    text = [f"the {a} {b} sees the {b} {c} ." for a in "abcde" for b in ("fox", "dog", "cat") for c in "vwxyz"]
    (tmp_path / "text.txt").write_text("\n".join(text))
    sizes = ["--steps", "60", "--every", "20", "--batch", "16", "--width", "16", "--depth", "1", "--length", "9"]
    printed = run(tmp_path, str(EXAMPLES / "train_language_model.py"), "--text", "text.txt", *sizes)
    assert "75 texts, 525 words to predict, 17 classes" in printed
    loss, ratio = column(printed, "loss"), column(printed, "nc1_trace_ratio")
    assert len(ratio) == 3
    assert loss[-1] < loss[0]
    assert ratio[-1] < ratio[0]
    assert "nc4_disagreement" in printed
