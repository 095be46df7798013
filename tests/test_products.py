"""Products of float32 kernels against float64, on the rows that would show how they are made.

A kernel may round to float, or take floats apart in digits about the largest entry of their row: whichever it does, it
has to stay within the bound that decisions are made with.
"""

from __future__ import annotations

import numpy as np
import pytest

import ncfast
import reference as ref
from ncfast import _core
from ncfast.decisions import AffineRule
from ncfast.metrics._sweep import scaled_frame, sweep

UNIT = 2.0**-24
DEPTHS = (1, 31, 64, 65, 300, 1023, 1025, 2100)


def rule_of(weights, offsets, *, points=None, constants=None):
    """A rule at the origin; points and constants are weights and offsets unless they are given."""
    points, constants = weights if points is None else points, offsets if constants is None else constants
    origin, norms = np.zeros(weights.shape[1]), np.linalg.norm(weights, axis=1)
    return AffineRule(weights, norms, offsets, origin, 1.0, points, constants, by_distance=False, dtype=np.float32)


def rows_of_kind(kind: str, count: int, depth: int, rng: np.random.Generator) -> np.ndarray:
    rows = rng.standard_normal((count, depth))
    if kind == "spiky":  # a few entries tower above the others
        rows[np.arange(count), rng.integers(0, depth, count)] = 10.0 ** rng.uniform(1, 6, count)
    elif kind == "scales":  # each row of a scale of its own, some not normal
        rows *= 10.0 ** rng.uniform(-40, 15, count)[:, None]
    elif kind == "sparse":
        rows *= rng.random(rows.shape) < 0.1
        rows[::5] = 0
    elif kind == "alike":  # nothing averages out
        rows[:] = rng.uniform(1, 2, count)[:, None]
        rows[0] = 2 - 2.0**-23  # just below a power of two
    return rows.astype(np.float32)


