"""Labelled features as a measurement reads them: all or some of their classes, each sample counted as it weighs."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checkpoint import Checkpoint
from ._choices import as_choice
from ._classifier import Classifier, as_classifier, class_count
from ._features import Features, as_features
from ._labels import as_class_list, as_labels, class_indices, positions_of
from ._screen import screen
from ._source import FeatureFile
from ._weights import as_sample_weights, leave_out
from .accumulate import Accumulator
from .statistics import ClassStatistics

Float = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """Checked features with labels and weights; labels are checked as they are read.

    `chosen` are the labels of the classes that count, None for all in [0, num_classes).
    """

    source: Features
    labels: NDArray[np.integer[Any]]
    num_classes: int
    nonfinite: str
    chosen: Int | None
    weights: Float | None

    def among(self, num_classes: int, chosen: Int | None = None) -> Labelled:
        """Return the same samples, of so many classes or of the chosen ones."""
        return replace(self, num_classes=num_classes, chosen=chosen)

    def part(self, start: int, stop: int) -> tuple[Int, Float | None]:
        """Return classes and weights of rows; `SKIPPED` where a row is left out by its class or weight."""
        labels = self.labels[start:stop]
        weights = None if self.weights is None else self.weights[start:stop]
        if self.chosen is None:
            return leave_out(class_indices(labels, self.num_classes, start), weights), weights
        return leave_out(positions_of(labels, self.chosen), weights), weights

    def usable(self, start: int, stop: int) -> tuple[Int, Float | None]:
        """Return the same of rows that a first reading has accepted, without those it skipped."""
        classes, weights = self.part(start, stop)
        if self.nonfinite == "skip":
            classes = screen(self.source.block(start, stop), classes, "skip", start)
        return classes, weights

    def all_usable(self) -> tuple[Int, Float | None]:
        """Return the same of all rows."""
        parts = [self.usable(*part)[0] for part in self.source.ranges(self.source.block_rows())]
        return np.concatenate(parts), self.weights

    def collect(
        self, block_rows: int, *, scatter: bool | str, precision: str, checkpoint: Checkpoint | None = None
    ) -> Generator[int, None, tuple[ClassStatistics, int]]:
        """Read the features once, yielding rows read; return statistics and how many rows were skipped."""
        accumulator = Accumulator(
            self.num_classes, self.source.cols, scatter=scatter, precision=precision, nonfinite=self.nonfinite
        )
        first = 0 if checkpoint is None else checkpoint.restore("statistics", accumulator)
        yield first
        for start, stop in self.source.ranges(accumulator.rows_at_once(block_rows), first):
            accumulator.add_block(self.source, start, stop, *self.part(start, stop))
            if checkpoint is not None:
                checkpoint.keep("statistics", stop, accumulator)
            yield stop - start
        stats = accumulator.hand_over()
        return (stats if self.chosen is None else replace(stats, chosen=self.chosen)), accumulator.skipped_rows


def as_samples(
    features: object, labels: object, sample_weights: object, nonfinite: str, num_features: int | None = None
) -> Labelled:
    """Check features, labels and weights; how many classes there are is not known yet."""
    if labels is None and isinstance(features, FeatureFile):
        labels = features.labels
    if labels is None:
        raise TypeError("labels is missing; wanted one integer per row of features, or features opened with theirs")
    source = as_features(features, num_features)
    if source.rows == 0:
        raise ValueError(f"features has shape {source.shape}; wanted at least one sample")
    rows = source.rows
    weights = as_sample_weights(sample_weights, rows)
    return Labelled(source, as_labels(labels, rows), 0, as_choice("nonfinite", nonfinite), None, weights)


def with_head(
    samples: Labelled,
    weights: ArrayLike | None,
    bias: ArrayLike | None,
    num_classes: int | None,
    classes: ArrayLike | None,
) -> tuple[Labelled, Classifier]:
    """Check the classifier and the classes; with `classes` both are cut down to those."""
    head = as_classifier(weights, bias, samples.source.cols)
    if classes is None:
        return samples.among(class_count(num_classes, head, samples.labels)), head
    chosen = as_class_list(classes)
    if chosen.size < 2:
        raise ValueError(f"classes has shape {chosen.shape}; wanted at least two: neural collapse compares classes")
    if num_classes is not None or head.weights is not None:
        k = class_count(num_classes, head, None)
        if chosen.max() >= k:
            raise ValueError(f"classes holds {chosen.max()}; wanted class labels in [0, {k})")
    return samples.among(chosen.size, chosen), head.of(chosen)
