"""Kill a measurement with a checkpoint again and again, and see that it ends with the bits of an undisturbed one.

    python tests/long/kill_and_resume.py 200

Processes are sent SIGKILL at random moments: while they import, read, compute, write a checkpoint, rename it. The same
command then goes on. At no time may the checkpoint be damaged or behind what it was before.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS, FEATURES, CLASSES = 60_000, 64, 10


def write_inputs(folder: Path) -> list[str]:
    """Write features that leave many decisions open, their labels and a classifier; return the command."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, CLASSES, ROWS)
    means = rng.standard_normal((CLASSES, FEATURES))
    np.save(folder / "features.npy", (means[labels] + rng.standard_normal((ROWS, FEATURES))).astype(np.float32))
    np.save(folder / "labels.npy", labels)
    np.save(folder / "weights.npy", means)
    inputs = [str(folder / f"{name}.npy") for name in ("features", "labels")]
    weights = ["--weights", str(folder / "weights.npy"), "--metrics", "standard,nc3", "--memory", "512K", "--quiet"]
    return [sys.executable, "-m", "ncfast", "measure", *inputs, *weights]


def rows_seen(checkpoint: Path) -> int:
    """Rows of both passes in a checkpoint; raises if it is damaged."""
    if not checkpoint.exists():
        return 0
    with np.load(checkpoint, allow_pickle=False) as content:
        return sum(int(content[name]) for name in content.files if name.endswith("/rows"))


def run(kills: int, folder: Path, seed: int = 0) -> dict[str, float]:
    """Kill and resume so many times; return what happened."""
    rng = random.Random(seed)
    command = write_inputs(folder)
    checkpoint, out = folder / "state.ckpt", folder / "report.json"
    start = time.monotonic()
    subprocess.run([*command, "--json", str(folder / "whole.json")], check=True, stdout=subprocess.DEVNULL)
    whole, length = json.loads((folder / "whole.json").read_text()), time.monotonic() - start
    command += ["--checkpoint", str(checkpoint), "--checkpoint-every", "0", "--json", str(out)]
    done = {"kills": 0, "resumed": 0, "finished": 0}
    seen = 0
    while min(done["kills"], done["resumed"]) < kills or not out.exists():
        done["resumed"] += checkpoint.exists()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            try:
                is_last = min(done["kills"], done["resumed"]) >= kills
                wait = 600 if is_last else rng.uniform(0, 1.5 * length)
                _, errors = process.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                done["kills"] += 1
                now = rows_seen(checkpoint)
                assert now >= seen or not checkpoint.exists(), f"the checkpoint fell from {seen} to {now} rows"
                seen = now
                continue
        assert process.returncode == 0, errors
        assert json.loads(out.read_text()) == whole, "other numbers than without a kill"
        assert not checkpoint.exists(), "the checkpoint is left over"
        seen = 0
        done["finished"] += 1
        if min(done["kills"], done["resumed"]) < kills:
            out.unlink()
    left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert not left, f"left over: {left}"
    return done


def main() -> None:
    """Run as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(run(arguments.kills, Path(folder), arguments.seed))


if __name__ == "__main__":
    main()
