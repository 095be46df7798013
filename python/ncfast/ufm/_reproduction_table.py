"""The table of a reproduction: what was found beside what theory says; Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .networks import NetworkRun

if TYPE_CHECKING:
    from .reproduce import Descent


class Entry(NamedTuple):
    """One row."""

    run: str
    quantity: str
    found: float
    theory: float | None  # None where there is none


def entries(descents: Mapping[str, Descent], networks: Sequence[NetworkRun]) -> tuple[Entry, ...]:
    """All rows."""
    rows = []
    for name, descent in descents.items():
        rows += [Entry(f"{name}, seed {descent.seed}", *row) for row in _descent_rows(descent)]
    for run in networks:
        name = f"network on {run.images}, {'with' if run.bias else 'without'} bias"
        rows += [Entry(name, *row) for row in _network_rows(run)]
    return tuple(rows)


def _descent_rows(descent: Descent) -> list[tuple[str, float, float | None]]:
    best, reached, relu = descent.best, descent.reached, descent.problem.relu
    rows: list[tuple[str, float, float | None]] = [("objective", reached.value, best.value)]
    if reached.bias is not None and best.bias is not None:
        rows.append(("bias, mean of its entries", float(reached.bias.mean()), float(best.bias.mean())))
    depth = len(best.weights)
    for level, (found, known) in enumerate(zip(reached.grams, best.grams, strict=True)):
        place = depth - level  # of the features: H1 are the free ones
        if relu and level > 0:
            continue  # what comes before a ReLU is not determined
        features = f"H{place}" if depth > 1 else "H"
        weights = " ".join(f"W{index}" for index in range(depth, place - 1, -1)) if depth > 1 else "W"
        for what, one, other in (
            (f"mean squared length of class means of {features}", found.means, known.means),
            (f"mean squared length of rows of {weights}", found.weights, known.weights),
            (f"mean diagonal of {weights} applied to class means of {features}", found.product, known.product),
        ):
            rows.append((what, float(np.trace(one)) / len(one), float(np.trace(other)) / len(other)))
    frame = "etf" if descent.problem.has_bias else "of"
    for prefix, features in _levels(descent):
        certain = not relu or prefix == "h2/"
        collapse = "nc1_pinv", "nc1_trace_ratio"
        for key in (*collapse, f"nc2_{frame}_means", f"nc2_{frame}_weights", f"nc3_alignment_{frame}"):
            value = descent.metrics.get(prefix + key)
            if value is not None and (certain or "nc3" not in key):
                rows.append((f"{key} at {features}", float(value[-1]), 0.0 if certain or key in collapse else None))
    if relu:
        nuclear = float(best.counts[0] ** 0.5 * np.linalg.norm(np.linalg.cholesky(best.grams[0].means), "nuc"))
        rows += [(f"nuclear norm {when} the ReLU", float(descent.metrics[f"{prefix}nuclear_norm"][-1]), nuclear)
                 for when, prefix in (("before", "pre2/"), ("after", "h2/"))]  # fmt: skip
    return rows


def _levels(descent: Descent) -> list[tuple[str, str]]:
    """Prefixes of metrics, and names of the features."""
    if len(descent.best.weights) == 1:
        return [("", "H")]
    between = [("pre2/", "W1 H1")] if descent.problem.relu else []
    return [("", "H1"), *between, ("h2/", "H2")]


def _network_rows(run: NetworkRun) -> list[tuple[str, float, float | None]]:
    frame = "etf" if run.bias else "of"
    before, last, (outer, inner) = run.before[-1], run.last[-1], run.norms[-1]
    return [
        ("training accuracy", run.accuracies[-1], None),
        ("objective", run.losses[-1], None),
        ("nc1_pinv at H1", before["nc1_pinv"], 0.0),
        ("nc1_pinv at H2", last["nc1_pinv"], 0.0),
        (f"nc2_{frame}_means at H1", before[f"nc2_{frame}_means"], None),
        (f"nc2_{frame}_means at H2", last[f"nc2_{frame}_means"], 0.0),
        (f"nc2_{frame}_weights at H2", last[f"nc2_{frame}_weights"], 0.0),
        (f"nc3_alignment_{frame} at H2", last[f"nc3_alignment_{frame}"], 0.0),
        ("nc4_disagreement at H2", last["nc4_disagreement"], 0.0),
        ("norm of W2 over that of W1", outer / inner, 1.0),
    ]


def text(rows: Sequence[Entry]) -> str:
    """Return an aligned table."""
    lines = []
    for index, row in enumerate(rows):
        if index == 0 or rows[index - 1].run != row.run:
            lines += ["", f"{row.run:<64}{'found':>16}{'theory':>16}{'difference':>13}"]
        lines.append(f"  {row.quantity:<62}" + "".join(f"{cell:>{width}}" for cell, width in
                                                      zip(_cells(row), (16, 16, 13), strict=True)))  # fmt: skip
    return "\n".join(lines[1:])


def write(rows: Sequence[Entry], settings: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """Write the table in three formats; return the files."""
    markdown, table, structure = (folder / f"table.{kind}" for kind in ("md", "csv", "json"))
    lines = ["| run | quantity | found | theory | difference |", "|---|---|---:|---:|---:|"]
    lines += [f"| {row.run} | {row.quantity} | {' | '.join(_cells(row))} |" for row in rows]
    markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Entry._fields)
        writer.writerows(rows)
    content = {"settings": dict(settings), "rows": [{**row._asdict(), "found": _strict(row.found)} for row in rows]}
    structure.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return markdown, table, structure


def _cells(row: Entry) -> tuple[str, str, str]:
    if row.theory is None:
        return f"{row.found:.10g}", "", ""
    return f"{row.found:.10g}", f"{row.theory:.10g}", f"{row.found - row.theory:.1e}"


def _strict(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
