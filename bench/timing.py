"""Timing that is fair on a noisy machine: contenders take turns, and every library gets the same threads."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from threadpoolctl import threadpool_limits

import ncfast

# Idle workers of one OpenMP runtime spin for a while; the next contender must not pay for them.
_PAUSE = 0.05


@dataclass(frozen=True)
class Timing:
    """Seconds of one contender, turn by turn."""

    turns: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median turn."""
        return statistics.median(self.turns)

    @property
    def fastest(self) -> float:
        """The shortest turn."""
        return min(self.turns)

    @property
    def slowest(self) -> float:
        """The longest turn."""
        return max(self.turns)

    def over(self, other: Timing) -> float:
        """Return the median ratio to another contender's turn next to it: slow spells that last longer drop out."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.turns, other.turns, strict=True))

    @property
    def spread(self) -> float:
        """How far the slowest turn lies above the fastest: 0 on a quiet machine."""
        return self.slowest / self.fastest - 1.0


def interleaved(
    contenders: Mapping[str, Callable[[], object]], repeats: int, *, warm_up: bool = True
) -> dict[str, Timing]:
    """Run each contender once to warm up, then all in turn, `repeats` times over: A B C, B C A, C A B.

    Slow spells of the machine then hit all contenders alike, none has always the same one before it, whose load and
    memory the machine has yet to get over, and medians of their ratios stay honest.
    """
    for run in contenders.values() if warm_up else ():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            time.sleep(_PAUSE)
            start = time.perf_counter()
            contenders[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(turns)) for name, turns in seconds.items()}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let BLAS, OpenMP, torch and ncfast use `count` threads each."""
    before = torch.get_num_threads()
    with threadpool_limits(count):
        torch.set_num_threads(count)
        ncfast.set_num_threads(count)
        try:
            yield
        finally:
            ncfast.set_num_threads(None)
            torch.set_num_threads(before)


def environment(count: int) -> dict[str, str]:
    """Variables for a process of its own that shall use `count` threads."""
    return {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(count))}
