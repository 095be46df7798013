"""Comparisons of package results with the oracle."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

import ncfast
import reference as ref
from data import batches

Array = npt.NDArray[Any]

# What the default precision promises for statistics of float32 or narrower features,
# and for float64 features.
SINGLE, DOUBLE = 1e-5, 1e-10
UNIT = 2.0**-53


def tolerance(dtype: Any) -> float:
    return DOUBLE if np.dtype(dtype) == np.float64 else SINGLE


def assert_close(got: float, want: float, rtol: float, atol: float = 0.0, what: str = "") -> None:
    """Like approx, but equal infinities pass and nan never does."""
    if np.isinf(want):
        assert got == want, f"{what}: got {got}, want {want}"
        return
    error = abs(float(got) - float(want))
    bound = rtol * abs(float(want)) + atol
    assert error <= bound, f"{what}: got {got!r}, want {want!r}, error {error:.3g} > {bound:.3g}"


def frobenius_error(got: Array, want: Array) -> float:
    """Relative Frobenius distance; an exact zero has to be met exactly."""
    size = float(np.abs(want).max())
    if size == 0:
        return 0.0 if not np.any(got) else np.inf
    return float(np.linalg.norm((got - want) / size) / np.linalg.norm(want / size))


def assert_statistics(
    stats: Any, features: Any, labels: Any, num_classes: int, rtol: float, *, scatter: bool = True
) -> None:
    """Every derived quantity of `stats` against two passes over the same numbers."""
    m = ref.two_pass(features, labels)
    counts = np.bincount(np.asarray(labels).astype(np.int64), minlength=num_classes)
    assert stats.counts.dtype == np.int64
    np.testing.assert_array_equal(stats.counts, counts)
    np.testing.assert_array_equal(stats.present, counts > 0)
    assert stats.missing_classes == tuple(np.flatnonzero(counts == 0).tolist())
    assert stats.num_samples == len(features)
    assert (stats.num_classes, stats.num_features) == (num_classes, m.num_features)

    assert stats.means.dtype == np.float64
    assert np.isnan(stats.means[counts == 0]).all()
    squares = ref.squared_deviations(m)
    error = np.abs(stats.means[m.classes] - m.means.astype(np.float64))
    # A mean may be off by a small part of the class's own spread and by its own rounding.
    slack = rtol * np.sqrt(squares / m.counts)[:, None] + 4 * UNIT * np.abs(m.means)
    assert (error <= slack).all(), f"means off by up to {(error - slack).max():.3g} too much"

    assert (stats.squared_deviations[counts == 0] == 0).all()
    np.testing.assert_allclose(stats.squared_deviations[m.classes], squares, rtol=rtol, atol=0)
    if scatter:
        assert stats.scatter.shape == (m.num_features, m.num_features)
        np.testing.assert_array_equal(stats.scatter, stats.scatter.T)
        assert frobenius_error(stats.scatter, ref.scatter(m)) <= rtol


def accumulate(features: Array, labels: Array, num_classes: int, size: int | None = None, **options: Any) -> Any:
    """Class statistics by updates of `size` rows each."""
    acc = ncfast.Accumulator(num_classes, features.shape[1], **options)
    for part in batches(len(features), size):
        acc.update(features[part], labels[part])
    return acc.statistics()


def variability(moments: ref.Moments, weighting: str = "papyan") -> dict[str, float]:
    """NC1 in each of its forms, and CDNV."""
    return {
        "nc1_pinv": ref.nc1_pinv(moments, weighting),
        "nc1_trace_ratio": ref.nc1_trace_ratio(moments, weighting),
        "cdnv": ref.cdnv(moments),
    }


def assert_variability(report: Any, want: dict[str, float], rtol: float, what: str) -> None:
    """Those of the values that the report has."""
    assert "cdnv" in report
    for key, value in want.items():
        if key in report:
            assert report[key] >= 0, (key, what)
            assert_close(report[key], value, rtol, what=f"{key}, {what}")


def shares(
    features: Array, labels: Array, num_classes: int, weights: Any = None, bias: Any = None, **options: Any
) -> tuple[int, int]:
    """How many samples are nearest to their own class mean, and for how many NC4 fails."""
    report = ncfast.measure(features, labels, weights=weights, bias=bias, num_classes=num_classes, **options)
    n = len(features)
    right = report["ncc_accuracy"] * n
    apart = report["nc4_disagreement"] * n if weights is not None else 0.0
    assert abs(right - round(right)) < 1e-6
    assert abs(apart - round(apart)) < 1e-6
    return round(right), round(apart)


def state(acc: Any) -> tuple[Any, ...]:
    """Everything an accumulator shows, as bytes that can be compared exactly."""
    stats = acc.statistics()
    arrays = (stats.counts, stats.rows, stats.pivots, stats.sums, stats.square_sums, stats.pooled, stats.class_pooled)
    return (
        acc.num_samples,
        acc.skipped_rows,
        stats.feature_dtype,
        *(None if a is None else np.asarray(a).tobytes() for a in arrays),
    )


@contextmanager
def degenerate(cause: str) -> Iterator[None]:
    """Demand a RuntimeWarning that names the cause; others of the package's own may come with it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    texts = [str(warning.message) for warning in caught]
    assert any(cause in text for text in texts), f"no warning names {cause!r}: {texts}"
    for warning, text in zip(caught, texts, strict=True):
        assert issubclass(warning.category, RuntimeWarning), text
        assert "encountered in" not in text, f"numpy's own words reached the user: {text}"
