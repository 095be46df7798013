"""NC4 of features that come a second time, batch by batch, once the class means are known."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, distributed

from .._classifier import as_classifier
from .._conventions import as_conventions
from .._features import as_features
from .._labels import as_labels, class_indices
from .._rules import Rules
from .._subject import Subject
from ..metrics.variability import no_directions
from ..passes import Decisions, Projection
from ..statistics import ClassStatistics
from ._collected import among_ranks
from .distributed import device_for


class Nearest:
    """Count whether the nearest class mean is the label, and whether it is the decision of the classifier."""

    def __init__(self, stats: ClassStatistics, weights: Tensor, bias: Tensor | None) -> None:
        self._num_classes = stats.num_classes
        head = as_classifier(weights, bias, stats.num_features)
        subject = Subject(stats, head, as_conventions("ncfast", "papyan"))
        dtype = np.float64 if stats.feature_dtype == "float64" else np.float32
        self._projection = Projection(stats, no_directions(stats.num_features), subject.weighting, dtype)
        self._decisions = Decisions(Rules.of(subject, dtype), self._projection)

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Decide rows that are on the host."""
        if not labels.shape[0]:
            return
        source = as_features(features)
        block = source.block(0, source.rows)
        classes = class_indices(as_labels(labels, source.rows), self._num_classes)
        self._decisions.add(block, classes, self._projection.add(block, classes))

    def values(self) -> dict[str, float]:
        """Return the metrics, of all ranks."""
        made = self._decisions
        sums = torch.tensor([made.samples, made.nearest_is_label, made.disagreements], dtype=torch.float64)
        if among_ranks():
            sums = sums.to(device_for(None))
            distributed.all_reduce(sums)
        samples, right, disagreements = sums.tolist()
        return {"nc4_disagreement": disagreements / samples, "ncc_accuracy": right / samples}
