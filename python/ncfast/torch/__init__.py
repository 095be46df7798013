"""Neural collapse measured where training happens: any torch device, any number of ranks.

`Accumulator` collects class statistics on the device of the features without waiting for it;
`all_reduce` merges those of the ranks of a process group; `NeuralCollapse` is both as a ``torchmetrics.Metric``;
`sweep_pairs` and `Decisions` are the large comparisons of frames and samples, on the device.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError('ncfast.torch needs torch: pip install "ncfast[torch]"') from error

if TYPE_CHECKING:
    from ._measure_model import measure_model, measure_model_layers
    from ._sharding import full_head, local_rows
    from ._watch import Watch, watch
    from .accumulator import Accumulator
    from .decisions import Decisions
    from .distributed import all_reduce, join_classes, sampler_mask
    from .lightning import LightningCallback
    from .metric import NeuralCollapse
    from .pairs import sweep_pairs
    from .transformers import TransformersCallback

__all__ = [
    "Accumulator",
    "Decisions",
    "LightningCallback",
    "NeuralCollapse",
    "TransformersCallback",
    "Watch",
    "all_reduce",
    "full_head",
    "join_classes",
    "local_rows",
    "measure_model",
    "measure_model_layers",
    "sampler_mask",
    "sweep_pairs",
    "watch",
]

# Where each name lives: imported when first asked for, as in `ncfast` itself.
_HOMES = {
    "_measure_model": ("measure_model", "measure_model_layers"),
    "_sharding": ("full_head", "local_rows"),
    "_watch": ("Watch", "watch"),
    "accumulator": ("Accumulator",),
    "decisions": ("Decisions",),
    "distributed": ("all_reduce", "join_classes", "sampler_mask"),
    "lightning": ("LightningCallback",),
    "metric": ("NeuralCollapse",),
    "pairs": ("sweep_pairs",),
    "transformers": ("TransformersCallback",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
