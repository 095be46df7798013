"""Neural collapse, measured fast and right.

`measure` turns labelled features and a linear classifier into a `Report` of NC1 to NC4;
`Accumulator` collects `ClassStatistics` batch by batch, which merge, save and feed `measure_statistics`;
`measure_against` measures samples about the class means of others, `measure_layers` several layers side by side;
`metrics` holds each metric as a plain function.
"""

from . import metrics
from ._runtime import get_num_threads, info, set_num_threads
from ._version import __version__
from .accumulate import Accumulator
from .against import measure_against
from .layers import LayerReports, measure_layers
from .measure import measure, measure_statistics
from .report import Report
from .statistics import ClassStatistics

__all__ = [
    "Accumulator",
    "ClassStatistics",
    "LayerReports",
    "Report",
    "__version__",
    "get_num_threads",
    "info",
    "measure",
    "measure_against",
    "measure_layers",
    "measure_statistics",
    "metrics",
    "set_num_threads",
]
