"""Files from which a descent goes on, to the same bits."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _archive
from . import _naming
from ._problem import Problem, State
from ._reduction import ReducedState
from ._simulation import Position

_FORMAT = "ncfast descent checkpoint"
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Saved:
    """What a checkpoint holds."""

    position: Position
    records: NDArray[np.float64]
    status: str


def identity(problem: Problem, dynamics: str, settings: dict[str, Any]) -> str:
    """All that must be equal for a descent to go on, as JSON."""
    return json.dumps({**_naming.described(problem), "dynamics": dynamics, **settings})


def digest(state: State | ReducedState) -> str:
    """Return a fingerprint of a state's numbers."""
    features = (state.features,) if isinstance(state, State) else (state.means, state.deviations)
    found = hashlib.sha256()
    for array in (*state.weights, *features, *(() if state.bias is None else (state.bias,))):
        found.update(repr(array.shape).encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def write(
    path: str | os.PathLike[str], identity_: str, position: Position, records: NDArray[np.float64], status: str
) -> None:
    """Replace the checkpoint, in one piece."""
    content = {
        "identity": np.array(identity_),
        "iteration": np.array(position.iteration),
        "parameters": position.parameters,
        "features": position.features,
        "records": records,
        "status": np.array(status),
    }
    _archive.write(path, _FORMAT, _VERSION, content)


def read(path: str | os.PathLike[str], identity_: str) -> Saved:
    """Read a checkpoint of these settings.

    Raises
    ------
    ValueError
        If it is damaged, or belongs to other settings: the message names them.
    """
    content = _archive.read(path, _FORMAT, _VERSION, "checkpoint")
    where = os.fspath(path)
    names = {"identity", "iteration", "parameters", "features", "records", "status"}
    if content.keys() != names:
        raise ValueError(f"{where}: holds {sorted(content)}; wanted {sorted(names)}")
    theirs, ours = json.loads(str(content["identity"])), json.loads(identity_)
    different = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
    if different:
        listed = ", ".join(f"{key} {theirs.get(key)!r}, not {ours.get(key)!r}" for key in different[:3])
        raise ValueError(f"{where}: checkpoint of other settings ({listed}); wanted the same, or another file")
    position = Position(int(content["iteration"]), content["parameters"], content["features"])
    return Saved(position, content["records"], str(content["status"]))
