"""Reports as strict JSON, and back."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._version import __version__

if TYPE_CHECKING:
    from .report import Report


def to_text(report: Report) -> str:
    """Return a report as strict JSON; infinite and undefined values become strings."""
    content = {
        "ncfast": __version__,
        "metrics": _strict_values(report.metrics),
        "spectra": {name: [_strict(float(v)) for v in values] for name, values in report.spectra.items()},
        "num_samples": report.num_samples,
        "num_features": report.num_features,
        "num_classes": report.num_classes,
        "classes": None if report.classes is None else list(report.classes),
        "missing_classes": list(report.missing_classes),
        "skipped_rows": report.skipped_rows,
        "feature_dtype": report.feature_dtype,
        "weighting": report.weighting,
        "plan": list(report.plan),
        "conventions": report.conventions,
        "floors": _strict_values(report.floors),
        "at_floor": list(report.at_floor),
        "errors": _strict_values(report.errors),
        "uncollapsed": list(report.uncollapsed),
    }
    text = json.dumps(content, indent=2, allow_nan=False)
    if report.details is None:
        return text
    # Long arrays of numbers: one line.
    details = json.dumps(report.details.to_content(), allow_nan=False)
    return f'{text[:-2]},\n  "details": {details}\n}}'


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the fields of a report from a file that `to_text` is the content of.

    Raises
    ------
    ValueError
        If the file is something else; the message names it.
    OSError
        If it cannot be opened.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no JSON, or no UTF-8
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(content, dict) or not {"ncfast", "metrics"} <= content.keys():
        raise ValueError(f"{path}: not a report; wanted what Report.to_json or ncfast measure --json wrote")
    try:
        return _fields(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}: a damaged report ({reason})") from None


def _fields(content: dict[str, Any]) -> dict[str, Any]:
    from .details import Details

    numbers = {name: _loose_values(content[name]) for name in ("metrics", "floors", "errors")}
    lists = {name: tuple(content[name]) for name in ("missing_classes", "plan", "at_floor", "uncollapsed")}
    counts = {name: int(content[name]) for name in ("num_samples", "num_features", "num_classes", "skipped_rows")}
    return {
        **numbers,
        **lists,
        **counts,
        "spectra": {name: np.array(values, dtype=np.float64) for name, values in content["spectra"].items()},
        "classes": None if content["classes"] is None else tuple(content["classes"]),
        "feature_dtype": content["feature_dtype"],
        "weighting": str(content["weighting"]),
        "conventions": dict(content["conventions"]),
        "details": Details.from_content(content["details"]) if "details" in content else None,
    }


def _strict(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _strict_values(values: dict[str, float]) -> dict[str, float | str]:
    return {name: _strict(value) for name, value in values.items()}


def _loose_values(values: dict[str, float | str]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}
