"""Both decisions of NC4 as rules, and how far from each class mean they are known without computing anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._companion import Companion, companion_of
from ._subject import Subject
from .decisions import AffineRule, Certificate, certify, certify_nearest, linear_rule, nearest_mean_rule
from .statistics import ClassStatistics

_FEW = 0.05
_WITHIN = 1.25


@dataclass(frozen=True, eq=False)
class Rules:
    """Nearest class mean, and the classifier if there is one, told through the class means where it is aligned."""

    stats: ClassStatistics
    nearest: AffineRule
    nearest_certificate: Certificate
    linear: AffineRule | None
    linear_certificate: Certificate
    companion: Companion | None

    @classmethod
    def of(cls, subject: Subject, dtype: type[np.floating[Any]]) -> Rules:
        """Certify both rules: from the sweep over the means, and if that says little of the classifier, by itself."""
        stats, head = subject.stats, subject.head
        nearest = nearest_mean_rule(stats, subject.scaled_means, subject.centre, dtype)
        linear, companion = None, None
        if head.weights is not None:
            bias = np.zeros(head.weights.shape[0]) if head.bias is None else head.bias
            pair = subject.weights_and_means
            norms = pair.w.lengths if pair.w.rows is head.weights else None
            linear = linear_rule(head.weights, bias, nearest, norms)
            companion = companion_of(nearest, linear, pair)
        rivals = None if companion is None else companion.rivals(stats.present, subject.scaled_means.scale)
        pairs = subject.sweep_means(rivals)
        of_nearest = certify_nearest(stats, pairs)
        of_linear = Certificate(np.arange(stats.num_classes), np.zeros(stats.num_classes))
        if companion is not None:
            of_linear = companion.certificate(stats.present, pairs)
        if linear is not None:
            is_open = _open_share(stats, of_linear)
            # Judging each class against all others pays if it spares many more samples the same.
            if is_open > 2 * _open_share(stats, of_nearest) and is_open * stats.num_rows > stats.num_classes:
                of_linear = certify(linear, stats)
        return cls(stats, nearest, of_nearest, linear, of_linear, companion)

    @property
    def leaves_many_open(self) -> bool:
        """Whether the nearest mean will have to be searched for many samples."""
        return _open_share(self.stats, self.nearest_certificate) > _FEW


def _open_share(stats: ClassStatistics, certificate: Certificate) -> float:
    """Guess which share of the samples a certificate leaves open: those of classes whose spread reaches beyond it."""
    counts = np.maximum(stats.counts, 1)
    wide = np.sqrt(stats.squared_deviations / counts) * _WITHIN > certificate.radii
    return float(stats.counts[wide].sum()) / stats.num_samples
