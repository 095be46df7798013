"""Metrics by name: all values of the catalogue, what may be asked for, and which passes that takes."""

from __future__ import annotations

import numpy as np
import pytest

import ncfast
import reference as ref
import reference_catalogue as cat
import reference_imbalance as imb
import reference_report as refrep
from compare import accumulate, assert_close, degenerate
from data import make_features, orthonormal
from ncfast._catalogue import RECIPES
from ncfast._plan import plan_features
from test_catalogue_nearest import best_scale_distance

N, D, K = 400, 12, 6
DECAYS = {"weight_decay": 1e-3, "feature_decay": 1e-4}
STANDARD = {*refrep.MEANS_KEYS, *refrep.WEIGHT_KEYS, "nc4_disagreement", "ncc_accuracy"}


@pytest.fixture
def problem(rng):
    features, labels = make_features(N, D, K, 0.5, 1, np.float64, rng, imbalance=4)
    return features, labels, rng.standard_normal((K, D)), rng.standard_normal(K)


def distance_of_grams(gram, target):
    return float(np.linalg.norm(gram / np.linalg.norm(gram) - target / np.linalg.norm(target)))


def further_frame_metrics(name, frame, uncentred, counts, rng):
    """Of a frame, what the standard report does not have."""
    k, d = frame.shape
    log, distance = cat.uniformity(frame, "log"), cat.uniformity(frame, "distance")
    rotation = orthonormal(max(k, d), rng)[:k]
    seli = imb.seli_frames(counts, rotation)[0 if name == "weights" else 1]
    own = uncentred - uncentred.mean(axis=0) if name == "means" else frame
    gof = imb.gof_frames(counts, DECAYS["weight_decay"], DECAYS["feature_decay"], rotation)[name == "means"]
    values = {
        "tightness": cat.tightness(frame, min(k - 1, d)),
        "coherence": cat.coherence(frame),
        "frame_potential": cat.frame_potential(frame),
        "log_uniformity": log[0],
        "log_variance": log[1],
        "distance_uniformity": distance[0],
        "distance_variance": distance[1],
        "code_margin": cat.softmax_code_margin(frame),
        "seli": distance_of_grams(own @ own.T, seli @ seli.T),
        "gof": distance_of_grams(uncentred @ uncentred.T, gof @ gof.T),
    }
    if k > d:
        values["welch_ratio"] = values["coherence"] / np.sqrt((k - d) / (d * (k - 1)))
    if k <= d:
        values["nearest_of"] = best_scale_distance(uncentred, polar(uncentred)) / np.linalg.norm(uncentred)
    if k <= d + 1:
        centred = frame - frame.mean(axis=0)
        values["nearest_etf"] = best_scale_distance(frame, polar(centred, k - 1)) / np.linalg.norm(frame)
    return {f"nc2_{key}_{name}": value for key, value in values.items()}


def polar(frame, rank=None):
    left, _, right = np.linalg.svd(frame, full_matrices=False)
    return left[:, :rank] @ right[:rank]


def cosine_margins(features, labels, weights, centre):
    unit = cat.unit(weights - weights.mean(axis=0))
    margins = []
    for row, label in zip(cat.unit(features - centre), labels, strict=True):
        cosines = unit @ row
        margins.append(cosines[label] - np.delete(cosines, label).max())
    return margins


def everything(features, labels, weights, bias, outliers, rng, weighting="papyan"):
    """Every metric that ``metrics="all"`` promises, from its formula."""
    m = ref.two_pass(features, labels)
    means, centred = m.means.astype(np.float64), ref.centred_means(m, weighting)
    pairs = cat.cdnv_pairs(m)
    ranks = [cat.numerical_rank(m.deviations[m.owner == c]) for c in range(m.num_classes)]
    margins = cosine_margins(features, labels, weights, means[0] - centred[0])
    split = cat.mse_split(features, labels, weights, bias, DECAYS["weight_decay"])
    gof_weights, gof_means = imb.gof_frames(
        m.counts, *DECAYS.values(), orthonormal(max(means.shape), rng)[: len(means)]
    )
    away = outliers.mean(axis=0)
    return {
        **refrep.report(features, labels, weights, bias, weighting),
        "nc1_svd_ratio": cat.nc1_svd_ratio(m, weighting),
        "vci": cat.vci(m, weighting),
        "cdnv_worst_pair": max(pairs.values()),
        "cdnv_worst_class": max(np.mean([v for p, v in pairs.items() if c in p]) for c in m.classes),
        "class_rank_mean": float(np.mean(ranks)),
        "class_rank_max": max(ranks),
        **further_frame_metrics("means", centred, means, m.counts, rng),
        **further_frame_metrics("weights", weights, weights, m.counts, rng),
        "nc3_gof_alignment": distance_of_grams(weights @ means.T, gof_weights @ gof_means.T),
        "cosine_margin_mean": float(np.mean(margins)),
        "cosine_margin_min": min(margins),
        **dict(zip(("mse_nc1", "mse_nc23", "mse_off_path"), split, strict=True)),
        "nc5_orthogonality": float(np.abs(cat.unit(means) @ away).mean() / np.linalg.norm(away)),
    }


