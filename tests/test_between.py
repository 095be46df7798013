"""S_B without its eigenvectors: near a simplex a Cholesky factor of the Gram matrix tells NC1 as well."""

import numpy as np
import pytest

import ncfast
import reference as ref
from compare import accumulate
from data import make_features
from ncfast import passes
from ncfast._classifier import Classifier
from ncfast._conventions import as_conventions
from ncfast._subject import Subject
from ncfast.metrics._svd import well_conditioned
from ncfast.metrics._sweep import scaled_frame

K, D = 80, 240


def subject_of(features, labels, conventions=("ncfast", "papyan")):
    stats = accumulate(features, labels, K, scatter=False)
    return Subject(stats, Classifier(None, None), as_conventions(*conventions))


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("imbalance", [1, 20])
@pytest.mark.parametrize("conventions", [("ncfast", "papyan"), ("ncfast", "class"), ("zhu", "papyan")])
def test_the_root_is_that_of_the_pseudo_inverse(conventions, imbalance, offset, rng):
    features, labels = make_features(1600, D, K, 1e-3, offset, np.float64, rng, imbalance=imbalance)
    between = subject_of(features, labels, conventions).between
    assert between.find_root is not None
    found = between.directions
    assert not found.orthonormal
    # About the mean of the class means, or the global one: eigenvectors of the factor about the same.
    want = (between.basis / between.values**2) @ between.basis.T
    got = (found.rows.T / found.values**2) @ found.rows
    assert np.linalg.norm(got - want) <= 1e-11 * (1 + offset) * np.linalg.norm(want)
    assert found.inverse_norm == pytest.approx(np.sqrt(np.linalg.norm(want, 2)), rel=1e-10)


def test_a_long_frame_or_one_to_be_searched_keeps_its_eigenvectors(rng):
    features, labels = make_features(800, D, K, 1e-3, 0, np.float64, rng)
    features[:, 0] += 3 * labels  # one direction ten times longer than the others
    assert subject_of(features, labels).between.find_root is None
    features, labels = make_features(800, D, K, 1e-3, 0, np.float64, rng)
    searched = subject_of(features, labels)
    searched.will_search()
    assert searched.between.directions.orthonormal


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spread", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize(("offset", "imbalance"), [(0, 1), (1, 10), (100, 1)])
def test_nc1_in_collapse(offset, imbalance, spread, dtype, rng):
    features, labels = make_features(1600, D, K, spread, offset, dtype, rng, imbalance=imbalance)
    report = ncfast.measure(features, labels)
    assert any("projection" in step for step in report.plan)
    moments = ref.two_pass(features, labels)
    rtol = 1e-5 if dtype is np.float32 else 1e-10
    assert report["nc1_pinv"] == pytest.approx(ref.nc1_pinv(moments), rel=rtol, abs=0)
    # With class means about the mean of the samples.
    about = moments.means - moments.counts @ moments.means / moments.num_samples
    _, values, axes = np.linalg.svd((about / np.sqrt(K)).astype(np.float64), full_matrices=False)
    along = np.sum((moments.deviations @ axes[: K - 1].T) ** 2, axis=0) / moments.num_samples
    want = np.sum(along / values[: K - 1] ** 2) / K
    assert ncfast.measure(features, labels, conventions="zhu")["nc1_pinv"] == pytest.approx(want, rel=rtol, abs=0)


@pytest.mark.parametrize(("spread", "offset", "felt"), [(1e-2, 1, False), (1e-5, 1, True), (1e-2, 1000, True)])
def test_rounded_means_are_settled_where_they_are_felt(spread, offset, felt, rng, monkeypatch):
    features, labels = make_features(1600, D, K, spread, offset, np.float32, rng)
    want = ref.nc1_pinv(ref.two_pass(features, labels))
    values = {}
    for name, limit in (("as it is", passes._UNFELT), ("never", np.inf), ("always", 0.0)):
        monkeypatch.setattr(passes, "_UNFELT", limit)
        values[name] = ncfast.measure(features, labels)["nc1_pinv"]
    assert values["as it is"] == values["always" if felt else "never"]
    assert values["as it is"] == pytest.approx(want, rel=2e-7 if not felt else 1e-5, abs=0)
    assert values["always"] == pytest.approx(values["as it is"], rel=1e-8, abs=0)


def long_frame(kind, rng):
    frame = rng.standard_normal((1500, 100))
    if kind == "relu":
        frame = np.maximum(frame, 0)
    elif kind == "uneven":  # singular values far apart
        frame *= np.geomspace(1, 0.02, 100)
    elif kind == "heavy":  # a few vectors hold nearly all of it
        frame *= np.exp(2 * rng.standard_normal((1500, 1)))
    return frame - frame.mean(axis=0)


@pytest.mark.parametrize(("kind", "in_float32"), [("even", True), ("relu", True), ("uneven", False), ("heavy", False)])
def test_float32_products_serve_even_spectra_alone(kind, in_float32, rng):
    frame = long_frame(kind, rng)
    scaled = scaled_frame(frame, products=np.float32)
    gram, values = well_conditioned(scaled, 100)
    assert gram is (scaled if in_float32 else scaled.exact).by_features
    assert (gram == gram.T).all()
    want = np.linalg.svd(frame, compute_uv=False)
    assert np.abs(values / scaled.scale / want - 1).max() <= (1e-6 if in_float32 else 1e-11)


@pytest.mark.parametrize("precision", ["feature", "double"])
@pytest.mark.parametrize("kind", ["even", "uneven"])
def test_a_report_of_many_more_classes_than_features(kind, precision, rng):
    means = long_frame(kind, rng)
    labels = np.repeat(np.arange(1500), 3)
    features = (means[labels] + 1e-3 * rng.standard_normal((4500, 100))).astype(np.float32)
    weights = means + 0.3 * rng.standard_normal(means.shape)
    report = ncfast.measure(features, labels, weights, precision=precision)
    moments = ref.two_pass(features, labels)
    centred = ref.centred_means(moments).astype(np.float64)
    rtol = 1e-10 if precision == "double" else 1e-6
    assert report["nc1_pinv"] == pytest.approx(ref.nc1_pinv(moments), rel=rtol, abs=0)
    for name, frame in (("means", centred), ("weights", weights)):
        want = ref.spectrum(frame)
        for key in ("condition_number", "stable_rank", "effective_rank", "rank"):
            assert report[f"{name}_{key}"] == pytest.approx(want[key], rel=rtol)
    want = ref.matrix_distance(weights @ centred.T, ref.simplex(1500))
    assert report["nc3_alignment_etf"] == pytest.approx(want, rel=rtol)
