"""Nearest class mean alone: what libraries offer for it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin

Features = NDArray[np.float32]
Search = Callable[[Features, Features], NDArray[Any]]
_CHUNK = 4096


def with_sklearn(h: Features, means: Features) -> NDArray[Any]:
    """scikit-learn: float32 chunks, distances in float64."""
    return pairwise_distances_argmin(h, means)


def with_torch(h: Features, means: Features) -> NDArray[Any]:
    """torch: one product and an argmax per chunk, float32."""
    centres = torch.from_numpy(means)
    half_squares = centres.square().sum(dim=1) / 2
    parts = torch.from_numpy(h).split(_CHUNK)
    return torch.cat([torch.addmm(-half_squares, part, centres.T).argmax(dim=1) for part in parts]).numpy()


def with_faiss(h: Features, means: Features) -> NDArray[Any]:
    """faiss: exhaustive search of a flat index, float32."""
    import faiss

    index = faiss.IndexFlatL2(means.shape[1])
    index.add(means)
    return index.search(h, 1)[1][:, 0]


def available() -> dict[str, Search]:
    """Return those that can run here."""
    searches: dict[str, Search] = {"torch": with_torch, "scikit-learn": with_sklearn}
    if importlib.util.find_spec("faiss"):
        searches["faiss"] = with_faiss
    return searches
