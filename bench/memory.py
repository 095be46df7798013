"""Peak memory of one contender, in a process of its own.

What counts is the largest resident size while the report is computed, less that just before: the features
themselves and the libraries are in place by then, and a tiny report has run to load what loads lazily.
"""

from __future__ import annotations

import argparse
import ctypes
import resource
import subprocess
import sys
from pathlib import Path

from . import baselines, data, timing
from .resident import STATUS, kilobytes

_CLEAR = Path("/proc/self/clear_refs")


def peak_beyond_input(contender: str, shape: tuple[int, int, int], state: str, threads: int) -> int | None:
    """Bytes that `contender` needs at its peak beyond the input; None where that cannot be measured."""
    command = [sys.executable, "-m", "bench.memory", contender, *map(str, shape), state, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"measuring the memory of {contender} failed:\n{done.stderr}")
    return int(done.stdout) if done.stdout.strip().isdigit() else None


def _measure(contender: str, shape: tuple[int, int, int], state: str) -> int | None:
    run = baselines.available()[contender]
    run(data.in_state(256, 16, 4, state))
    case = data.in_state(*shape, state)
    if not STATUS.exists():
        return None
    ctypes.CDLL(None).malloc_trim(0)  # memory freed so far must not serve the contender unseen
    before = kilobytes("VmRSS")
    try:
        _CLEAR.write_text("5")  # the peak counts from here on
    except OSError:
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 1.02 * before:
            return None  # making the data took more than it left: its peak would hide ours
    run(case)
    return max(0, kilobytes("VmHWM") - before) * 1024


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("contender")
    parser.add_argument("shape", type=int, nargs=3)
    parser.add_argument("state")
    parser.add_argument("threads", type=int)
    arguments = parser.parse_args()
    with timing.threads(arguments.threads):
        print(_measure(arguments.contender, tuple(arguments.shape), arguments.state))


if __name__ == "__main__":
    _main()