@pytest.mark.parametrize("weighting", ["papyan", "class", "sample"])
@pytest.mark.parametrize("shape", [(N, D, K), (500, 4, 9), (300, 8, 9)])
def test_all_values(shape, weighting, rng):
    n, d, k = shape
    features, labels = make_features(n, d, k, 0.5, 1, np.float64, rng, imbalance=4)
    weights, bias, outliers = rng.standard_normal((k, d)), rng.standard_normal(k), rng.standard_normal((30, d))
    report = ncfast.measure(
        features, labels, weights, bias, metrics="all", weighting=weighting, outliers=outliers, **DECAYS
    )
    want = everything(features, labels, weights, bias, outliers, rng, weighting)
    assert set(report) == set(want)
    for key, value in want.items():
        assert_close(report[key], value, 1e-8, 1e-10, what=key)


def test_all_of_equal_classes_leaves_out_the_frames_of_unequal_ones(rng):
    features, labels = make_features(300, D, K, 0.5, 1, np.float64, rng)
    weights = rng.standard_normal((K, D))
    report = ncfast.measure(features, labels, weights, metrics="all", **DECAYS)
    assert not [key for key in report if "seli" in key or "gof" in key or "welch" in key]
    named = ncfast.measure(features, labels, weights, metrics=["nc2_seli", "nc2_gof_weights"], **DECAYS)
    assert_close(named["nc2_seli_weights"], ref.etf_distance(weights), 1e-12)
    assert_close(named["nc2_gof_weights"], ref.of_distance(weights), 1e-12)


def test_standard_is_the_default(problem):
    report = ncfast.measure(*problem)
    assert set(report) == STANDARD
    assert report.to_dict() == ncfast.measure(*problem, metrics="standard").to_dict()


def test_every_key_by_its_name(problem, rng):
    """Alone, a metric is what it is among all."""
    options = {"outliers": rng.standard_normal((9, D)), **DECAYS}
    whole = ncfast.measure(*problem, metrics="all", **options)
    for key, value in whole.items():
        report = ncfast.measure(*problem, metrics=key, **options)
        assert list(report) == [key]
        assert_close(report[key], value, 1e-9, 1e-13, what=key)


@pytest.mark.parametrize("group", sorted({recipe.group for recipe in RECIPES} - {"nc5"}))
def test_groups(group, problem):
    whole, part = ncfast.measure(*problem, metrics="all"), ncfast.measure(*problem, metrics=group)
    keys = {key for recipe in RECIPES if recipe.group == group for key in recipe.keys}
    assert set(part) == keys & set(whole)
    assert part


def test_several_names(problem):
    report = ncfast.measure(*problem, metrics=("nc2_etf", "nc3", "vci", "vci"))
    want = {"nc2_etf_means", "nc2_etf_weights", "vci"}
    assert want < set(report)
    assert all(key.startswith(("nc3_", "unc3_")) for key in set(report) - want)
    assert list(report) == [key for recipe in RECIPES for key in recipe.keys if key in report]


def test_without_weights(problem):
    features, labels, _, _ = problem
    report = ncfast.measure(features, labels, metrics="all")
    gone = ("nc3", "unc3", "mse", "cosine")
    assert not [key for key in report if key.endswith("_weights") or key.startswith(gone)]
    assert set(ncfast.measure(features, labels, metrics="nc2_etf")) == {"nc2_etf_means"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nc1_pinvv", ["'nc1_pinvv'", "nearest are 'nc1_pinv'"]),
        ("self_duality", ["'nc3_self_duality'"]),
        ("NC2", ["'nc2'", "groups are nc1, nc2"]),
        ("nc2_etf_mean", ["'nc2_etf_means'"]),
        ("", ["''", "groups are"]),
    ],
)
def test_unknown_names(name, words, problem):
    for metrics in (name, ["cdnv", name]):
        with pytest.raises(ValueError, match="metrics names") as error:
            ncfast.measure(*problem, metrics=metrics)
        for word in words:
            assert word in str(error.value)
        assert len(str(error.value)) < 300


