"""What a measurement returns: numbers by name, and how they came about."""

from __future__ import annotations

import json
import math
import os
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ._version import __version__

if TYPE_CHECKING:
    import pandas

_SECTIONS = (
    ("NC1  variability within classes", ("nc1_", "cdnv", "vci", "class_")),
    ("NC2  geometry", ("nc2_",)),
    ("     spectrum", ("means_", "weights_")),
    ("NC3  duality of weights and means", ("nc3_", "unc3_")),
    ("NC4  nearest class mean", ("nc4_", "ncc_", "cosine_")),
    ("     squared loss", ("mse_",)),
    ("NC5  features of no class", ("nc5_",)),
)


@dataclass(frozen=True, eq=False)
class Report:
    """Neural-collapse metrics by name; a read-only mapping.

    Attributes
    ----------
    metrics : dict of str to float
        The values. Keys are those of the package documentation (``nc1_pinv``, ``nc2_etf_means``, ...).
    spectra : dict of str to ndarray
        Singular values of the centred class ``"means"`` and of the ``"weights"``.
    num_samples, num_features, num_classes : int
        N (with sample weights, their sum), d and K as declared; samples left out are not counted.
    classes : tuple of int or None
        Labels of the classes that were selected, in the order of the rows of the frames; None for all.
    missing_classes : tuple of int
        Classes without samples, left out of every metric.
    skipped_rows : int
        Rows left out for NaN or infinity.
    feature_dtype : str or None
        dtype the features were stored in.
    weighting : str
        Weighting in use, see `ncfast.metrics.nc1_pinv`; ``"zhu"`` under those conventions.
    plan : tuple of str
        What was computed and how, one step a line.
    conventions : dict of str to str
        Definitions in use where codes differ; ``"name"`` says whose.
    floors : dict of str to float
        Of each spread, the value that rounding the features to their dtype would give alone.
    at_floor : tuple of str
        Metrics no larger than twice their floor: what they say may be rounding.
    errors : dict of str to float
        Jackknife standard errors over classes, if they were asked for.
    uncollapsed : tuple of int
        Classes that have not collapsed: mean squared deviation v_k over ten times that of the median class; or mean
        of ``v_k / ||mu_k - mu_l||^2`` over the other classes above 0.1; or more than 1 % of own samples nearer to
        the mean of another class. The last two as far as the report has ``cdnv`` and ``ncc_accuracy``.
    """

    metrics: dict[str, float]
    spectra: dict[str, NDArray[np.float64]]
    num_samples: int
    num_features: int
    num_classes: int
    classes: tuple[int, ...] | None = None
    missing_classes: tuple[int, ...] = ()
    skipped_rows: int = 0
    feature_dtype: str | None = None
    weighting: str = "papyan"
    plan: tuple[str, ...] = ()
    conventions: dict[str, str] = field(default_factory=dict)
    floors: dict[str, float] = field(default_factory=dict)
    at_floor: tuple[str, ...] = ()
    errors: dict[str, float] = field(default_factory=dict)
    uncollapsed: tuple[int, ...] = ()

    def __getitem__(self, key: str) -> float:
        try:
            return self.metrics[key]
        except KeyError:
            raise KeyError(f"{key!r} is not in this report; it has: {', '.join(self.metrics)}") from None

    def __contains__(self, key: object) -> bool:
        return key in self.metrics

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    def keys(self) -> KeysView[str]:
        """Names of the metrics."""
        return self.metrics.keys()

    def values(self) -> ValuesView[float]:
        """Values of the metrics."""
        return self.metrics.values()

    def items(self) -> ItemsView[str, float]:
        """Names and values."""
        return self.metrics.items()

    def to_dict(self) -> dict[str, float]:
        """Return the metrics as a flat dict of floats."""
        return dict(self.metrics)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the whole report as strict JSON, and write it to `path` if given.

        JSON has no infinity: such values become the strings ``"inf"``, ``"-inf"`` and ``"nan"``.
        """
        content = {
            "ncfast": __version__,
            "metrics": _strict_values(self.metrics),
            "spectra": {name: [_strict(float(v)) for v in values] for name, values in self.spectra.items()},
            "num_samples": self.num_samples,
            "num_features": self.num_features,
            "num_classes": self.num_classes,
            "classes": None if self.classes is None else list(self.classes),
            "missing_classes": list(self.missing_classes),
            "skipped_rows": self.skipped_rows,
            "feature_dtype": self.feature_dtype,
            "weighting": self.weighting,
            "plan": list(self.plan),
            "conventions": self.conventions,
            "floors": _strict_values(self.floors),
            "at_floor": list(self.at_floor),
            "errors": _strict_values(self.errors),
            "uncollapsed": list(self.uncollapsed),
        }
        text = json.dumps(content, indent=2, allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def to_frame(self) -> pandas.DataFrame:
        """Return a pandas DataFrame of one row.

        A column per metric, and where there is one ``<metric>_floor`` and ``<metric>_error``; ``attrs`` holds the
        conventions.
        """
        try:
            import pandas
        except ImportError:
            raise ImportError('to_frame needs pandas: pip install "ncfast[frame]"') from None
        columns = dict(self.metrics)
        columns |= {f"{name}_floor": value for name, value in self.floors.items()}
        columns |= {f"{name}_error": value for name, value in self.errors.items()}
        frame = pandas.DataFrame([columns])
        frame.attrs["conventions"] = dict(self.conventions)
        return frame

    def __str__(self) -> str:
        lines = [self._headline()]
        for title, rows in self._sections():
            lines += ["", title]
            lines += [f"  {name:<34}{_shown(value):>12}  {self._note(name)}".rstrip() for name, value in rows]
        return "\n".join([*lines, *self._remarks()])

    def _repr_html_(self) -> str:
        import html

        body = []
        for title, rows in self._sections():
            body.append(f'<tr><th colspan="3" style="text-align:left">{html.escape(title.strip())}</th></tr>')
            body += [
                f"<tr><td>{name}</td><td>{_shown(value)}</td>"
                f'<td style="text-align:left">{html.escape(self._note(name))}</td></tr>'
                for name, value in rows
            ]
        remarks = "".join(f"<br>{html.escape(line)}" for line in self._remarks() if line)
        return f"<table><caption>{html.escape(self._headline())}{remarks}</caption>{''.join(body)}</table>"

    def _note(self, name: str) -> str:
        """Say what is known of a value besides it."""
        error = f"± {self.errors[name]:.2g}" if name in self.errors else ""
        floor = f"at the rounding floor, {self.floors[name]:.2g}" if name in self.at_floor else ""
        return "  ".join(filter(None, (error, floor)))

    def _headline(self) -> str:
        dtype = f", {self.feature_dtype}" if self.feature_dtype else ""
        return (
            f"Neural collapse: {self.num_samples:,} samples, {self.num_features:,} features,"
            f" {self.num_classes:,} classes{dtype}, {self._definitions()}"
        )

    def _definitions(self) -> str:
        name = self.conventions.get("name", "ncfast")
        return f"weighting {self.weighting!r}" if name == "ncfast" else f"conventions {name!r}"

    def _sections(self) -> list[tuple[str, list[tuple[str, float]]]]:
        sections = []
        for title, prefixes in _SECTIONS:
            rows = [(name, value) for name, value in self.metrics.items() if name.startswith(prefixes)]
            if rows:
                sections.append((title, rows))
        return sections

    def _remarks(self) -> list[str]:
        remarks = []
        if self.classes is not None:
            remarks.append(f"only samples of these classes count: {_some(self.classes)}")
        if self.uncollapsed:
            present = self.num_classes - len(self.missing_classes)
            share = f"{len(self.uncollapsed)} of {present}"
            remarks.append(
                f"classes that have not collapsed, or far less than the others ({share}): {_some(self.uncollapsed)}"
            )
        if self.at_floor:
            remarks.append(f"what lies at its floor may be rounding of the {self.feature_dtype} features alone")
        if self.missing_classes:
            remarks.append(
                f"{len(self.missing_classes)} class(es) without samples are left out: {_some(self.missing_classes)}"
            )
        if self.skipped_rows:
            remarks.append(f"{self.skipped_rows} row(s) with NaN or infinity were skipped")
        return ["", *remarks] if remarks else []


def _some(classes: tuple[int, ...]) -> str:
    return ", ".join(map(str, classes[:10])) + (", ..." if len(classes) > 10 else "")


def _shown(value: float) -> str:
    return f"{value:.6g}"


def _strict(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _strict_values(values: dict[str, float]) -> dict[str, float | str]:
    return {name: _strict(value) for name, value in values.items()}
