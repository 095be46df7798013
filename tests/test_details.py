"""What pictures show, against plain float64 references over all pairs and samples."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ncfast
from compare import degenerate
from data import make_features
from ncfast._similarity import cosine_tiles, similarity_order, tile_edges

N, D, K = 900, 12, 7


def by_hand(features, labels):
    """Means, variances and sizes of the classes that have samples, in float64."""
    classes = np.unique(labels)
    features = features.astype(np.float64)
    means = np.array([features[labels == k].mean(axis=0) for k in classes])
    deviations = features - means[np.searchsorted(classes, labels)]
    variances = np.array([np.mean(np.sum(deviations[labels == k] ** 2, axis=1)) for k in classes])
    return classes, means, variances, np.array([np.count_nonzero(labels == k) for k in classes])


def cosines_of(rows):
    unit = rows / np.linalg.norm(rows, axis=1)[:, None]
    return unit @ unit.T


def pair_cdnv(means, variances):
    k = len(means)
    return {
        (i, j): (variances[i] + variances[j]) / (2 * np.sum((means[i] - means[j]) ** 2))
        for i in range(k)
        for j in range(i + 1, k)
    }


@pytest.fixture(params=[(0.9, 1.0), (1e-6, 100.0)], ids=["loose", "collapsed"])
def case(request, rng):
    spread, offset = request.param
    features, labels = make_features(N, D, K, spread, offset, np.float64, rng, imbalance=5, missing=[3])
    weights = rng.standard_normal((K, D))
    return features, labels, weights, ncfast.measure(features, labels, weights, np.zeros(K), details=True)


def test_metrics_are_the_same_with_and_without_details(case):
    features, labels, weights, report = case
    plain = ncfast.measure(features, labels, weights, np.zeros(K))
    assert plain.details is None
    assert plain.to_dict() == report.to_dict()
    assert plain.plan == report.plan


def test_values_by_class(case):
    features, labels, weights, report = case
    classes, means, variances, sizes = by_hand(features, labels)
    centred = means - means.mean(axis=0)
    found = report.details
    assert found.labels.tolist() == classes.tolist()
    assert found.counts.tolist() == sizes.tolist()
    np.testing.assert_allclose(found.norms["means"], np.linalg.norm(centred, axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.norms["weights"], np.linalg.norm(weights[classes], axis=1), rtol=1e-14)
    np.testing.assert_allclose(found.spreads, np.sqrt(variances), rtol=1e-8)
    by_pair = pair_cdnv(means, variances)
    own = [np.mean([v for pair, v in by_pair.items() if i in pair]) for i in range(len(classes))]
    np.testing.assert_allclose(found.cdnv, own, rtol=1e-8)
    lengths = np.linalg.norm(centred, axis=1) * np.linalg.norm(weights[classes], axis=1)
    np.testing.assert_allclose(found.alignment, np.sum(centred * weights[classes], axis=1) / lengths, atol=1e-12)


def test_cosines_stand_in_the_order_of_the_classes(case):
    features, labels, weights, report = case
    classes, means, _, _ = by_hand(features, labels)
    found = report.details
    assert sorted(found.order) == list(range(len(classes)))
    for name, rows in (("means", means - means.mean(axis=0)), ("weights", weights[classes])):
        expected = cosines_of(rows)[np.ix_(found.order, found.order)]
        np.testing.assert_allclose(found.cosines[name], expected, atol=6e-6)  # five decimals


def test_worst_pairs(case):
    features, labels, _, report = case
    classes, means, variances, _ = by_hand(features, labels)
    by_pair = sorted(pair_cdnv(means, variances).items(), key=lambda item: -item[1])
    found = report.details
    assert found.worst_pairs.tolist() == [[classes[i], classes[j]] for (i, j), _ in by_pair[:20]]
    np.testing.assert_allclose(found.worst_cdnv, [value for _, value in by_pair[:20]], rtol=1e-8)


def test_confusion(case):
    features, labels, _, report = case
    classes, means, _, _ = by_hand(features, labels)
    nearest = classes[np.argmin(((features[:, None] - means) ** 2).sum(axis=2), axis=1)]
    counts = np.zeros((K, K))
    np.add.at(counts, (labels, nearest), 1)
    found = report.details
    present = found.labels
    np.testing.assert_allclose(found.accuracy, counts[present, present] / counts[present].sum(axis=1), rtol=1e-15)
    np.fill_diagonal(counts, 0)
    ordered = present[found.order]
    assert found.confusion.tolist() == counts[np.ix_(ordered, ordered)].tolist()
    expected = sorted(((-c, i, j) for (i, j), c in np.ndenumerate(counts) if c), key=lambda entry: entry)[:20]
    assert found.confused_pairs.tolist() == [[i, j] for _, i, j in expected]
    assert found.confused_counts.tolist() == [-count for count, _, _ in expected]


def test_confusion_counts_weights_and_leaves_out_skipped_rows(rng):
    features, labels = make_features(400, 6, K, 1.5, 0.0, np.float32, rng)
    weights = rng.integers(0, 4, 400).astype(np.float64)
    features[5] = np.nan
    report = ncfast.measure(features, labels, sample_weights=weights, nonfinite="skip", details=True)
    repeated = np.repeat(np.arange(400), np.where(np.arange(400) == 5, 0, weights).astype(int))
    plain = ncfast.measure(features[repeated], labels[repeated], details=True)
    assert report.details.confusion.sum() > 20
    assert report.details.confused_pairs.tolist() == plain.details.confused_pairs.tolist()
    assert report.details.confused_counts.tolist() == plain.details.confused_counts.tolist()


def test_details_of_selected_classes_carry_their_labels(rng):
    features, labels = make_features(400, 6, K, 1.5, 0.0, np.float32, rng)
    found = ncfast.measure(features, labels, classes=[1, 4, 6], details=True).details
    assert found.labels.tolist() == [1, 4, 6]
    assert set(found.worst_pairs.ravel()) == set(found.confused_pairs.ravel()) == {1, 4, 6}


def test_details_of_statistics_have_no_decisions(rng):
    features, labels = make_features(400, 6, K, 0.5, 0.0, np.float32, rng)
    collected = ncfast.Accumulator(K, 6)
    collected.update(features, labels)
    found = ncfast.measure_statistics(collected.statistics(), details=True).details
    whole = ncfast.measure(features, labels, details=True).details
    assert found.accuracy is found.confusion is found.alignment is None
    assert found.confused_pairs.shape == (0, 2)
    np.testing.assert_allclose(found.cdnv, whole.cdnv, rtol=1e-12)


def test_details_say_what_was_measured(case):
    report = case[-1]
    assert report.details.inputs == {
        "features": f"float64, {N} × {D}",
        "labels": f"int64, {N}",
        "weights": f"float64, {K} × {D}",
        "bias": f"float64, {K}",
    }
    assert report.details.measured.endswith("+00:00")
    assert report.details.seconds > 0
    named = report.details.from_paths({"features": "dump.npy"}).inputs
    assert named["features"] == f"dump.npy: float64, {N} × {D}"
    assert named["bias"] == f"float64, {K}"


def same(left, right):
    assert left.to_json() == right.to_json()
    for name, value in vars(left.details).items():
        other = getattr(right.details, name)
        if isinstance(value, np.ndarray):
            assert value.dtype == other.dtype, name
            assert value.shape == other.shape, name
            np.testing.assert_array_equal(value, other)


def test_reports_come_back_from_json(case, tmp_path):
    report = case[-1]
    report.to_json(tmp_path / "report.json")
    back = ncfast.Report.from_json(tmp_path / "report.json")
    same(report, back)
    assert back.to_dict() == report.to_dict()
    assert back.uncollapsed == report.uncollapsed
    assert str(back) == str(report)


def test_undefined_details_come_back_from_json(tmp_path):
    features = np.concatenate([np.eye(3), -np.eye(3)])  # all class means are zero
    with degenerate("mean"):
        report = ncfast.measure(features, np.arange(6) % 3, details=True)
    assert np.isnan(report.details.cosines["means"]).all()
    text = report.to_json(tmp_path / "report.json")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    same(report, ncfast.Report.from_json(tmp_path / "report.json"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a JSON file"),
        ("[1, 2]", "not a report"),
        ('{"ncfast": "1", "metrics": {}}', "'floors' is missing"),
        ("[" * 100_000, "not a JSON file"),
        ("\ud8ff", "not a JSON file"),
    ],
)
def test_other_files_are_no_reports(tmp_path, text, complaint):
    path = tmp_path / "other.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=complaint) as error:
        ncfast.Report.from_json(path)
    assert str(path) in str(error.value)


def test_damaged_reports_are_named(case, tmp_path):
    content = json.loads(case[-1].to_json())
    for damage in ({"metrics": {"cdnv": "many"}}, {"plan": None}, {"details": {"labels": 3}}, {"spectra": [1]}):
        path = tmp_path / "report.json"
        path.write_text(json.dumps(content | damage))
        with pytest.raises(ValueError, match="damaged report"):
            ncfast.Report.from_json(path)


def test_similar_vectors_become_neighbours(rng):
    groups = rng.integers(0, 12, 500)
    vectors = rng.standard_normal((12, 40))[groups] + 0.3 * rng.standard_normal((500, 40))
    ordered = groups[similarity_order(vectors / np.linalg.norm(vectors, axis=1)[:, None])]
    assert np.count_nonzero(np.diff(ordered)) == 11  # every group in one piece


def test_order_of_degenerate_vectors():
    for vectors in (np.zeros((5, 3)), np.ones((50, 3)), np.eye(2), np.eye(30) - 1 / 30):
        assert sorted(similarity_order(vectors)) == list(range(len(vectors)))


def test_tiles_are_means_of_cosines(rng):
    vectors = rng.standard_normal((45, 6))
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    vectors[[7, 20]] = 0
    edges = tile_edges(45, 10)
    assert edges[0] == 0
    assert edges[-1] == 45
    assert set(np.diff(edges)) <= {4, 5}
    found = cosine_tiles(vectors, edges)
    full = vectors @ vectors.T
    real = (vectors != 0).any(axis=1)
    for i in range(10):
        for j in range(10):
            rows, cols = (np.arange(edges[t], edges[t + 1]) for t in (i, j))
            values = [full[a, b] for a in rows for b in cols if a != b and real[a] and real[b]]
            assert found[i, j] == pytest.approx(np.mean(values), abs=1e-14)
    single = cosine_tiles(vectors, tile_edges(45, 45))
    assert np.isnan(single[7]).all()
    assert single[3, 3] == pytest.approx(1.0)


def test_details_go_on_from_a_checkpoint(rng, tmp_path):
    """Interrupted in the second pass, the same measurement ends with the same confusions."""
    features, labels = make_features(30_000, 600, K, 9.0, 0.0, np.float32, rng)  # several blocks
    whole = ncfast.measure(features, labels, details=True).details

    def stop(done: int, total: int) -> None:
        if done > 0.75 * total:
            raise KeyboardInterrupt

    keep = {"checkpoint": tmp_path / "state", "checkpoint_every": 1e-9}
    with pytest.raises(KeyboardInterrupt):
        ncfast.measure(features, labels, details=True, progress=stop, **keep)
    assert keep["checkpoint"].exists()
    with pytest.raises(ValueError, match="checkpoint"):  # without details it is another measurement
        ncfast.measure(features, labels, **keep)
    resumed = ncfast.measure(features, labels, details=True, **keep).details
    assert whole.confusion.sum() > 1000
    np.testing.assert_array_equal(resumed.confusion, whole.confusion)
    np.testing.assert_array_equal(resumed.confused_counts, whole.confused_counts)
