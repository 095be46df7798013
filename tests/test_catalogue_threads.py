"""The further metrics: the same bits for any number of threads, and nothing optional imported."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import threadpoolctl

import ncfast
from compare import accumulate
from ncfast import metrics

K, D, N = 40, 90, 4000


@pytest.fixture(autouse=True)
def default_threads():
    yield
    ncfast.set_num_threads(None)


def everything():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, K, N)
    means = rng.standard_normal((K, D))
    features = (3 + means[labels] + 1e-2 * rng.standard_normal((N, D))).astype(np.float32)
    weights, bias, codes = rng.standard_normal((K, D)), rng.standard_normal(K), rng.standard_normal((K, 6))
    counts = rng.integers(1, 9, K)
    stats = accumulate(features, labels, K)
    neco = metrics.Neco.fit(features, 5)
    split = metrics.mse_split(features, labels, weights, bias, weight_decay=1e-3)
    etf, of = metrics.nearest_etf(weights), metrics.nearest_of(weights)
    decays = {"weight_decay": 1e-6, "feature_decay": 1e-6}
    results = {
        "ratios": [metrics.nc1_svd_ratio(stats), metrics.vci(stats)],
        "pairs": [metrics.cdnv_per_class(stats), *metrics.worst_pairs(stats, 9)],
        "rank": metrics.class_numerical_rank(features, labels, K),
        "frames": [metrics.coherence(weights), metrics.frame_potential(weights), metrics.tightness(weights)],
        "welch": metrics.welch_ratio(codes),
        "uniformity": metrics.hyperspherical_uniformity(weights),
        "margin": [metrics.softmax_code_margin(weights), metrics.softmax_code_margin(codes)],
        "gof": [metrics.gof_distance(weights, counts, side, **decays) for side in ("weights", "means")],
        "gof alignment": metrics.gof_alignment(weights, means, counts, **decays),
        "seli": [metrics.seli_distance(weights, counts, side) for side in ("weights", "means")],
        "heads": [metrics.bias_alignment(weights, bias, means[0]), metrics.cosine_margins(features, labels, weights)],
        "ood": [neco.score(features), metrics.Nci.fit(features, weights, bias).score(features)],
        "nc5": metrics.nc5_orthogonality(means, means[3]),
        "regression": [metrics.nrc1(features, 4), metrics.nrc2(features, weights), metrics.nrc3(weights, means.T)],
        "nearest": [etf.frame, etf.distance, of.frame, of.distance],
        "mse": [split.nc1, split.nc23, split.off_path],
    }
    return {name: b"".join(np.asarray(v).tobytes() for v in np.atleast_1d(_flat(r))) for name, r in results.items()}


def reports():
    """Reports of everything, by each way to NC1, with errors and floors."""
    rng = np.random.default_rng(6)
    labels = np.concatenate([np.tile(np.arange(K), 3), rng.integers(0, K // 2, N)])
    means = rng.standard_normal((K, D))
    features = (3 + means[labels] + 1e-2 * rng.standard_normal((labels.size, D))).astype(np.float32)
    weights, bias, outliers = rng.standard_normal((K, D)), rng.standard_normal(K), rng.standard_normal((50, D))
    found = {}
    for method in ("projection", "scatter"):
        report = ncfast.measure(
            features, labels, weights, bias, metrics="all", method=method, errors=True, outliers=outliers,
            weight_decay=1e-7, feature_decay=1e-7,
        )  # fmt: skip
        for kind in ("metrics", "floors", "errors"):
            found |= {f"{method} {kind} {key}": value for key, value in getattr(report, kind).items()}
    return found


def test_same_bits_of_every_metric_of_a_report():
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        ncfast.set_num_threads(1)
        alone = reports()
        assert len(alone) >= 150
        assert np.isfinite(list(alone.values())).all()
        for threads in (2, 3, 4):
            ncfast.set_num_threads(threads)
            together = reports()
            assert [key for key in alone if alone[key] != together[key]] == []


def _flat(result):
    parts = result if isinstance(result, (list, tuple)) else [result]
    return np.concatenate([np.ravel(np.asarray(part, dtype=np.float64)) for part in parts])


def test_same_bits_for_any_number_of_threads():
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        ncfast.set_num_threads(1)
        alone = everything()
        assert all(np.isfinite(np.frombuffer(value)).all() for value in alone.values())
        for threads in (2, 4):
            ncfast.set_num_threads(threads)
            together = everything()
            assert [name for name in alone if alone[name] != together[name]] == []


def test_the_further_metrics_need_numpy_alone():
    code = (
        "import sys, json, numpy as np\n"
        "from ncfast import metrics\n"
        "v = np.random.default_rng(0).standard_normal((6, 4))\n"
        "metrics.nearest_of(v[:4])\n"
        "metrics.seli_distance(v, [1, 2, 3, 1, 2, 3], 'weights')\n"
        "metrics.nrc3(v[:3], v[:, :3]), metrics.Neco.fit(v, 2).score(v), metrics.auroc([1], [0])\n"
        "metrics.mse_split(v, [0, 1, 2, 0, 1, 2], v[:3])\n"
        "print(json.dumps([m for m in ('scipy', 'torch', 'sklearn', 'mpmath') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
