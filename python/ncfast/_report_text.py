"""Reports as text, and as the small table that notebooks show."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .report import Report

_SECTIONS = (
    ("NC1  variability within classes", ("nc1_", "cdnv", "vci", "class_")),
    ("NC2  geometry", ("nc2_",)),
    ("     spectrum", ("means_", "weights_")),
    ("NC3  duality of weights and means", ("nc3_", "unc3_")),
    ("NC4  nearest class mean", ("nc4_", "ncc_", "cosine_")),
    ("     squared loss", ("mse_",)),
    ("NC5  features of no class", ("nc5_",)),
)


def as_text(report: Report) -> str:
    """Return a report as a table of 120 columns at most."""
    lines = [headline(report)]
    for title, rows in sections(report):
        lines += ["", title]
        lines += [f"  {name:<34}{shown(value):>12}  {note(report, name)}".rstrip() for name, value in rows]
    found = remarks(report)
    return "\n".join([*lines, *([""] if found else []), *found])


def as_table(report: Report) -> str:
    """Return a report as an HTML table."""
    body = []
    for title, rows in sections(report):
        body.append(f'<tr><th colspan="3" style="text-align:left">{html.escape(title.strip())}</th></tr>')
        body += [
            f"<tr><td>{name}</td><td>{shown(value)}</td>"
            f'<td style="text-align:left">{html.escape(note(report, name))}</td></tr>'
            for name, value in rows
        ]
    caption = "".join(f"<br>{html.escape(line)}" for line in remarks(report))
    return f"<table><caption>{html.escape(headline(report))}{caption}</caption>{''.join(body)}</table>"


def note(report: Report, name: str) -> str:
    """Say what is known of a value besides it."""
    error = f"± {report.errors[name]:.2g}" if name in report.errors else ""
    floor = f"at the rounding floor, {report.floors[name]:.2g}" if name in report.at_floor else ""
    return "  ".join(filter(None, (error, floor)))


def headline(report: Report) -> str:
    """Say what was measured."""
    dtype = f", {report.feature_dtype}" if report.feature_dtype else ""
    return (
        f"Neural collapse: {report.num_samples:,} samples, {report.num_features:,} features,"
        f" {report.num_classes:,} classes{dtype}, {definitions(report)}"
    )


def definitions(report: Report) -> str:
    """Say whose definitions they are."""
    name = report.conventions.get("name", "ncfast")
    return f"weighting {report.weighting!r}" if name == "ncfast" else f"conventions {name!r}"


def sections(report: Report) -> list[tuple[str, list[tuple[str, float]]]]:
    """Group the metrics by what they are about."""
    grouped = (
        (title, [(name, value) for name, value in report.items() if name.startswith(prefixes)])
        for title, prefixes in _SECTIONS
    )
    return [(title, rows) for title, rows in grouped if rows]


def remarks(report: Report, called: Callable[[int], str] = str) -> list[str]:
    """Say what to keep in mind when reading it; `called` says what a class is called."""
    remarks = []
    if report.classes is not None:
        remarks.append(f"only samples of these classes count: {_some(report.classes, called)}")
    if report.uncollapsed:
        present = report.num_classes - len(report.missing_classes)
        share = f"{len(report.uncollapsed)} of {present}"
        some = _some(report.uncollapsed, called)
        remarks.append(f"classes that have not collapsed, or far less than the others ({share}): {some}")
    if report.at_floor:
        remarks.append(f"what lies at its floor may be rounding of the {report.feature_dtype} features alone")
    if report.missing_classes:
        some = _some(report.missing_classes, called)
        remarks.append(f"{len(report.missing_classes)} class(es) without samples are left out: {some}")
    if report.skipped_rows:
        remarks.append(f"{report.skipped_rows} row(s) with NaN or infinity were skipped")
    return remarks


def _some(classes: tuple[int, ...], called: Callable[[int], str]) -> str:
    return ", ".join(map(called, classes[:10])) + (", ..." if len(classes) > 10 else "")


def shown(value: float) -> str:
    """Return a value as tables show it."""
    return f"{value:.6g}"
