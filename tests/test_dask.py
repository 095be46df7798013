"""A cluster gives the bits of the same tree evaluated in one thread, whoever computes what, and whoever dies."""

from __future__ import annotations

import sys
import warnings

import dask
import dask.array as da
import numpy as np
import pytest

import files
import ncfast
import ncfast.dask
from compare import assert_close
from data import make_features
from long import kill_workers

N, D, K = 2000, 14, 6
CHUNKS = (300, 300, 1, 299, 500, 600)


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as started:
            yield started


@pytest.fixture
def client(cluster):
    """Everything that Dask computes while there is one is computed on the cluster."""
    from distributed import Client

    with Client(cluster) as connected:
        connected.wait_for_workers(2, timeout=60)
        yield connected


@pytest.fixture
def sample(rng):
    features, labels = make_features(N, D, K, 0.9, 3, np.float32, rng)
    return features, labels, rng.standard_normal((K, D))


def chunked(features):
    return da.from_array(features, chunks=(CHUNKS, (D,)))


def by_hand(features, labels):
    """Class statistics of each chunk, merged two by two; no Dask."""
    level = []
    for stop, rows in zip(np.cumsum(CHUNKS), CHUNKS, strict=True):
        acc = ncfast.Accumulator(K, D)
        acc.update(features[stop - rows : stop], labels[stop - rows : stop])
        level.append(acc.statistics())
    (a, b), (c, d), (e, f) = zip(level[::2], level[1::2], strict=True)
    return a.merge(b).merge(c.merge(d)).merge(e.merge(f))


@pytest.mark.usefixtures("client")
def test_bits_are_those_of_the_tree_by_hand(sample):
    features, labels, weights = sample
    report = ncfast.dask.measure(chunked(features), labels, weights, method="scatter", metrics="all")
    want = ncfast.measure_statistics(by_hand(features, labels), weights, metrics="all").to_dict()
    assert len(want) > 25
    assert {key: report[key] for key in want} == want
    assert report["ncc_accuracy"] == ncfast.measure(features, labels, weights)["ncc_accuracy"]


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    "options",
    [
        {"method": "projection", "weighting": "sample", "errors": True, "nonfinite": "skip", "precision": "double"},
        {"classes": [4, 0, 2], "conventions": "papyan", "metrics": "all"},
    ],
)
def test_cluster_and_one_thread_and_memory(options, sample):
    features, labels, weights = sample
    if "nonfinite" in options:
        features[[3, 1500], 2] = np.nan
    spread = chunked(features).rechunk({1: 5})  # columns in several chunks
    on_cluster = ncfast.dask.measure(spread, da.from_array(labels, chunks=777), weights, **options)
    with dask.config.set(scheduler="synchronous"):
        alone = ncfast.dask.measure(chunked(features), labels, weights, **options)
    assert on_cluster.to_dict() == alone.to_dict()
    assert (on_cluster.errors, on_cluster.plan) == (alone.errors, alone.plan)
    memory = ncfast.measure(features, labels, weights, **options)
    assert on_cluster.skipped_rows == memory.skipped_rows
    assert {key for key in memory if not key.startswith("class_rank")} == set(on_cluster)
    for key in on_cluster:
        assert_close(on_cluster[key], memory[key], 1e-5, 1e-12, key)
    for key in ("nc4_disagreement", "ncc_accuracy"):
        assert on_cluster[key] == memory[key]


@pytest.mark.usefixtures("client")
def test_files_are_opened_by_the_workers(sample, tmp_path):
    features, labels, weights = sample
    paths, how = files.shards(tmp_path, features, labels)
    report = ncfast.dask.measure(*paths, None, weights, reading=how)
    with dask.config.set(scheduler="synchronous"):
        listed = [str(tmp_path / "shards" / f"part-{i}.npz") for i in range(11)]
        assert ncfast.dask.measure(listed, None, weights).to_dict() == report.to_dict()
    memory = ncfast.measure(features, labels, weights)
    assert report["nc4_disagreement"] == memory["nc4_disagreement"]
    assert_close(report["nc1_pinv"], memory["nc1_pinv"], 1e-5)
    paths, _ = files.pattern(tmp_path, features, labels)
    assert ncfast.dask.measure(*paths, weights).to_dict() == report.to_dict()


def test_a_killed_worker_changes_nothing(client):
    assert kill_workers.run(1, client, seed=2) == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"features": np.ones((4, 2))}, TypeError, "features is a ndarray; wanted a dask array, a path or paths"),
        ({"features": da.ones(7)}, ValueError, r"features has shape \(7,\)"),
        ({"features": da.ones((8, 2), dtype=int)}, TypeError, "features has dtype int64; wanted one of float16"),
        ({"labels": None}, ValueError, "labels is missing"),
        ({"labels": np.zeros(9, int)}, ValueError, r"labels is of shape \(9,\); wanted \(8,\)"),
        ({"labels": np.zeros(8)}, TypeError, "labels has dtype float64"),
        ({"labels": np.array([0, 1, 0, 1, 0, -1, 0, 1])}, ValueError, "part 1: labels holds -1 at row 1"),
        ({"labels": np.zeros(8, int), "num_classes": 2}, ValueError, "at least two"),
        ({"metrics": "class_rank_mean"}, ValueError, "'class_rank_mean', which needs all features of a class"),
        ({"sample_weights": np.ones(8)}, TypeError, "sample_weights is given"),
        ({"checkpoint": "a"}, TypeError, "checkpoint is given"),
        ({"features": ["none-1.npy"], "labels": None}, OSError, "No such file"),
        ({"features": ["a.npy"]}, TypeError, "path is .*0.*; wanted a path"),
        ({"features": [], "labels": "y.npy"}, ValueError, "paths is empty"),
        ({"features": ["a.npy", "b.npy"], "labels": ["y.npy"]}, ValueError, "labels are 1 files; wanted 2"),
    ],
)
def test_errors_teach(change, error, message):
    features = da.from_array(np.arange(16.0).reshape(8, 2), chunks=(4, 2))
    arguments = {"features": features, "labels": np.arange(8) % 2, **change}
    with dask.config.set(scheduler="synchronous"), pytest.raises(error, match=message):
        ncfast.dask.measure(**arguments)


def test_parts_that_do_not_match(tmp_path):
    for i, width in enumerate((3, 4)):
        np.savez(tmp_path / f"{i}.npz", features=np.ones((5, width)), labels=np.arange(5))
    with (
        dask.config.set(scheduler="synchronous"),
        pytest.raises(ValueError, match=r"part 1 has 4 features .* part 0 3"),
    ):
        ncfast.dask.measure(tmp_path / "*.npz")
    np.savez(tmp_path / "1.npz", features=np.full((5, 3), np.nan), labels=np.arange(5))
    with dask.config.set(scheduler="synchronous"), pytest.raises(ValueError, match="part 1: features holds nan at row"):
        ncfast.dask.measure(tmp_path / "*.npz")


def test_dask_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(ImportError, match=r'dask is not installed.*pip install "ncfast\[dask\]"'):
        ncfast.dask.measure(["a.npy"])
