"""The page's first words: what NC1 to NC4 say of this network, in sentences, then every metric with its reading."""

from __future__ import annotations

import math
import re
from html import escape

from .._readings import reading
from .._report_text import note, sections
from ..report import Report
from ._scales import number, percent

_DECADES = 6


def cards(report: Report) -> str:
    """Return one card each for NC1 to NC4, as far as they were measured."""
    found = (
        ("NC1", "Samples fall onto their class mean", _nc1(report)),
        ("NC2", "Class means spread out evenly", _nc2(report)),
        ("NC3", "Classifier and means line up", _nc3(report)),
        ("NC4", "The nearest mean decides", _nc4(report)),
    )
    return (
        '<div class="cards">'
        + "".join(
            f'<article><h3><span>{name}</span> {title}</h3><p class="big">{said[0]}</p><p>{said[1]}</p></article>'
            for name, title, said in found
            if said is not None
        )
        + "</div>"
    )


def _nc1(report: Report) -> tuple[str, str] | None:
    if "nc1_trace_ratio" not in report:
        return None
    ratio = report["nc1_trace_ratio"]
    if not math.isfinite(ratio):
        return number(ratio), "The class means coincide: there is nothing to compare the spread within classes with."
    return percent(math.sqrt(ratio)), (
        "How far a sample typically is from its class mean, over how far class means are from the global mean."
    )


def _nc2(report: Report) -> tuple[str, str] | None:
    if "nc2_max_angle_means" not in report or report.num_classes < 2:
        return None
    present = report.num_classes - len(report.missing_classes)
    present = present if report.classes is None else len(report.classes) - len(report.missing_classes)
    ideal = -1.0 / (present - 1)
    off = report["nc2_max_angle_means"]
    if not math.isfinite(off):
        return number(off), "A class mean lies at the global mean: it has no direction."
    widest = math.degrees(math.acos(ideal))
    degrees = widest - math.degrees(math.acos(min(ideal + off, 1.0)))
    return f"{number(degrees, 2)}°", (
        f"How far the angle between two class means typically is from {number(widest, 4)}°, the widest that"
        f" {present:,} directions can all keep from one another."
    )


def _nc3(report: Report) -> tuple[str, str] | None:
    if "unc3_mean" not in report:
        return None
    cosine = report["unc3_mean"]
    if not abs(cosine) <= 1 + 1e-9:  # undefined, or of a convention that does not normalise
        return number(cosine), "Mean product of a row of the classifier and the mean of its class."
    return f"{number(math.degrees(math.acos(min(max(cosine, -1.0), 1.0))), 2)}°", (
        "Typical angle between a row of the classifier and the mean of its class."
    )


def _nc4(report: Report) -> tuple[str, str] | None:
    if "ncc_accuracy" not in report:
        return None
    right = f"The nearest mean is that of the own class for {percent(report['ncc_accuracy'])}."
    if "nc4_disagreement" not in report:
        return percent(1 - report["ncc_accuracy"]), (
            "Samples that are nearer to the mean of another class than to that of their own."
        )
    return percent(report["nc4_disagreement"]), (
        f"Samples that the classifier and the nearest class mean decide differently. {right}"
    )


def metric_table(report: Report) -> str:
    """Return every metric with its value, its formula and what it means."""
    rows = []
    for title, metrics in sections(report):
        rows.append(f'<tr><th colspan="3" scope="rowgroup">{escape(title.strip().replace("  ", " · "))}</th></tr>')
        rows += [_metric_row(report, key, value) for key, value in metrics]
    return (
        '<table class="metrics"><thead><tr><th scope="col">metric</th><th scope="col">value</th>'
        f'<th scope="col">in collapse</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _metric_row(report: Report, key: str, value: float) -> str:
    said = reading(key)
    remark = note(report, key)
    remark = f'<small class="note">{escape(remark)}</small>' if remark else ""
    aim = "" if said.collapsed is None else f"→ {said.collapsed:g}"
    return (
        f'<tr><td><code>{key}</code> <i class="formula">{_formula(said.formula)}</i><p>{escape(said.meaning)}</p></td>'
        f'<td class="n">{number(value, 4)}{remark}</td><td class="n aim">{aim}{_gauge(said.distance(value))}</td></tr>'
    )


def _formula(text: str) -> str:
    """Set ``x_k`` and ``x_(k-1)`` with subscripts."""
    return re.sub(r"_(?:\(([^)]+)\)|([A-Z]{2,}|\w|\*))", r"<sub>\1\2</sub>", escape(text))


def _gauge(distance: float | None) -> str:
    """Draw how far from collapse a value is, on a logarithmic scale over six decades."""
    if distance is None or math.isnan(distance):
        return ""
    share = 0.0 if distance == 0 else min(max((math.log10(distance) + _DECADES) / _DECADES, 0.0), 1.0)
    return f'<span class="gauge" title="distance {number(distance)}"><i style="width:{100 * share:.0f}%"></i></span>'
