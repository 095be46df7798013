"""Which classes have not collapsed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .statistics import ClassStatistics

Float = NDArray[np.float64]

STANDS_OUT = 10.0
OWN_CDNV = 0.1
OWN_MISSES = 0.01


def uncollapsed_classes(stats: ClassStatistics, cdnv_per_class: Float | None, misses: Float | None) -> tuple[int, ...]:
    """Return the labels of classes that have not collapsed, by any of three signs.

    A class is named when its mean squared deviation is more than ten times that of the median class; when its own CDNV,
    the mean over its pairs with the other classes, is above 0.1, its spread more than about a third of those distances;
    or when more than 1 % of its samples are nearer to the mean of another class. The last two as far as the measurement
    has them: `misses` holds that share for each class.
    """
    variances = stats.squared_deviations / np.where(stats.present, stats.counts, 1)
    named = variances > STANDS_OUT * np.median(variances[stats.present])
    for values, limit in ((cdnv_per_class, OWN_CDNV), (misses, OWN_MISSES)):
        if values is not None:
            named |= np.nan_to_num(values) > limit
    return tuple(int(label) for label in stats.labels[named & stats.present])
