"""Several reports side by side: runs, checkpoints or layers, in the terminal or as a page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ._curves import in_order, share_stem
from .report import Report

_WIDEST = 5
_COLUMN = 24
_HEADLINES = (
    "nc1_pinv",
    "cdnv",
    "nc2_etf_means",
    "nc3_self_duality",
    "nc4_disagreement",
    "ncc_accuracy",
)


def load_reports(paths: Sequence[str | os.PathLike[str]]) -> dict[str, Report]:
    """Read report files, named by what tells their paths apart.

    Parameters
    ----------
    paths : sequence of path-like
        Files that `Report.to_json` wrote.

    Returns
    -------
    dict of str to Report
        Files are called by their names without ending where these differ, else by their folders. They come in the
        order given, but in the order of their numbers where names differ in a number at their end alone.

    Raises
    ------
    ValueError
        If a file is no report, or is named twice.
    OSError
        If a file cannot be opened.
    """
    names = short_names([Path(path) for path in paths])
    reports = dict(zip(names, map(Report.from_json, paths), strict=True))
    return {name: reports[name] for name in (in_order(names) if share_stem(names) else names)}


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of paths that tell them all apart."""
    plain = [path.with_suffix("").parts for path in paths]
    for length in range(1, max(map(len, plain), default=0) + 1):
        names = ["/".join(parts[-length:]) for parts in plain]
        if len(set(names)) == len(names):
            # Files of one name in several folders are told apart by the folders alone.
            same_file = length > 1 and len({parts[-1] for parts in plain}) == 1
            return ["/".join(parts[-length:-1]) for parts in plain] if same_file else names
    seen: set[Path] = set()
    twice = next((path for path in paths if path in seen or seen.add(path)), None)  # type: ignore[func-returns-value]
    raise ValueError(f"reports: {twice} is named twice; wanted each file once")


def table(reports: Mapping[str, Report]) -> str:
    """Return reports as a table: all metrics of up to five, the main ones of more, a line each."""
    if len(reports) <= _WIDEST:
        return _by_metric(reports)
    width = max(map(len, reports))
    keys = [key for key in _HEADLINES if any(key in report for report in reports.values())]
    head = f"{'':<{width}}" + "".join(f"  {key:>16}" for key in keys)
    return "\n".join([head, *(_line(name, report, keys, width) for name, report in reports.items())])


def _by_metric(reports: Mapping[str, Report]) -> str:
    width = min(_COLUMN, max(12, *map(len, reports)))
    keys = dict.fromkeys(key for report in reports.values() for key in report)
    lines = [f"{'':<26}" + "".join(f"  {_cut(name, width):>{width}}" for name in reports)]
    for key in keys:
        cells = (f"{report[key]:.6g}" if key in report else "" for report in reports.values())
        lines.append(f"{key:<26}" + "".join(f"  {cell:>{width}}" for cell in cells))
    return "\n".join(lines)


def _line(name: str, report: Report, keys: Sequence[str], width: int) -> str:
    return f"{name:<{width}}" + "".join(f"  {f'{report[key]:.6g}' if key in report else '':>16}" for key in keys)


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else "…" + name[1 - width :]