def test_names_that_lack_something(problem):
    features, labels, weights, _ = problem
    stats = accumulate(features, labels, K, scatter=False)
    for call, words in [
        (lambda: ncfast.measure(features, labels, metrics="nc3_self_duality"), "needs the classifier's weights"),
        (lambda: ncfast.measure(features, labels, metrics="nc5_orthogonality"), "needs outliers"),
        (lambda: ncfast.measure(*problem, metrics="nc2_gof_means"), "needs weight_decay and feature_decay"),
        (lambda: ncfast.measure_statistics(stats, metrics="vci"), "needs statistics with a scatter"),
        (lambda: ncfast.measure_statistics(stats, metrics="ncc_accuracy"), "needs the features themselves"),
        (lambda: ncfast.measure_statistics(stats, metrics="nc4"), "nothing can be computed"),
        (lambda: ncfast.measure(*problem, metrics=[]), "wanted at least one metric"),
        (lambda: ncfast.measure(*problem, metrics="nc2_welch_ratio_means"), "K > d"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    for metrics in (3, None, ["cdnv", 7]):
        with pytest.raises(TypeError, match=r"metrics is .*names of metrics or groups"):
            ncfast.measure(features, labels, weights, metrics=metrics)


def test_statistics_have_what_needs_no_features(problem):
    features, labels, weights, bias = problem
    stats = accumulate(features, labels, K)
    report = ncfast.measure_statistics(stats, weights, bias, metrics="all")
    whole = ncfast.measure(*problem, metrics="all")
    more = {key for recipe in RECIPES if {"features", "class_scatter"} & recipe.needs for key in recipe.keys}
    assert set(report) == set(whole) - more
    by_class = ncfast.measure_statistics(accumulate(features, labels, K, scatter="class"), metrics="class_rank_max")
    assert_close(by_class["class_rank_max"], whole["class_rank_max"], 1e-8)
    bare = ncfast.measure_statistics(accumulate(features, labels, K, scatter=False), metrics="all")
    assert not {"nc1_pinv", "vci", "nc1_svd_ratio", "mse_nc1"} & set(bare)


def passes(features, labels, *head, **options):
    """How often the features are read, by what progress reports."""
    totals = set()
    report = ncfast.measure(features, labels, *head, progress=lambda _, total: totals.add(total), **options)
    return totals.pop() // len(features), report


def test_no_second_pass_unless_something_needs_it(problem):
    for metrics in ("cdnv", "nc2", "nc1_trace_ratio", ["vci", "nc1_pinv"], ["nc3", "spectrum", "mse"]):
        count, report = passes(*problem, metrics=metrics)
        assert count == 1, metrics
        assert "no second pass" in " ".join(report.plan)
    for metrics in ("standard", "nc4_disagreement", "ncc_accuracy", "cosine_margin_mean"):
        count, report = passes(*problem, metrics=metrics)
        assert count == 2, metrics
        assert "pass 2" in " ".join(report.plan)


def test_cheapest_way_to_nc1(rng):
    """With a scatter for other metrics NC1 is there; else by what multiplies less, a reading counted."""

    def plan(d, k, **options):
        features, labels = make_features(4 * k, d, k, 0.5, 1, np.float32, rng)
        return " ".join(ncfast.measure(features, labels, **options).plan)

    assert "nc1_pinv by projection" in plan(200, 10)
    assert "nc1_pinv by the d x d scatter" in plan(20, 15)
    assert "with scatter (for vci)" in plan(200, 10, metrics=["vci", "nc1_pinv", "ncc_accuracy"])
    assert "nc1_pinv by the d x d scatter" in plan(200, 10, metrics=["vci", "nc1_pinv", "ncc_accuracy"])
    assert "nc1_pinv by projection" in plan(200, 10, metrics=["nc1_pinv"])
    assert "no second pass" in plan(50, 10, metrics=["nc1_pinv"])
    assert "nc1_pinv by projection" in plan(50, 10)
    assert "nc1_pinv by the d x d scatter" in plan(20, 15, weighting="class")
    assert "scatter" not in plan(200, 10, metrics=["cdnv"])


def test_scatters_by_class_where_they_fit():
    """They weigh classes and make the error of NC1 exact."""

    def plan(k, **options):
        return plan_features(
            "standard", frozenset(), num_classes=k, num_features=20,
            **{"weighting": "papyan", "method": "auto", "errors": False, **options},
        )  # fmt: skip

    assert plan(15).scatter is True
    assert plan(15, errors=True).scatter == plan(15, weighting="class").scatter == "class"
    assert plan(15, weighting="class", method="projection").scatter is False
    many = plan(100_000, weighting="class")
    assert many.projection
    assert not many.scatter
    assert plan(100_000, errors=True).scatter is True


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_margins_and_ranks_skip_rows(dtype, rng):
    features, labels = make_features(N, D, K, 0.5, 1, dtype, rng)
    weights = rng.standard_normal((K, D))
    broken = features.copy()
    broken[[3, 70], [0, 5]] = np.nan, np.inf
    keep = np.isfinite(broken).all(axis=1)
    keys = ["cosine_margin_mean", "cosine_margin_min", "class_rank_mean", "class_rank_max"]
    report = ncfast.measure(broken, labels, weights, metrics=keys, nonfinite="skip")
    want = ncfast.measure(features[keep], labels[keep], weights, metrics=keys)
    for key in keys:
        assert_close(report[key], want[key], 1e-12, what=key)


def test_margins_without_direction(rng):
    features, labels = make_features(60, D, 3, 0.5, 1, np.float64, rng)
    with degenerate("zero"):
        report = ncfast.measure(features, labels, np.ones((3, D)), metrics=["cosine_margin_mean", "cosine_margin_min"])
    assert set(report) == {"cosine_margin_mean", "cosine_margin_min"}
    assert np.isnan(list(report.values())).all()
