"""Kill one of two ranks at a random moment, resume both from their last common checkpoint, COUNT times over.

``python tests/long/torch_kill_and_resume.py COUNT``: the metrics and statistics at the end must be those of a run that
nothing disturbed, bit for bit.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import threading
import warnings
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

import ncfast
import ncfast.torch as nct

STEPS, EVERY, ROWS, CLASSES, FEATURES = 60, 5, 64, 10, 24
STATES = ("counts", "pivots", "sums", "square_sums", "pooled")


def batch(rank: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng([rank, step])
    labels = rng.integers(0, CLASSES, ROWS)
    means = np.random.default_rng(0).standard_normal((CLASSES, FEATURES)) + 100
    features = means[labels] + 1e-5 * rng.standard_normal((ROWS, FEATURES))
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels)


def checkpoints(folder: Path, rank: int) -> set[int]:
    return {int(path.stem.split("_")[2]) for path in folder.glob(f"state_{rank}_*.pt")}


def save(folder: Path, rank: int, step: int, acc: nct.Accumulator) -> None:
    """Write aside, then rename: a file that is there is whole. Two generations are kept."""
    aside = folder / f"aside_{rank}"
    torch.save(acc.state_dict(), aside)
    aside.replace(folder / f"state_{rank}_{step}.pt")
    for old in sorted(checkpoints(folder, rank))[:-2]:
        (folder / f"state_{rank}_{old}.pt").unlink()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train(folder: Path, rank: int, attempt: int, doom: tuple[int, float] | None) -> None:
    """One rank; ranks keep step, as in training. Doom is a step, and the seconds after it until the rank dies."""
    store = f"file://{folder}/store_{attempt}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    common = checkpoints(folder, 0) & checkpoints(folder, 1)
    dist.barrier()
    acc = nct.Accumulator(CLASSES, FEATURES, scatter=True, backend="torch" if rank else "native")
    if common:
        acc.load_state_dict(torch.load(folder / f"state_{rank}_{max(common)}.pt", weights_only=True))
    for step in range(max(common, default=0), STEPS):
        if doom is not None and step == doom[0]:
            threading.Timer(doom[1], die).start()
        acc.update(*batch(rank, step))
        dist.barrier()
        if (step + 1) % EVERY == 0:
            save(folder, rank, step + 1, acc)
    stats = nct.all_reduce(acc).statistics()
    stats.save(folder / f"final_{rank}.npz")


def start(folder: Path, attempt: int, victim: int = -1, doom: tuple[int, float] | None = None) -> list[int]:
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the survivor of a kill complains
            try:
                train(folder, rank, attempt, doom if rank == victim else None)
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    return children


def wait(children: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def final(folder: Path) -> tuple[list[bytes], dict[str, float]]:
    stats = [ncfast.ClassStatistics.load(folder / f"final_{rank}.npz") for rank in range(2)]
    parts = [[getattr(each, name).tobytes() for name in STATES] for each in stats]
    assert parts[0] == parts[1], "ranks differ"
    return parts[0], ncfast.measure_statistics(stats[0]).to_dict()


def main(count: int) -> None:
    warnings.simplefilter("error", RuntimeWarning)
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as undisturbed:
        assert wait(start(Path(undisturbed), 0)) == [0, 0], "the undisturbed run failed"
        want = final(Path(undisturbed))
    killed = resumed = 0
    while killed < count:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            codes = wait(start(folder, 0, draw.randrange(2), (draw.randrange(STEPS - 2), draw.uniform(0, 5e-3))))
            if -signal.SIGKILL not in codes:  # it was done before
                continue
            assert 0 not in codes, f"a rank ended well without the other: {codes}"
            killed += 1
            resumed += bool(checkpoints(folder, 0) & checkpoints(folder, 1))
            assert wait(start(folder, 1)) == [0, 0], "the resumed run failed"
            assert final(folder) == want, "the resumed run found something else"
    print(f"{killed} of {count} killed runs ended as the undisturbed one, {resumed} of them from a checkpoint")


if __name__ == "__main__":
    main(int(sys.argv[1]))
