"""The suites by name; each module has ``run(options)`` and a first docstring line that says what it does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from . import accuracy, files, frames, kernels, pairs, report, roofline, scaling, torch_device, training, ufm

SUITES: dict[str, ModuleType] = {
    "kernels": kernels,
    "pairs": pairs,
    "report": report,
    "roofline": roofline,
    "frames": frames,
    "scaling": scaling,
    "accuracy": accuracy,
    "torch": torch_device,
    "training": training,
    "ufm": ufm,
    "files": files,
}


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    quick: bool
    threads: int
    repeats: int
    output: Path
