"""Ranks as real processes over gloo: what they find together is what one process finds alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data.distributed import DistributedSampler

import ncfast
import ncfast.torch as nct
import reference as ref
from compare import DOUBLE, SINGLE, assert_close, assert_statistics, frobenius_error, variability
from torch_ranks import NUM_CLASSES, NUM_FEATURES, samples
from watched import K, assert_counted

HERE = Path(__file__).parent
WORLDS = {1: "merged", 2: "merged,metric,sharded,watched", 4: "merged,metric"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders in which ranks left what they found, by number of ranks."""
    folders = {}
    for world, checks in WORLDS.items():
        folder = folders[world] = tmp_path_factory.mktemp(f"world_{world}")
        path = os.pathsep.join([str(HERE), str(Path(ncfast.__file__).parents[1])])
        ranks = [
            subprocess.Popen(
                [sys.executable, str(HERE / "torch_ranks.py"), checks, str(rank), str(world), str(folder)],
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(world)
        ]
        for process in ranks:
            errors = process.communicate(timeout=600)[1]
            assert process.returncode == 0, errors
    return folders


@pytest.mark.parametrize(
    ("dtype", "backend", "precision", "rtol"),
    [
        *((dtype, backend, "double", DOUBLE) for dtype in ("float32", "float64") for backend in ("native", "torch")),
        ("float32", "compensated", "feature", SINGLE),
    ],
)
def test_merged_statistics_do_not_depend_on_the_number_of_ranks(runs, dtype, backend, precision, rtol):
    features, labels = samples(dtype)
    single = nct.Accumulator(NUM_CLASSES, NUM_FEATURES, scatter=True, precision=precision, backend=backend)
    single.update(torch.from_numpy(features), torch.from_numpy(labels))
    want = single.statistics()
    for world in WORLDS:
        found = [ncfast.ClassStatistics.load(runs[world] / f"{dtype}_{backend}_{rank}.npz") for rank in range(world)]
        for stats in found:
            for name in ("counts", "pivots", "sums", "square_sums", "pooled"):
                np.testing.assert_array_equal(getattr(stats, name), getattr(found[0], name))
        assert_statistics(found[0], features, labels, NUM_CLASSES, rtol)
        assert found[0].feature_dtype == dtype
        there = want.present
        np.testing.assert_allclose(found[0].means[there], want.means[there], rtol=1e-12, atol=0)
        squares = 1e-12 if precision == "double" else 1e-6
        np.testing.assert_allclose(found[0].squared_deviations, want.squared_deviations, rtol=squares, atol=0)
        assert frobenius_error(found[0].scatter, want.scatter) <= squares


@pytest.mark.parametrize("world", [2, 4])
def test_the_metric_merges_ranks_and_finds_what_the_reference_finds(runs, world):
    want = variability(ref.two_pass(*samples()))
    found = [dict(np.load(runs[world] / f"metric_{rank}.npz")) for rank in range(world)]
    assert all(found[0] == other for other in found)
    for key, value in want.items():
        assert_close(found[0][key], value, SINGLE, what=key)
    assert found[0]["accuracy"] == 1


def test_sharded_tensors_and_heads_follow_the_policies(runs):
    assert all((runs[2] / f"sharded_{rank}").exists() for rank in range(2))


def test_what_is_watched_under_ddp_is_of_all_ranks(runs):
    reports = [dict(np.load(runs[2] / f"watched_{rank}.npz")) for rank in range(2)]
    assert reports[0] == reports[1]
    assert {"nc1_pinv", "nc3_self_duality"} <= set(reports[0])
    given = [np.load(runs[2] / f"given_{rank}.npz") for rank in range(2)]
    features, labels = (np.concatenate([part[name] for part in given]) for name in ("features", "labels"))
    assert len(labels) == 6 * 24
    found = [ncfast.ClassStatistics.load(runs[2] / f"watched_statistics_{rank}.npz") for rank in range(2)]
    for stats in found:
        assert_counted(stats, features, labels)
        assert_statistics(stats, features, labels, K, SINGLE)
        np.testing.assert_array_equal(stats.sums, found[0].sums)
    want = variability(ref.two_pass(features, labels))
    for key, value in want.items():
        assert_close(reports[0][key], value, SINGLE, what=key)


def test_a_model_is_measured_on_the_samples_of_all_ranks(runs):
    found = [dict(np.load(runs[2] / f"measured_{rank}.npz")) for rank in range(2)]
    assert found[0] == found[1]
    rows = [np.load(runs[2] / f"rows_{rank}.npz") for rank in range(2)]
    features, labels = (np.concatenate([part[name] for part in rows]) for name in ("features", "labels"))
    assert len(labels) == 3 * 13 + 4 * 12
    head = np.load(runs[2] / "head_0.npz")
    want = ncfast.measure(features, labels, head["weight"], head["bias"])
    assert set(found[0]) == set(want)
    for key, value in want.items():
        assert_close(found[0][key], value, SINGLE, atol=1e-9, what=key)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("size", "world"), [(21, 2), (8, 4), (5, 4), (1, 3)])
def test_duplicates_that_pad_a_sampler_are_not_counted(size, world, shuffle):
    parts = []
    for rank in range(world):
        sampler = DistributedSampler(range(size), world, rank, shuffle=shuffle)
        dealt = torch.tensor(list(sampler))
        acc = nct.Accumulator(size + 1, 1)
        acc.update(dealt[:, None].double(), dealt, mask=nct.sampler_mask(sampler))
        parts.append(acc)
    for other in parts[1:]:
        parts[0].merge(other)
    assert parts[0].statistics().counts.tolist() == [1] * size + [0]
    padding = -(-size // world) * world - size
    assert parts[0].left_out() == {"nonfinite": 0, "ignored": padding, "invalid_labels": 0}


def test_a_killed_rank_and_a_resume_change_nothing():
    """A few times over; ``tests/long/torch_kill_and_resume.py 20`` does it at length."""
    path = str(Path(ncfast.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "long" / "torch_kill_and_resume.py"), "2"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 killed runs ended as the undisturbed one" in done.stdout
