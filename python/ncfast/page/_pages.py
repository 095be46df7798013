"""Whole pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from .._curves import ending_with
from .._report_text import remarks
from ..report import Report
from . import _sections
from ._names import Names
from ._scales import number
from ._summary import cards, metric_table

_MOST_COLUMNS = 12
_TITLE = "Neural collapse"


def report_page(
    report: Report,
    *,
    class_names: Sequence[str] | None = None,
    history: Mapping[str, Report] | None = None,
    title: str | None = None,
) -> str:
    """Return the page of a report; see `Report.to_html`."""
    names = Names(class_names, report)
    ways = _sections.history(ending_with(report, history)) if history else ""
    return _page(title or _TITLE, report, [_summary(report, names), ways, *_about(report, names)])


def comparison_page(
    reports: Mapping[str, Report],
    *,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    refresh: int | None = None,
) -> str:
    """Return a page that compares reports by name, in order, and shows the last of them in full.

    Parameters
    ----------
    reports : mapping of str to Report
        Runs, checkpoints or layers. Names that end in rising numbers place them along the axis.
    class_names : sequence of str, optional
        Name of each class in [0, K).
    title : str, optional
        Heading of the page.
    refresh : int, optional
        Seconds after which a browser loads the page again.
    """
    if not reports:
        raise ValueError("reports is empty; wanted at least one report")
    names, last = list(reports), reports[list(reports)[-1]]
    called = Names(class_names, last)
    shown = _thinned(names)
    keys = dict.fromkeys(key for name in shown for key in reports[name])
    rows = [[key, *(number(reports[name][key]) if key in reports[name] else "" for name in shown)] for key in keys]
    lead = f"{len(names)} reports" if shown == names else f"{len(shown)} of {len(names)} reports"
    side_by_side = _sections.section("table", "Side by side", f"{lead}.", _sections.table(("metric", *shown), rows))
    heading = f'<h2 class="divider">{escape(names[-1])}</h2>'
    parts = [_sections.history(reports), side_by_side, heading, _summary(last, called), *_about(last, called)]
    return _page(title or _TITLE, last, parts, refresh)


def _thinned(names: list[str]) -> list[str]:
    """Return as many evenly spaced names as a table has room for, with the first and the last."""
    if len(names) <= _MOST_COLUMNS:
        return names
    step = (len(names) - 1) / (_MOST_COLUMNS - 1)
    return [names[round(i * step)] for i in range(_MOST_COLUMNS)]


def _summary(report: Report, names: Names) -> str:
    notes = "".join(f"<li>{escape(line)}</li>" for line in remarks(report, names.briefly))
    notes = f'<ul class="remarks">{notes}</ul>' if notes else ""
    lead = (
        "Collapse is the state that classifiers approach when they are trained on after they fit their training set."
        " These numbers say how near this one is: all of them are 0 in collapse."
    )
    return _sections.section("summary", "In short", lead, cards(report) + notes)


def _about(report: Report, names: Names) -> list[str]:
    lead = (
        "Every metric with what it measures. Bars show the distance from the value in exact collapse, each sixth of"
        " their length a factor of ten: the shorter, the more collapsed."
    )
    return [
        _sections.geometry(report, names),
        _sections.spectrum(report),
        _sections.classes(report, names),
        _sections.pairs(report, names),
        _sections.confusion(report, names),
        _sections.section("metrics", "All metrics", lead, metric_table(report)),
        _sections.provenance(report),
    ]


def _page(title: str, report: Report, parts: Sequence[str], refresh: int | None = None) -> str:
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    dtype = f" · {report.feature_dtype}" if report.feature_dtype else ""
    facts = f"{report.num_samples:,} samples · {report.num_features:,} features · {report.num_classes:,} classes{dtype}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        + (f'<meta http-equiv="refresh" content="{refresh}">\n' if refresh else "")
        + f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f'<header><p class="kicker">ncfast</p><h1>{escape(title)}</h1><p class="facts">{facts}</p></header>\n'
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )
