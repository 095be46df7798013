"""Which classes have not collapsed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ._subject import Subject

Float = NDArray[np.float64]

STANDS_OUT = 10.0
OWN_CDNV = 0.1
OWN_MISSES = 0.01
_TINY = 1e-300


def uncollapsed_classes(subject: Subject, keys: Iterable[str], misses: Float | None) -> tuple[int, ...]:
    """Return the labels of classes that have not collapsed, by any of three signs.

    A class is named when its mean squared deviation is more than ten times that of the median class; when that is more
    than 0.1 of its squared distances to the other means (the mean over them of ``v_k / ||mu_k - mu_l||^2``, which is
    its own share in CDNV), its spread about a third of those distances; or when more than 1 % of its samples are nearer
    to the mean of another class. The second is known if ``cdnv`` is among the `keys` of the report, the third if
    `misses` (K,) holds that share for each class.
    """
    present = subject.stats.present
    named = subject.variances > STANDS_OUT * np.median(subject.variances)
    if "cdnv" in keys:
        named |= subject.inverse_squared_distances > OWN_CDNV / np.maximum(subject.variances, _TINY)
    if misses is not None:
        named |= misses[present] > OWN_MISSES
    return tuple(int(label) for label in subject.stats.labels[present][named])