def bound(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Largest error of each product that either way of taking it may have."""
    depth = left.shape[1]
    lengths = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
    tops = np.abs(left).max(axis=1)[:, None] * np.abs(right).max(axis=1)
    least = np.finfo(np.float32).tiny * depth  # where floats are not normal
    return (
        np.maximum((depth + 16) * UNIT * lengths, (16 + depth / 256) * UNIT * lengths + 12.5 * UNIT * depth * tops)
        + least
    )


def coordinates(rows: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of float32 rows along a float32 basis, and the sums of their squares, from the kernel."""
    squares = np.zeros(len(basis))
    out = np.full((len(rows), len(basis)), np.nan, np.float32)
    origin, first = np.zeros((1, rows.shape[1]), np.float32), np.zeros(len(rows), np.int64)
    _core.project(rows, first, None, origin, 1.0, basis, np.ones(1), squares, np.empty(len(rows)), out)
    return out, squares


@pytest.mark.parametrize("kind", ["gaussian", "spiky", "scales", "sparse", "alike"])
@pytest.mark.parametrize("rank", [1, 2, 3, 5, 9, 12, 35, 65, 97, 130])
def test_coordinates_stay_within_their_bound(kind, rank, rng):
    for depth in DEPTHS:
        rows, basis = rows_of_kind(kind, 77, depth, rng), rows_of_kind("gaussian", rank, depth, rng)
        if kind == "spiky":
            basis = rows_of_kind(kind, rank, depth, rng)
        got, squares = coordinates(rows, basis)
        left, right = rows.astype(np.float64), basis.astype(np.float64)
        errors = np.abs(got - left @ right.T)
        assert (errors <= bound(left, right)).all(), (depth, float((errors / bound(left, right)).max()))
        np.testing.assert_allclose(squares, np.einsum("nr,nr->r", got, got, dtype=np.float64), rtol=1e-12)


@pytest.mark.parametrize("rank", [65, 129])
@pytest.mark.parametrize("depth", [64, 65, 130, 1100])
def test_integers_of_22_bits_come_through(rank, depth, rng):
    """Each direction picks one entry with a sign, and that is the coordinate, exactly."""
    rows = (rng.integers(0, 2**22, (50, depth)) * rng.choice([-1, 1], (50, depth))).astype(np.float32)
    picked, signs = rng.integers(0, depth, rank), rng.choice([-1, 1], rank).astype(np.float32)
    basis = np.zeros((rank, depth), np.float32)
    basis[np.arange(rank), picked] = signs
    got, _ = coordinates(rows * np.float32(2.0**-30), basis)
    np.testing.assert_array_equal(got * np.float32(2.0**30), rows[:, picked] * signs)


@pytest.mark.parametrize("rank", [5, 70])
def test_what_leaves_the_range_is_never_a_number(rank, rng):
    rows, basis = rows_of_kind("gaussian", 40, 200, rng), rows_of_kind("gaussian", rank, 200, rng)
    clean, _ = coordinates(rows, basis)
    rows[7, 3], rows[9, 150], rows[11, 60] = np.inf, np.nan, -np.inf
    got, _ = coordinates(rows, basis)
    bad = np.isin(np.arange(40), [7, 9, 11])
    assert not np.isfinite(got[bad]).any()
    np.testing.assert_array_equal(got[~bad], clean[~bad])


@pytest.mark.parametrize("kind", ["gaussian", "spiky", "sparse"])
@pytest.mark.parametrize("size", [(300, 90), (701, 33), (500, 130)])
def test_pairs_in_float32_stay_within_the_bound_of_certificates(kind, size, rng):
    rows = rows_of_kind(kind, *size, rng).astype(np.float64)
    single, double = (
        sweep(scaled_frame(rows, products=t), variances=np.ones(size[0])) for t in (np.float32, np.float64)
    )
    frame = single.frame
    allowed = single.unit * (frame.squares + frame.squares.max())
    assert (np.abs(single.found["nearest"] - double.found["nearest"]) <= allowed).all()
    if kind == "gaussian":
        assert single.cdnv == pytest.approx(double.cdnv, rel=1e-6)
        assert single.coherence == pytest.approx(double.coherence, rel=1e-5)


@pytest.mark.parametrize("kind", ["gaussian", "spiky", "sparse", "alike"])
@pytest.mark.parametrize("num_features", [65, 130, 300])
def test_values_that_many_samples_hold_cost_no_digits_of_the_scatter(kind, num_features, rng):
    features = rows_of_kind(kind, 1500, num_features, rng)
    labels = np.arange(1500) % 3
    accumulator = ncfast.Accumulator(3, num_features, scatter=True)
    accumulator.update(features, labels)
    want = ref.scatter(ref.two_pass(features, labels))
    assert np.abs(accumulator.statistics().scatter - want).max() <= 1e-5 * np.diag(want).max()


@pytest.mark.parametrize("spike", [0.0, 1e2, 1e4])
@pytest.mark.parametrize("num_features", [40, 200, 1100])
def test_spiky_samples_are_decided_exactly(spike, num_features, rng):
    """Every sample on the border of two classes but for a little: the spike hides it from products of digits."""
    k, n = 130, 400
    weights = rng.standard_normal((k, num_features))
    weights[:, 5] = 0.01 * rng.standard_normal(k)
    features = rng.standard_normal((n, num_features))
    features[:, 5] = spike * rng.standard_normal(n)
    scores = features @ weights.T
    second, best = np.argsort(scores, axis=1)[:, -2:].T
    apart = weights[best] - weights[second]
    lead = np.take_along_axis(scores, best[:, None], 1) - np.take_along_axis(scores, second[:, None], 1)
    near = 1 - 10.0 ** rng.uniform(-7, -2, n)
    features -= (near * lead[:, 0] / (apart**2).sum(axis=1))[:, None] * apart
    features = features.astype(np.float32)
    rule = rule_of(weights, np.zeros(k))
    exact = features.astype(np.longdouble) @ weights.astype(np.longdouble).T
    np.testing.assert_array_equal(rule.decide(features, np.arange(n)), exact.argmax(axis=1))


@pytest.mark.parametrize("gap", [1e-4, 1e-6, -1e-6, -1e-4])
def test_what_digits_leave_out_is_allowed_for(gap):
    """Entries but the first are small and have the digits 0, 127, 127: most that is left out of a product is theirs."""
    d, k, first, second = 1024, 130, 7, 3
    sample, weights = np.full(d, 127 * 257 * 2.0**-22), np.zeros((k, d))
    sample[0] = weights[second, 0] = 1.0
    weights[first] = sample
    weights[second, 1:] = 2.0**-7
    offsets = np.full(k, -10.0)
    offsets[first] = 0.0
    offsets[second] = sample @ weights[first] - sample @ weights[second] - gap
    rule = rule_of(weights, offsets)
    samples = np.tile(sample, (40, 1)).astype(np.float32)
    assert (rule.decide(samples, np.arange(40)) == (first if gap > 0 else second)).all()


@pytest.mark.parametrize("num_features", [67, 300, 2050])
def test_whole_numbers_of_eight_bits_are_decided_exactly(num_features, rng):
    """Nothing is left out of them: first digits decide alone, and have to be right."""
    k, n = 133, 310
    weights, features = (rng.integers(-127, 128, (m, num_features)).astype(np.float64) for m in (k, n))
    weights[:, 1:] *= rng.choice([-1, 1], k)[:, None] * np.sign(weights[:, 1:])  # of one sign a row: sums are large
    weights[:, 0] = features[:, 0] = 127
    rule = rule_of(weights / 1024, np.zeros(k), points=weights)
    decisions = rule.decide(features.astype(np.float32), np.arange(n))
    np.testing.assert_array_equal(decisions, (features @ weights.T).argmax(axis=1))


@pytest.mark.parametrize("gap", [1e-3, 1e-5, -1e-5, -1e-3])
@pytest.mark.parametrize("whole", ["weights", "sample"])
def test_what_first_digits_leave_out_is_allowed_for(whole, gap):
    """One operand is of whole numbers; all entries of the other but the first are less than half of one."""
    d, k, first, second = 515, 130, 7, 3
    numbers, small = np.full(d, 127.0), np.full(d, 0.49)
    small[0], numbers[0] = 127.0, 0.0
    sample, weights = (small if whole == "weights" else numbers).copy(), np.zeros((k, d))
    weights[first] = numbers if whole == "weights" else small
    score = float(sample @ weights[first])
    # The rival has its whole score from one entry, where nothing is left out.
    weights[second, 0 if whole == "weights" else 1] = score / 127
    offsets = np.full(k, -score)
    offsets[first] = gap * score
    offsets[second] = 0.0
    rule = rule_of(weights / 1024, offsets / 1024, points=weights, constants=offsets)
    decisions = rule.decide(np.tile(sample, (20, 1)).astype(np.float32), np.arange(20))
    assert (decisions == (first if gap > 0 else second)).all()
