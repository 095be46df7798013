"""One pass over labelled features, in batches of any size."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._choices import as_choice, as_count, as_scatter, require_memory
from ._features import Block, Features, as_features
from ._labels import as_labels, as_num_classes, class_indices
from ._screen import OVERFLOW, screen
from ._statistics_algebra import NOT_GIVEN
from ._weights import Batch, Float, as_sample_weights, leave_out, require_range
from .statistics import ClassStatistics

_ARRAYS = ("counts", "pivots", "sums", "squares", "pooled", "class_pooled", "masses")
_CACHED_BYTES = 16 << 20
"""A batch of this size stays in cache between checking and adding it."""


class Accumulator:
    """Collect the class statistics of features that arrive in batches.

    Deviations are taken from a pivot per class that lies near its mean, and the difference between pivot
    and mean is settled in float64 at the end: one pass, and still right when the spread within classes is
    a millionth of the distance between them. Sums are float64 whatever the features are.

    Parameters
    ----------
    num_classes : int
        K, at least 2. Classes may appear late or never.
    num_features : int
        d, at least 1.
    scatter : bool or "class", default True
        Whether to collect the pooled within-class scatter, d * d float64 values, which `metrics.nc1_pinv`
        needs. Its cost is N * d^2 multiplications. With ``"class"`` each class has a scatter of its own,
        8 * K * d^2 bytes in all: then classes can be selected and weighed afterwards, and
        `metrics.class_numerical_rank_statistics` needs no features.
    precision : {"feature", "double"}, default "feature"
        Arithmetic of the products within a block of rows: that of the features (half precision: float32),
        or float64. Blocks are added in float64 either way.
    nonfinite : {"raise", "skip"}, default "raise"
        Whether a row that holds NaN or infinity is an error or is left out and counted.

    Notes
    -----
    Updates from several Python threads are safe and take turns; accumulators of their own, merged at the
    end, are faster. Results have the same bits for any number of threads.
    """

    def __init__(
        self,
        num_classes: int,
        num_features: int,
        *,
        scatter: bool | str = True,
        precision: str = "feature",
        nonfinite: str = "raise",
    ) -> None:
        k = as_num_classes(num_classes)
        d = as_count("num_features", num_features, 1)
        self.precision = as_choice("precision", precision)
        self.nonfinite = as_choice("nonfinite", nonfinite)
        self.skipped_rows = 0
        self._counts = np.zeros(k, dtype=np.int64)
        self._pivots = np.zeros((k, d))
        self._sums = np.zeros((k, d))
        self._squares = np.zeros(k)
        kind = as_scatter(scatter)
        if kind == "class":
            require_memory(k, d)
        self._pooled = np.zeros((d, d)) if kind is True else None
        self._class_pooled = np.zeros((k, d, d)) if kind == "class" else None
        self._masses: Float | None = None  # sums of weights, once there are any
        self._dtype: str | None = None
        self._lock = threading.Lock()

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self._pivots.shape[0])

    @property
    def num_features(self) -> int:
        """D."""
        return int(self._pivots.shape[1])

    @property
    def num_samples(self) -> int:
        """Rows accumulated so far."""
        return int(self._counts.sum())

    @property
    def nbytes(self) -> int:
        """Bytes of state: 8 * (2 K d + 2 K), 8 * K more with weights, 8 * d^2 or 8 * K d^2 more with a scatter."""
        arrays = (*self._small_state(), self._masses, self._pooled, self._class_pooled)
        return sum(array.nbytes for array in arrays if array is not None)

    def update(self, features: object, labels: object, sample_weights: object = None) -> None:
        """Add a batch.

        Parameters
        ----------
        features : array_like, shape (n, d)
            float16, bfloat16, float32 or float64; numpy, memmap, torch on the CPU, or anything with the
            array interface, the buffer protocol or DLPack. n may be 0.
        labels : array_like of int, shape (n,)
            Class of each row, in [0, K).
        sample_weights : array_like of float, shape (n,), optional
            How many times each row counts: 0, which leaves it out, or a number in [1e-100, 1e100]; 1 by
            default. Batches with and without may be mixed.

        Raises
        ------
        ValueError, TypeError
            On input that does not fit, naming the argument. Nothing of the batch is added then.
        """
        source = as_features(features, self.num_features)
        classes = class_indices(as_labels(labels, source.rows), self.num_classes)
        weights = as_sample_weights(sample_weights, source.rows)
        batch = Batch(source, leave_out(classes, weights), weights)
        if self._may_check_late and source.nbytes > max(_CACHED_BYTES, 8 * self.nbytes):
            self._update_then_check(batch)
        else:
            self._check_then_update(batch)

    def rows_at_once(self, block_rows: int) -> int:
        """Where classes are many, blocks grow so that each class has several rows in one."""
        return max(block_rows, 32 * self.num_classes)

    def add_block(
        self, source: Features, start: int, stop: int, classes: NDArray[np.int64], weights: Float | None = None
    ) -> None:
        """Add rows [start, stop) of a checked source; the accumulator is of no more use if that raises.

        `classes` and `weights` are those of these rows; rows of weight 0 are labelled `SKIPPED`.
        """
        block = source.block(start, stop)
        if not self._may_check_late:
            self._add(block, classes, self._checked(block, classes, weights, start), weights, source.dtype)
            return
        self._add(block, classes, classes, weights, source.dtype)
        if not self._is_finite:
            screen(block, classes, self.nonfinite, start)
            raise ValueError(OVERFLOW)

    @property
    def _may_check_late(self) -> bool:
        """Whether a NaN, which shows in the squares, may be looked for after it was added.

        That spares large batches a reading of their own; a scatter costs so much more that it would not show.
        """
        return self._pooled is None and self._class_pooled is None and self.nonfinite == "raise"

    @property
    def _is_finite(self) -> bool:
        return bool(np.isfinite(self._squares).all())

    def _small_state(self) -> tuple[NDArray[Any], ...]:
        return (self._counts, self._pivots, self._sums, self._squares)

    def _checked(
        self, block: Block, classes: NDArray[np.int64], weights: Float | None, start: int
    ) -> NDArray[np.int64]:
        """Labels of the rows to add, once it is certain that they can be."""
        kept = screen(block, classes, self.nonfinite, start)
        if weights is not None:
            require_range(block, kept, weights)
        return kept

    def _check_then_update(self, batch: Batch) -> None:
        """Check everything before anything is added, so that a batch counts wholly or not at all."""
        ranges = list(batch.source.ranges(self.rows_at_once(batch.source.block_rows())))
        only = batch.source.block(*ranges[0]) if len(ranges) == 1 else None

        def block(start: int, stop: int) -> Block:
            return batch.source.block(start, stop) if only is None else only

        checked = [self._checked(block(*part), *batch.part(*part), part[0]) for part in ranges]
        with self._lock:
            for part, kept in zip(ranges, checked, strict=True):
                classes, weights = batch.part(*part)
                self._add(block(*part), classes, kept, weights, batch.source.dtype)

    def _update_then_check(self, batch: Batch) -> None:
        """Add a batch that is large against the state, and put the state back if it held NaN or infinity."""
        ranges = list(batch.source.ranges(self.rows_at_once(batch.source.block_rows())))
        with self._lock:
            # A fresh state is all zero: nothing to keep.
            state = self._small_state()
            before = [array.copy() if self.num_samples else np.zeros((), array.dtype) for array in state]
            masses = None if self._masses is None else self._masses.copy()
            dtype = self._dtype
            try:
                for part in ranges:
                    classes, weights = batch.part(*part)
                    self._add(batch.source.block(*part), classes, classes, weights, batch.source.dtype)
                if not self._is_finite:
                    for start, stop in ranges:
                        screen(batch.source.block(start, stop), batch.part(start, stop)[0], self.nonfinite, start)
                    raise ValueError(OVERFLOW)
            except BaseException:
                for array, saved in zip(state, before, strict=True):
                    array[...] = saved
                self._masses, self._dtype = masses, dtype
                raise

    def _add(
        self,
        block: Block,
        classes: NDArray[np.int64],
        kept: NDArray[np.int64],
        weights: Float | None,
        dtype: str,
    ) -> None:
        """Add a block; `kept` are its labels with those of rows that cannot be used replaced by `SKIPPED`."""
        if weights is not None and self._masses is None:
            self._masses = self._counts.astype(np.float64)
        _core.accumulate(
            block,
            kept,
            weights,
            self._counts,
            self._masses,
            self._pivots,
            self._sums,
            self._squares,
            self._pooled,
            self._class_pooled,
            self.precision == "double",
        )
        if kept is not classes:
            self.skipped_rows += int(np.count_nonzero(kept != classes))
        self._dtype = dtype if self._dtype in (None, dtype) else "mixed"

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything it holds, for `restore` to go on from with the same bits; the arrays are its own."""
        arrays = {name: getattr(self, f"_{name}") for name in _ARRAYS}
        state = {name: array for name, array in arrays.items() if array is not None}
        return {**state, "skipped_rows": np.array(self.skipped_rows), "dtype": np.array(self._dtype or "")}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Hold what the `state` of another one of the same arguments held; its arrays become ours."""
        with self._lock:
            for name in _ARRAYS:
                setattr(self, f"_{name}", state.get(name))
            self.skipped_rows, self._dtype = int(state["skipped_rows"]), str(state["dtype"]) or None

    def statistics(self) -> ClassStatistics:
        """Return what has been accumulated so far, as a value of its own."""
        with self._lock:
            return self._as_statistics(*(array.copy() for array in self._small_state()))

    def hand_over(self) -> ClassStatistics:
        """Return what `statistics` does without copying it; the accumulator is of no more use then."""
        return self._as_statistics(*self._small_state())

    def _as_statistics(self, counts: NDArray[Any], pivots: Float, sums: Float, squares: Float) -> ClassStatistics:
        by_class, masses = self._class_pooled, self._masses
        return ClassStatistics(
            counts=counts if masses is None else masses.copy(),
            pivots=pivots,
            sums=sums,
            square_sums=squares,
            pooled=None if self._pooled is None else _core.mirror(self._pooled),
            feature_dtype=self._dtype,
            class_pooled=None if by_class is None else np.stack([_core.mirror(lower) for lower in by_class]),
            rows=NOT_GIVEN if masses is None else counts,
        )
