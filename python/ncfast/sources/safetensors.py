"""safetensors, one file or several with their index.

Its own reader checks the header. It maps the file, so that data are read from the places that header gives.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import numpy as np

from .._source import Source
from ._errors import reading, require
from ._flat import Flat, require_bytes

INDEX = ".safetensors.index.json"
_STORED = {
    "F16": ("<f2", "float16"),
    "BF16": ("<u2", "bfloat16"),
    "F32": ("<f4", "float32"),
    "F64": ("<f8", "float64"),
    **{f"{kind}{bits}": (f"<{kind.lower()}{bits // 8}", None) for kind in "IU" for bits in (8, 16, 32, 64)},
}


def entries(file: str) -> dict[str, Source]:
    """Return the tensors of a file by name."""
    safe_open = require("safetensors", "safetensors").safe_open
    found: dict[str, Source] = {}
    with reading(file), safe_open(file, framework="numpy") as tensors, Path(file).open("rb") as stream:
        # No hole and no overlap: its reader has made sure of that.
        offset = 8 + int.from_bytes(stream.read(8), "little")
        for name in tensors.offset_keys():
            piece = tensors.get_slice(name)
            shape = tuple(piece.get_shape())
            if piece.get_dtype() not in _STORED:
                raise ValueError(f"{name} has dtype {piece.get_dtype()}; wanted one of {', '.join(_STORED)}")
            code, dtype = _STORED[piece.get_dtype()]
            stored = np.dtype(code)
            require_bytes(file, offset, shape, stored, exactly=False)
            found[name] = Flat(file, offset, shape, stored, dtype=dtype, name=name)
            offset += prod(shape) * stored.itemsize
    return found


def indexed(file: str) -> list[dict[str, Source]]:
    """Return the tensors of each file that an index names, in the order of the names of their tensors."""
    with reading(file):
        index = json.loads(Path(file).read_text(encoding="utf-8"))
        weight_map = index["weight_map"]
        shards = {name: str(Path(file).parent / shard) for name, shard in weight_map.items()}
        if not weight_map:
            raise ValueError("names no tensors")
        if not all(Path(shard).name == shard and shard.isprintable() for shard in weight_map.values()):
            raise ValueError("names files in other folders, or in several lines; wanted names of files beside it")
    found = []
    for shard in sorted(set(shards.values())):
        there = entries(shard)
        wanted = [name for name, where in shards.items() if where == shard]
        missing = [name for name in wanted if name not in there]
        if missing:
            raise ValueError(f"{shard}: holds no tensor {missing[0]!r}, which {file} says it does")
        found.append({name: there[name] for name in wanted})
    return found
