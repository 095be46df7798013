"""The value everything meets at: what is known of each class, small and mergeable."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core, _statistics_algebra, _statistics_file
from ._statistics_algebra import NOT_GIVEN

Float = NDArray[np.float64]
Int = NDArray[np.int64]
_UNFELT = 2.0**-60
_LAST_BITS = 2.0**-104


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """Additive statistics of K classes of d-dimensional features, about a pivot near each class mean.

    Attributes
    ----------
    counts : ndarray of int64, or of float64 with sample weights, shape (K,)
        What each class counts, ``n_k``: its samples, or the sum ``sum_i w_i`` of their weights. A sample of
        weight w is to every metric what w samples are.
    pivots : ndarray of float64, shape (K, d)
        A point ``a_k`` near the mean of each class; zero for a class without samples.
    sums : ndarray of float64, shape (K, d)
        ``sum_i w_i (h_i - a_k)`` over the samples of class k.
    square_sums : ndarray of float64, shape (K,)
        ``sum_i w_i ||h_i - a_k||^2``.
    pooled : ndarray of float64, shape (d, d), or None
        ``sum_i w_i (h_i - a_y)(h_i - a_y)^T`` over all samples, if collected.
    feature_dtype : str or None
        dtype the features were stored in; "mixed" for several, None before any sample.
    class_pooled : ndarray of float64, shape (K, d, d), or None
        The same by class, if collected; `pooled` is its sum.
    rows : ndarray of int64, shape (K,)
        Rows per class, whatever they weigh; `counts` itself without weights.
    chosen : ndarray of int64, shape (K,), or None
        Labels of the classes if they were selected from others, see `select`.

    Notes
    -----
    Sums about a pivot merge as raw moments do, and keep the digits that raw moments lose when the spread
    is small against the mean.
    """

    counts: Int | Float
    pivots: Float
    sums: Float
    square_sums: Float
    pooled: Float | None = None
    feature_dtype: str | None = None
    class_pooled: Float | None = None
    rows: Int = field(default_factory=lambda: NOT_GIVEN)
    chosen: Int | None = None

    def __post_init__(self) -> None:
        if self.rows.size == 0:
            object.__setattr__(self, "rows", self.counts)
        if self.class_pooled is not None and self.pooled is None:
            object.__setattr__(self, "pooled", self.class_pooled.sum(axis=0))
        arrays = (self.counts, self.pivots, self.sums, self.square_sums, self.pooled, self.class_pooled)
        for array in (*arrays, self.rows, self.chosen):
            if array is not None:
                array.setflags(write=False)

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.pivots.shape[0])

    @property
    def num_features(self) -> int:
        """D."""
        return int(self.pivots.shape[1])

    @property
    def num_samples(self) -> float:
        """N, what all classes count together: an int, or with sample weights the float sum of them."""
        total: float = self.counts.sum().item()
        return total

    @property
    def num_rows(self) -> int:
        """Rows of all classes, whatever they weigh."""
        return int(self.rows.sum())

    @property
    def weighted(self) -> bool:
        """Whether sample weights were given."""
        return self.rows is not self.counts

    @property
    def labels(self) -> Int:
        """Label of each class, shape (K,): 0 to K-1, unless classes were selected."""
        return np.arange(self.num_classes) if self.chosen is None else self.chosen

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which classes have samples, shape (K,)."""
        return self.counts > 0

    @property
    def missing_classes(self) -> tuple[int, ...]:
        """Labels of the classes without samples."""
        return tuple(int(label) for label in self.labels[~self.present])

    @cached_property
    def means(self) -> Float:
        """Class means ``mu_k``, shape (K, d); NaN rows for classes without samples."""
        if self._pivots_are_means:
            means = self.pivots.view()
        else:
            means = self.mean_offsets  # a new array
            means += self.pivots
            means[~self.present] = np.nan
        means.setflags(write=False)
        return means

    @cached_property
    def _pivots_are_means(self) -> bool:
        """Whether adding the offsets would change nothing but the last bits."""
        if not self.present.all():
            return False
        return bool((self._explained / self.counts <= _LAST_BITS * self._pivot_squares).all())

    @cached_property
    def _pivot_squares(self) -> Float:
        return _core.row_products(self.pivots, self.pivots)

    @cached_property
    def mean_squares(self) -> Float:
        """Squared lengths of the class means with samples, shape (K',)."""
        if self._pivots_are_means:
            return self._pivot_squares
        return _core.row_products(self.present_means, self.present_means)

    @cached_property
    def present_means(self) -> Float:
        """Class means of the classes with samples, shape (K', d)."""
        return self.means if self.present.all() else self.means[self.present]

    @cached_property
    def longest_mean(self) -> float:
        """Length of the longest class mean."""
        return float(np.sqrt(self.mean_squares.max()))

    @cached_property
    def squared_deviations(self) -> Float:
        """Per class ``sum_i w_i ||h_i - mu_k||^2``, shape (K,)."""
        about_means: Float = self.square_sums - self._explained
        # Both terms are sums of squares: below zero lies rounding alone.
        np.maximum(about_means, 0.0, out=about_means)
        about_means.setflags(write=False)
        return about_means

    @cached_property
    def scatter(self) -> Float:
        """Pooled within-class scatter ``sum_i w_i (h_i - mu_y)(h_i - mu_y)^T``, shape (d, d).

        Raises
        ------
        ValueError
            If the scatter was not collected.
        """
        if self.pooled is None:
            raise ValueError("scatter was not collected; use Accumulator(..., scatter=True)")
        lower = self.pooled
        # Most pivots are means but for rounding: what that explains is less than the scatter resolves.
        felt = self._explained > _UNFELT * float(self.square_sums.mean())
        if felt.any():
            lower = lower.copy()
            _core.rank_update(self.sums[felt], -1.0, lower, 1.0 / np.sqrt(self._divisors[felt]))
        scatter = _core.mirror(np.ascontiguousarray(lower))
        scatter.setflags(write=False)
        return scatter

    def class_scatter(self, index: int) -> Float:
        """Scatter ``sum_i w_i (h_i - mu_k)(h_i - mu_k)^T`` of the class at this position, shape (d, d).

        Raises
        ------
        ValueError
            If scatters were not collected by class.
        """
        if self.class_pooled is None:
            raise ValueError("scatters were not collected by class; use Accumulator(..., scatter='class')")
        root = self.sums[index] / np.sqrt(self._divisors[index])
        scatter: Float = self.class_pooled[index] - np.multiply.outer(root, root)
        return scatter

    @cached_property
    def _explained(self) -> Float:
        """What of `square_sums` the distance of the pivots to the means explains, shape (K,)."""
        explained: Float = _core.row_products(self.sums, self.sums) / self._divisors
        return explained

    @property
    def _divisors(self) -> Float:
        """Counts, 1 for classes without samples."""
        return np.where(self.present, self.counts, 1.0)

    @property
    def mean_offsets(self) -> Float:
        """``mu_k - a_k``; zero for classes without samples."""
        offsets: Float = self.sums / self._divisors[:, None]
        return offsets

    def merge(self, other: ClassStatistics) -> ClassStatistics:
        """Return the statistics of both sets of samples together.

        Counts of samples are exact; the rest depends on the order of merging by rounding alone.

        Parameters
        ----------
        other : ClassStatistics
            Of the same classes and features, and with a scatter of the same kind.

        Raises
        ------
        ValueError
            If the two do not match.
        """
        return _statistics_algebra.merge(self, other)

    def select(self, classes: ArrayLike, *, scatter: bool = True) -> ClassStatistics:
        """Return the statistics of some classes, which become classes 0, 1, ... in the order given.

        Parameters
        ----------
        classes : array_like of int
            Labels, at least one, none twice; `labels` of the result.
        scatter : bool, default True
            Whether to keep the scatter.

        Raises
        ------
        ValueError
            For a label these statistics do not have, or if there is a pooled scatter to keep: it cannot be
            split by class once samples of a class that is left out are in it.
        """
        return _statistics_algebra.select(self, classes, scatter=scatter)

    def reweighted(self, factors: ArrayLike) -> ClassStatistics:
        """Return the statistics in which each sample of class k counts ``factors[k]`` times what it did.

        Parameters
        ----------
        factors : array_like of float, shape (K,)
            Positive and finite.

        Raises
        ------
        ValueError
            If factors differ and there is a pooled scatter, which cannot be split by class.
        """
        return _statistics_algebra.reweight(self, factors)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to one ``.npz`` file, whole or not at all.

        The file appears under its name only once it is complete and on disk; a file of that name that was
        there before stays until then.
        """
        _statistics_file.save(
            path,
            {
                "counts": self.counts,
                "pivots": self.pivots,
                "sums": self.sums,
                "square_sums": self.square_sums,
                "pooled": self.pooled if self.class_pooled is None else None,
                "class_pooled": self.class_pooled,
                "rows": self.rows if self.weighted else None,
                "chosen": self.chosen,
            },
            self.feature_dtype,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ClassStatistics:
        """Read what `save` wrote, in this version or an earlier one.

        Raises
        ------
        ValueError
            If the file is damaged, is no statistics file, or was written by a newer version; the message
            names it.
        OSError
            If it cannot be opened.
        """
        arrays, feature_dtype = _statistics_file.load(path)
        return cls(**arrays, feature_dtype=feature_dtype)
