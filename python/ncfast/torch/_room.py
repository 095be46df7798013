"""Memory that large arrays of one measurement leave to the next: writing to new memory costs more than a copy."""

from __future__ import annotations

import mmap
import weakref

import numpy as np
from numpy.typing import NDArray

_MOST_SPARE = 256 << 20
_spare: list[mmap.mmap] = []  # at most one, and the system may take its pages back at any time


def room(size: int) -> NDArray[np.uint8]:
    """Return `size` bytes of any content, in large pages; once their last view is gone they wait to be used again."""
    if not hasattr(mmap, "MADV_FREE") or not 0 < size <= _MOST_SPARE:
        return np.empty(size, np.uint8)
    memory = _spare.pop() if _spare else None
    if memory is None or len(memory) < size:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
    array = np.frombuffer(memory, np.uint8, size)
    weakref.finalize(array, _keep, memory).atexit = False
    return array


def _keep(memory: mmap.mmap) -> None:
    memory.madvise(mmap.MADV_FREE)
    _spare[:] = [max([memory, *_spare], key=len)]
