"""A directory of dumps, one per epoch, followed while training writes it.

The layout: every epoch is a folder or a file in the directory, in the order of names as people count: ``epoch-3``
before ``epoch-10``.

- A folder with ``features.npy`` and ``labels.npy``, and if there is a classifier ``weights.npy`` and ``bias.npy``,
  shaped as for `ncfast.measure`. ``labels.npy`` may be in the directory itself instead, for all epochs.
- A report, ``epoch-3.json``, as `Report.to_json` writes it.

Whatever has none of these names is left alone. An epoch is measured once all of its files have stood unchanged for a
moment; write them under another name and rename them, the folder last, to be safe. What is measured is kept as
``epoch-3.json`` beside the folder, so that it is measured once, and the features may be deleted then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._curves import in_order
from .report import Report

FEATURES, LABELS, WEIGHTS, BIAS = "features.npy", "labels.npy", "weights.npy", "bias.npy"
Stamp = tuple[tuple[str, int, int], ...]
"""Path, size and time of each file of an epoch."""


@dataclass
class Watcher:
    """Reports of a directory's epochs, brought up to date by `look`.

    Attributes
    ----------
    directory : Path
        Where the epochs are, see `ncfast.watch`.
    options : dict
        Keywords for `ncfast.measure`.
    reports : dict of str to Report
        By name of the epoch, in order.
    problems : dict of str to str
        What is wrong with epochs that could not be read, until their files change.
    """

    directory: Path
    options: dict[str, Any] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    _seen: dict[str, Stamp] = field(default_factory=dict)
    _done: dict[str, Stamp] = field(default_factory=dict)

    def look(self, *, settled: bool = False) -> bool:
        """Measure what is new and has not changed since the last look; return whether there was anything.

        With `settled` whatever is there counts as complete: for a directory that nobody writes to.

        Raises
        ------
        OSError
            If the directory cannot be read.
        """
        changed = False
        for name, stamp in self._stamps():
            stands = settled or self._seen.get(name) == stamp
            self._seen[name] = stamp
            if stands and self._done.get(name) != stamp:
                self._take(name)
                changed = True
                self._done[name] = dict(self._stamps()).get(name, stamp)  # the report is among its files now
        self.reports = {name: self.reports[name] for name in in_order(list(self.reports))}
        return changed

    def _stamps(self) -> Iterator[tuple[str, Stamp]]:
        """Yield the epochs that are complete, with the sizes and times of their files."""
        entries = {path.name: path for path in self.directory.iterdir() if not path.name.startswith(".")}
        names = {path.stem for path in entries.values() if path.suffix == ".json"}
        names |= {name for name, path in entries.items() if path.is_dir() and (path / FEATURES).exists()}
        for name in in_order(list(names)):
            files = [self.directory / f"{name}.json", *(self._file(name, part) for part in (FEATURES, LABELS))]
            files += [self.directory / name / part for part in (WEIGHTS, BIAS)]
            yield name, tuple(filter(None, map(_stamp, files)))

    def _file(self, name: str, part: str) -> Path:
        own = self.directory / name / part
        return own if own.exists() or part == FEATURES else self.directory / part

    def _take(self, name: str) -> None:
        """Read the report of an epoch, or measure it and keep the report."""
        try:
            self.reports[name] = self._report(name)
        except (ValueError, TypeError, OSError) as error:
            self.problems[name] = " ".join(str(error).split())
        else:
            self.problems.pop(name, None)

    def _report(self, name: str) -> Report:
        from . import measure

        kept, folder = self.directory / f"{name}.json", self.directory / name
        features = folder / FEATURES
        if kept.exists() and not (features.exists() and features.stat().st_mtime_ns > kept.stat().st_mtime_ns):
            return Report.from_json(kept)
        labels = self._file(name, LABELS)
        if not labels.exists():
            raise ValueError(f"{folder}: has {FEATURES} and no {LABELS}; wanted it there or in {self.directory}")
        weights, bias = (_load(folder / part) if (folder / part).exists() else None for part in (WEIGHTS, BIAS))
        report = measure(_load(features), _load(labels), weights, bias, details=True, **self.options)
        from .page.files import write_text

        write_text(kept, report.to_json() + "\n")
        return report


def follow(
    watcher: Watcher, told: Callable[[Watcher], None], *, interval: float = 2.0, looks: int | None = None
) -> None:
    """Look every `interval` seconds, `looks` times or for ever; call `told` after looks that found anything new."""
    while looks is None or looks > 0:
        if watcher.look():
            told(watcher)
        looks = None if looks is None else looks - 1
        if looks != 0:
            time.sleep(interval)


def _stamp(file: Path) -> tuple[str, int, int] | None:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return str(file), stat.st_size, stat.st_mtime_ns


def _load(path: Path) -> NDArray[Any]:
    """Open an array without reading it; never unpickle."""
    try:
        array: NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # numpy raises a dozen kinds on damaged headers
        raise ValueError(f"{path}: not a readable .npy file ({error})") from error
    return array
