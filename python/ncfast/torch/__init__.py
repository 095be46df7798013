"""Neural collapse measured where training happens: any torch device, any number of ranks.

`Accumulator` collects class statistics on the device of the features without waiting for it;
`all_reduce` merges those of the ranks of a process group; `NeuralCollapse` is both as a ``torchmetrics.Metric``;
`sweep_pairs` and `decide` are the large comparisons of frames and samples, on the device.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError('ncfast.torch needs torch: pip install "ncfast[torch]"') from error

if TYPE_CHECKING:
    from ._sharding import full_head, local_rows
    from .accumulator import Accumulator
    from .distributed import all_reduce, join_classes, sampler_mask
    from .metric import NeuralCollapse

__all__ = [
    "Accumulator",
    "NeuralCollapse",
    "all_reduce",
    "full_head",
    "join_classes",
    "local_rows",
    "sampler_mask",
]

# Where each name lives: imported when first asked for, as in `ncfast` itself.
_HOMES = {
    "_sharding": ("full_head", "local_rows"),
    "accumulator": ("Accumulator",),
    "distributed": ("all_reduce", "join_classes", "sampler_mask"),
    "metric": ("NeuralCollapse",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
