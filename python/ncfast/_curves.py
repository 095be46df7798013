"""Curves over several reports: which metrics share a panel, and where a report stands on the axis."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .report import Report

NOW = "now"
_TICK_LETTERS = 48


class Panel(NamedTuple):
    """A panel of curves: its title, and the keys with the name of each."""

    title: str
    curves: tuple[tuple[str, str], ...]


PANELS = (
    Panel(
        "NC1  variability",
        (("nc1_pinv", "Tr(S_W S_B⁺)/K"), ("nc1_trace_ratio", "trace ratio"), ("cdnv", "CDNV"), ("vci", "VCI")),
    ),
    Panel(
        "NC2  geometry of class means",
        (
            ("nc2_etf_means", "distance to ETF"),
            ("nc2_equinorm_means", "norms"),
            ("nc2_equiangularity_means", "angles"),
            ("nc2_max_angle_means", "widest angles"),
        ),
    ),
    Panel(
        "NC2  geometry of the classifier",
        (
            ("nc2_etf_weights", "distance to ETF"),
            ("nc2_equinorm_weights", "norms"),
            ("nc2_equiangularity_weights", "angles"),
            ("nc2_max_angle_weights", "widest angles"),
        ),
    ),
    Panel(
        "NC3  duality",
        (
            ("nc3_self_duality", "W against M"),
            ("nc3_alignment_etf", "WMᵀ against ETF"),
            ("unc3_variance", "variance of cosines"),
        ),
    ),
    Panel("NC4  nearest class mean", (("nc4_disagreement", "classifier differs"), ("ncc_error", "nearest mean errs"))),
)


def series(reports: Mapping[str, Report], key: str) -> list[float]:
    """Return a metric over reports, nan where there is none; ``"ncc_error"`` is one minus the accuracy."""
    if key == "ncc_error":
        return [1.0 - report.metrics.get("ncc_accuracy", float("nan")) for report in reports.values()]
    return [report.metrics.get(key, float("nan")) for report in reports.values()]


def over_largest(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return falling singular values over the largest; 0 for what is rounding alone."""
    shares: NDArray[np.float64] = values / values[0]
    shares[shares < values.size * np.finfo(np.float64).eps] = 0.0
    return shares


def ending_with(report: Report, history: Mapping[str, Report] | None) -> dict[str, Report]:
    """Return reports by name that end with `report`, unless it is among them."""
    reports = dict(history or {})
    return reports if any(entry is report for entry in reports.values()) else {**reports, NOW: report}


def positions(names: Sequence[str]) -> list[float]:
    """Return where reports of these names stand: the number that each ends in, if all do and they rise, or 0, 1, ..."""
    numbers = [float(found[0]) for name in names if (found := re.search(r"\d+(\.\d+)?$", name))]
    if len(numbers) == len(names) - 1 and names[-1] == NOW and len(numbers) > 1:
        numbers.append(2 * numbers[-1] - numbers[-2])
    if len(numbers) == len(names) and all(a < b for a, b in pairwise(numbers)):
        return numbers
    return [float(i) for i in range(len(names))]


def axis_ticks(names: Sequence[str]) -> list[tuple[float, str]] | None:
    """Return what to write under reports that are not placed by numbers; None for those that are."""
    places = positions(names)
    if share_stem([name for name in names if name != NOW] or ["0"]):
        return None
    ticks = list(zip(places, names, strict=True))
    return ticks if sum(map(len, names)) <= _TICK_LETTERS else [ticks[0], ticks[-1]]


def axis_label(names: Sequence[str]) -> str:
    """Return what the numbers of `positions` count, ``"epoch"`` of ``"epoch-10"``."""
    earlier = [name for name in names if name != NOW]
    return _stem(earlier[0]) if share_stem(earlier) else ""


def share_stem(names: Sequence[str]) -> bool:
    """Whether all names differ in a number at their end alone."""
    return len({_stem(name) for name in names}) == 1 and all(_stem(name) != name for name in names)


def _stem(name: str) -> str:
    return re.sub(r"[-_. =]*\d+(\.\d+)?$", "", name)


def in_order(names: Sequence[str]) -> list[str]:
    """Sort names as people count: ``epoch-2`` before ``epoch-10``."""

    def parts(name: str) -> list[tuple[int, float, str]]:
        return [(0, float(p), "") if p.isdigit() else (1, 0.0, p) for p in re.split(r"(\d+)", name) if p]

    return sorted(names, key=parts)
