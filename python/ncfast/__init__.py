"""Neural collapse, measured fast and right.

`measure` turns labelled features and a linear classifier into a `Report` of NC1 to NC4;
`Accumulator` collects `ClassStatistics` batch by batch, which merge, save and feed `measure_statistics`;
`open_features` opens files larger than memory;
`measure_against` measures samples about the class means of others, `measure_layers` several layers side by side;
`metrics` holds each metric as a plain function, `ufm` the unconstrained-features models that explain them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from . import metrics, ufm
    from ._against import measure_against
    from ._layers import LayerReports, measure_layers
    from ._measure import measure, measure_statistics
    from ._runtime import get_num_threads, info, set_num_threads
    from .accumulate import Accumulator
    from .report import Report
    from .sources import open_features
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
    "open_features",
    "set_num_threads",
    "ufm",
]

# Where each name lives: imported when first asked for, so that a program pays for what it uses.
_HOMES = {
    "_against": ("measure_against",),
    "_layers": ("LayerReports", "measure_layers"),
    "_measure": ("measure", "measure_statistics"),
    "_runtime": ("get_num_threads", "info", "set_num_threads"),
    "accumulate": ("Accumulator",),
    "metrics": ("metrics",),
    "report": ("Report",),
    "sources": ("open_features",),
    "statistics": ("ClassStatistics",),
    "ufm": ("ufm",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            module = import_module(f".{home}", __name__)
            value = globals()[name] = module if name == home else getattr(module, name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
