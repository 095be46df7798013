"""Resident size of this process; `getrusage` would count that of whoever started it."""

from __future__ import annotations

from pathlib import Path

STATUS = Path("/proc/self/status")


def kilobytes(field: str) -> int:
    """Return ``VmRSS``, the size now, or ``VmHWM``, the largest so far."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1])
