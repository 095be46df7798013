"""Checkpoints: what is interrupted goes on to the same bits; damage, other inputs and full disks are told."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import files
import ncfast
from data import make_features
from long import kill_and_resume
from ncfast.cli import main

N, D, K = 900, 12, 5
BLOCK = 64 * 2 * D * 4


class InterruptionError(Exception):
    pass


def interrupted_after(steps):
    """Progress that lets so many blocks pass."""
    left = [steps]

    def progress(*_):
        left[0] -= 1
        if left[0] < 0:
            raise InterruptionError

    return progress


@pytest.fixture
def sample(rng):
    features, labels = make_features(N, D, K, 0.7, 3, np.float32, rng)
    return features, labels, rng.standard_normal((K, D))


def parts(report):
    return report.to_dict(), report.errors, report.plan, report.skipped_rows, report.uncollapsed, report.spectra.keys()


OPTIONS = {
    "standard": {},
    "projection": {"method": "projection"},
    "all": {"metrics": "all", "errors": True, "classes": [3, 0, 1]},
    "skipping": {"nonfinite": "skip", "weighting": "class"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_wherever_it_is_interrupted_it_ends_with_the_same_bits(options, sample, tmp_path, rng):
    features, labels, weights = sample
    if "nonfinite" in options:
        features[[5, 500]] = np.nan
        options = {**options, "sample_weights": rng.uniform(0.5, 2, N)}
    paths, _ = files.npy(tmp_path, features, labels)
    opened = ncfast.open_features(*paths, memory=BLOCK)
    whole = ncfast.measure(opened, None, weights, **options)
    path = tmp_path / "state.ckpt"
    keeping = {"checkpoint": path, "checkpoint_every": 0.0}
    for steps in range(0, 32, 6):
        with pytest.raises(InterruptionError):
            ncfast.measure(opened, None, weights, progress=interrupted_after(1), **keeping, **options)
        with pytest.raises(InterruptionError):
            ncfast.measure(opened, None, weights, progress=interrupted_after(min(steps, 25)), **keeping, **options)
        assert path.exists()
        again = ncfast.open_features(*paths, memory=BLOCK)
        told = []
        report = ncfast.measure(again, None, weights, progress=lambda *d, to=told: to.append(d), **keeping, **options)
        assert parts(report) == parts(whole)
        assert told[0][0] >= 64 * 2  # it did not begin anew
        assert not path.exists()


def test_arrays_in_memory(sample, tmp_path, monkeypatch):
    from ncfast import _features

    monkeypatch.setattr(_features, "_BLOCK_BYTES", 16 * 4 * D)
    features, labels, weights = sample
    whole = ncfast.measure(features, labels, weights)
    how = {"checkpoint": tmp_path / "c", "checkpoint_every": 0}
    with pytest.raises(InterruptionError):
        ncfast.measure(features, labels, weights, progress=interrupted_after(4), **how)
    assert ncfast.measure(features, labels, weights, **how).to_dict() == whole.to_dict()


@pytest.fixture
def left(sample, tmp_path):
    """A checkpoint that was left, and the call that goes on from it."""
    paths, _ = files.npy(tmp_path, *sample[:2])
    path = tmp_path / "state.ckpt"

    def go_on(weights=sample[2], bias=None, labels=None, progress=None, memory=BLOCK, every=0, **options):
        opened = ncfast.open_features(*paths, memory=memory)
        how = {"checkpoint": path, "checkpoint_every": every, "progress": progress}
        return ncfast.measure(opened, labels, weights, bias, **how, **options)

    with pytest.raises(InterruptionError):
        go_on(progress=interrupted_after(20))
    return path, go_on


def test_damage_is_found_and_never_used(left):
    """A flipped bit: an error that says so, or, in the parts of a zip file that mean nothing, the same result."""
    path, go_on = left
    content = path.read_bytes()
    whole = go_on().to_dict()
    rng = random.Random(3)
    places = [*range(200), *range(len(content) - 1200, len(content)), *rng.sample(range(len(content)), 800)]
    refused = []
    for place in rng.sample(places, 120):
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << rng.randrange(8)
        path.write_bytes(spoilt)
        try:
            assert go_on(every=60).to_dict() == whole
        except ValueError as error:
            refused.append(str(error))
            path.unlink()
    assert len(refused) > 70
    wanted = re.compile(rf"{re.escape(str(path))}: .*(delete it to start anew)")
    assert all(map(wanted.match, refused))
    for keep in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:keep])
        with pytest.raises(ValueError, match="not a readable checkpoint, or damaged"):
            go_on()
        assert path.read_bytes() == content[:keep]


@pytest.mark.parametrize(
    "other",
    [
        {"weights": None},
        {"weights": np.ones((K, D))},
        {"bias": np.ones(K)},
        {"labels": np.arange(N) % K},
        {"metrics": "nc1"},
        {"precision": "double"},
        {"weighting": "class"},
        {"conventions": "papyan"},
        {"nonfinite": "skip"},
        {"errors": True},
        {"classes": [0, 1, 2]},
        {"sample_weights": np.full(N, 2.0)},
        {"memory": BLOCK // 2},
        {"outliers": np.ones((3, D))},
        {"weight_decay": 1e-3},
    ],
    ids=lambda other: next(iter(other)),
)
def test_checkpoints_of_other_measurements_are_refused(other, left):
    path, go_on = left
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"state.ckpt: the checkpoint of a measurement of other inputs"):
        go_on(**other)
    assert path.read_bytes() == before


def test_checkpoints_of_changed_files_are_refused(left, tmp_path):
    _, go_on = left
    found = (tmp_path / "features.npy").stat()
    os.utime(tmp_path / "features.npy", ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    with pytest.raises(ValueError, match="of other inputs"):
        go_on()


def test_other_files_are_no_checkpoints(left):
    path, go_on = left
    np.savez(path.with_suffix(".npz"), a=np.ones(3))
    path.with_suffix(".npz").replace(path)
    with pytest.raises(ValueError, match=r"not a checkpoint of ncfast; it is not used: delete it"):
        go_on()


def command(tmp_path, sample):
    paths, _ = files.npy(tmp_path, *sample[:2])
    how = ["--memory", str(BLOCK), "--checkpoint", str(tmp_path / "state.ckpt"), "--checkpoint-every", "0"]
    return [sys.executable, "-m", "ncfast", "measure", *paths, *how]


def test_a_damaged_checkpoint_is_a_user_error(sample, tmp_path, capsys):
    (tmp_path / "state.ckpt").write_bytes(b"PK\x03\x04 nothing of use")
    assert main(command(tmp_path, sample)[3:]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "state.ckpt: not a readable checkpoint, or damaged" in said


def test_a_full_disk_leaves_the_checkpoint_before(sample, tmp_path):
    """The system refuses to write more than some bytes: what was there stays, and nothing else is left."""
    arguments = command(tmp_path, sample)[3:]
    path = tmp_path / "state.ckpt"
    opened = ncfast.open_features(tmp_path / "features.npy", tmp_path / "labels.npy", memory=BLOCK)
    whole = ncfast.measure(opened)
    how = {"checkpoint": path, "checkpoint_every": 0}
    with pytest.raises(InterruptionError):
        ncfast.measure(opened, progress=interrupted_after(5), **how)
    before = path.read_bytes()
    limit = "import resource, sys, ncfast.cli; resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900)); "
    call = [sys.executable, "-c", f"{limit}sys.exit(ncfast.cli.main(sys.argv[1:]))", *arguments]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "state.ckpt: File too large: no checkpoint written, the one before stays" in done.stderr
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".*"))
    assert ncfast.measure(opened, **how).to_dict() == whole.to_dict()


def test_failing_to_sync_leaves_the_checkpoint_before(left, monkeypatch):
    path, go_on = left
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: no checkpoint written, the one before stays.*ckpt"):
        go_on()
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["features.npy", "labels.npy", "state.ckpt"]


def test_a_missing_folder_is_told_at_once(sample, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"its folder is missing.*none/c.ckpt"):
        ncfast.measure(*sample[:2], checkpoint=tmp_path / "none" / "c.ckpt")


def test_what_a_cut_off_write_left_is_removed(left):
    path, go_on = left
    Path(path.parent / ".state.ckpt.abc.tmp").write_bytes(b"half")
    Path(path.parent / ".other.ckpt.abc.tmp").write_bytes(b"not ours")
    go_on()
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == [".other.ckpt.abc.tmp"]


def test_kills_at_random_moments(tmp_path):
    """A few of those of `long/kill_and_resume.py`."""
    assert kill_and_resume.run(3, tmp_path, seed=1)["resumed"] >= 3
