"""The sections of a page that show classes, pairs and tiles of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

from .._curves import PANELS, axis_label, axis_ticks, over_largest, positions, series
from ..details import Details
from ..report import Report
from ._charts import Series, curves, dots, thinned
from ._heat import confusion_map, cosine_map
from ._names import Names
from ._scales import number, percent

_TITLES = {"means": "class means", "weights": "classifier rows"}
_WORST = 10


def section(anchor: str, title: str, lead: str, body: str) -> str:
    """Return a section; none without a body."""
    return f'<section id="{anchor}"><h2>{title}</h2><p class="lead">{lead}</p>{body}</section>' if body else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """Return a table whose first `texts` columns are text, the others numbers."""
    kind = ["" if i < texts else ' class="n"' for i in range(len(head))]
    top = "".join(f'<th scope="col"{k}>{escape(cell)}</th>' for k, cell in zip(kind, head, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{k}>{escape(cell)}</td>" for k, cell in zip(kind, row, strict=True)) + "</tr>"
        for row in rows
    )
    two = " two" if texts == 2 else ""
    return f'<div class="wide{two}"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def grid(figures: Iterable[str]) -> str:
    """Put figures side by side as far as there is room."""
    body = "".join(figures)
    return f'<div class="figures">{body}</div>' if body else ""


def history(reports: Mapping[str, Report]) -> str:
    """Curves of NC1 to NC4."""
    names = list(reports)
    x = positions(names)
    figures = []
    for panel in PANELS:
        drawn = [Series(name, x, series(reports, key)) for key, name in panel.curves]
        drawn = [entry for entry in drawn if np.isfinite(entry.y).any()]
        if drawn and len(names) > 1:
            label, ticks = axis_label(names), axis_ticks(names)
            figures.append(curves(drawn, title=panel.title, x_label=label, x_ticks=ticks, markers=True))
    lead = f"{len(names)} reports, in order. Numbers in the legend are the latest. Falling curves mean collapse."
    return section("history", "On the way", lead, grid(figures))


def geometry(report: Report, names: Names) -> str:
    """Heat maps of cosines and singular values."""
    details = report.details
    maps: list[str] = []
    if details is not None:
        ordered = names.all(details.labels[details.order])
        maps = [
            cosine_map(cosines, details.labels.size, ordered, f"Cosines between {_TITLES[name]}")
            for name, cosines in details.cosines.items()
        ]
    lead = (
        "Cosines between classes, similar classes side by side. White, or black in the dark, is the angle of a simplex"
        " ETF; red pairs are closer than that, blue ones further apart. In collapse the map has one colour."
    )
    if details is not None and details.classes_per_tile > 1:
        lead += f" Each pixel is the mean over about {number(details.classes_per_tile, 2)} classes by as many."
    return section("geometry", "Angles", lead, grid(maps))


def spectrum(report: Report) -> str:
    """Singular values of means and weights."""
    drawn = []
    for name, values in report.spectra.items():
        if values.size and values[0] > 0:
            kept = thinned(values.size)
            drawn.append(Series(_TITLES.get(name, name), (kept + 1).tolist(), over_largest(values)[kept].tolist()))
    lead = (
        "Singular values over the largest. A simplex ETF has K − 1 equal ones and then none: a flat line with a cliff."
        " A slope means that some directions between classes are weaker than others."
    )
    body = [curves(drawn, title="Singular values", x_label="index", markers=True, last=False)] if drawn else []
    return section("spectrum", "Spectrum", lead, grid(body))


def classes(report: Report, names: Names) -> str:
    """Lengths and spreads by class, and the worst classes by name."""
    details = report.details
    if details is None:
        return ""
    size = float(np.sqrt(np.mean(details.norms["means"] ** 2))) or 1.0
    kept = thinned(details.labels.size)
    ranks = (kept + 1).tolist()
    by_norm = np.argsort(-details.norms["means"], kind="stable")[kept]
    lengths = [
        Series(_TITLES[name], ranks, (values[by_norm] / (values.mean() or 1.0)).tolist())
        for name, values in details.norms.items()
    ]
    spread = np.sort(details.spreads)[::-1][kept] / size
    figures = [
        dots(lengths, title="Length over the mean length", x_label="classes, longest mean first", log=False, line=1.0),
        dots(
            [Series("spread", ranks, spread.tolist())],
            title="Spread within the class over the size of class means",
            x_label="classes, widest first",
            log=True,
        ),
    ]
    lead = (
        "Each dot is a class. In collapse all lengths are equal, on the line at 1, and spreads fall towards 0. The"
        " table has the classes with the largest CDNV: widest against their distances to the others."
    )
    return section("classes", "Classes", lead, grid(figures) + _worst_classes(details, names, size, report.uncollapsed))


def _worst_classes(details: Details, names: Names, size: float, uncollapsed: Sequence[int]) -> str:
    head = ["class", "samples", "CDNV", "spread", "length"]
    head += ["cos(w, μ)"] if details.alignment is not None else []
    head += ["nearest mean right"] if details.accuracy is not None else []
    mean_length = details.norms["means"].mean() or 1.0
    marked = set(uncollapsed)

    def row(i: int) -> list[str]:
        label = int(details.labels[i])
        cells = [
            names(label) + ("\N{NO-BREAK SPACE}•" if label in marked else ""),
            f"{details.counts[i]:,.6g}",
            number(details.cdnv[i]),
            number(details.spreads[i] / size),
            number(details.norms["means"][i] / mean_length),
        ]
        cells += [f"{details.alignment[i]:.4f}"] if details.alignment is not None else []
        return cells + ([percent(details.accuracy[i])] if details.accuracy is not None else [])

    worst = np.argsort(-details.cdnv, kind="stable")[:_WORST]
    rows = [row(int(i)) for i in worst]
    remark = '<p class="remark">• has not collapsed, or far less than the others.</p>' if marked else ""
    return table(head, rows) + remark


def pairs(report: Report, names: Names) -> str:
    """Pairs of classes that are hardest to tell apart."""
    details = report.details
    if details is None:
        return ""
    typical = float(np.mean(details.cdnv))
    known = np.isfinite(typical) and typical > 0
    rows = [
        [names(int(k)), names(int(l_)), number(value), f"{number(value / typical, 2)} ×" if known else ""]
        for (k, l_), value in zip(details.worst_pairs[:_WORST], details.worst_cdnv, strict=False)
    ]
    lead = (
        "Pairs of classes with the largest CDNV: spread of both over their squared distance. Above about 0.1 samples of"
        " the two begin to mix."
    )
    return section("pairs", "Nearest pairs", lead, table(("class", "and", "CDNV", "over the mean"), rows, texts=2))


def confusion(report: Report, names: Names) -> str:
    """Heat map and table of the samples that are nearest to the mean of another class."""
    details = report.details
    if details is None or details.confusion is None:
        return ""
    ordered = names.all(details.labels[details.order])
    if details.confused_counts.size == 0:
        return section(
            "confusion",
            "Nearest class mean",
            "Which class mean is a sample nearest to?",
            '<p class="quiet">Every sample is nearest to the mean of its own class.</p>',
        )
    rows = [
        [names(int(k)), names(int(l_)), f"{count:,.6g}"]
        for (k, l_), count in zip(details.confused_pairs[:_WORST], details.confused_counts, strict=False)
    ]
    figure = confusion_map(details.confusion, ordered, "Class (row), and whose mean is nearest (column)")
    body = f'<div class="figures">{figure}{table(("samples of", "nearest to", "samples"), rows, texts=2)}</div>'
    lead = (
        f"{details.confusion.sum():,.6g} samples are nearer to the mean of another class than to their own; the table"
        " has the most frequent cases. In collapse: none."
    )
    return section("confusion", "Nearest class mean", lead, body)


def provenance(report: Report) -> str:
    """Where the numbers come from."""
    from .._report_text import definitions
    from .._version import __version__

    details = report.details
    facts = [
        ("features as", report.feature_dtype or ""),
        *(details.inputs.items() if details is not None else ()),
        ("definitions", definitions(report)),
        *((name, text) for name, text in report.conventions.items() if name != "name"),
        *((f"step {i}", step) for i, step in enumerate(report.plan, 1)),
        ("time", f"{details.measured}, took {number(details.seconds)} s" if details is not None else ""),
        ("ncfast", __version__),
    ]
    body = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts if text)
    return section("provenance", "Provenance", "What was measured, and how.", f"<dl>{body}</dl>")
