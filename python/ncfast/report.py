"""What a measurement returns: numbers by name, and how they came about."""

from __future__ import annotations

import os
from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas
    import pyarrow
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .details import Details


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
    details : Details or None
        Values by class, pair and tile, if they were asked for: what pictures show.
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
    details: Details | None = None

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

    def row(self) -> dict[str, float]:
        """Return the metrics, and where there is one ``<metric>_floor`` and ``<metric>_error``, as one flat dict."""
        floors = {f"{name}_floor": value for name, value in self.floors.items()}
        errors = {f"{name}_error": value for name, value in self.errors.items()}
        return self.metrics | floors | errors

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the whole report as strict JSON, and write it to `path` if given.

        JSON has no infinity: such values become the strings ``"inf"``, ``"-inf"`` and ``"nan"``.
        """
        from ._report_json import to_text

        text = to_text(self)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Report:
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError
            If the file is something else, or damaged; the message names it.
        OSError
            If it cannot be opened.
        """
        from ._report_json import read

        return cls(**read(path))

    def to_html(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        class_names: Sequence[str] | None = None,
        history: Mapping[str, Report] | None = None,
        title: str | None = None,
    ) -> str:
        """Return the report as one self-contained web page, and write it to `path` if given.

        It needs no network and no script, and follows the reader's choice of light or dark. Without
        `details` it has no pictures by class: measure with ``details=True``.

        Parameters
        ----------
        path : path-like, optional
            File to write, whole or not at all.
        class_names : sequence of str, optional
            Name of each class in [0, K).
        history : mapping of str to Report, optional
            Earlier reports by name, in order, for curves that end with this one. Names that end in numbers, as
            ``"epoch-10"``, place them along the axis.
        title : str, optional
            Heading of the page.

        Raises
        ------
        ValueError
            If `class_names` are not one per class.
        """
        from .page import report_page

        text = report_page(self, class_names=class_names, history=history, title=title)
        if path is not None:
            from .page.files import write_text

            write_text(path, text)
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
        frame = pandas.DataFrame([self.row()])
        frame.attrs["conventions"] = dict(self.conventions)
        return frame

    def to_arrow(self) -> pyarrow.Table:
        """Return an Arrow table of one row, columns as in `to_frame`; its metadata has the conventions."""
        try:
            import pyarrow
        except ImportError:
            raise ImportError('to_arrow needs pyarrow: pip install "ncfast[parquet]"') from None
        columns = {name: [value] for name, value in self.row().items()}
        return pyarrow.table(columns).replace_schema_metadata(self.conventions)

    def plot_cosines(self, frame: str = "means", *, axes: Axes | None = None) -> Figure:
        """Draw the cosines between class ``"means"`` or ``"weights"``, similar classes side by side.

        Parameters
        ----------
        frame : {"means", "weights"}, default "means"
            Whose cosines.
        axes : matplotlib Axes, optional
            Where to draw; by default a new figure, of this panel alone and unknown to pyplot.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If the report has no `details`, or nothing of what is to be drawn.
        ImportError
            Without matplotlib: ``pip install "ncfast[plot]"``.
        """
        from .plots import cosines

        return cosines(self, frame, axes)

    def plot_spectrum(self, *, axes: Axes | None = None) -> Figure:
        """Draw the singular values of centred class means and weights; see `plot_cosines`."""
        from .plots import spectrum

        return spectrum(self, axes)

    def plot_norms(self, *, axes: Axes | None = None) -> Figure:
        """Draw the length of each class mean and weight vector over their mean; see `plot_cosines`."""
        from .plots import norms

        return norms(self, axes)

    def plot_spreads(self, *, axes: Axes | None = None) -> Figure:
        """Draw the spread of each class over the mean length of class means; see `plot_cosines`."""
        from .plots import spreads

        return spreads(self, axes)

    def plot_pairs(self, *, class_names: Sequence[str] | None = None, axes: Axes | None = None) -> Figure:
        """Draw the CDNV of the worst pairs of classes; see `plot_cosines`."""
        from .plots import pairs

        return pairs(self, class_names, axes)

    def plot_confusion(self, *, axes: Axes | None = None) -> Figure:
        """Draw which classes are nearest to the means of which others; see `plot_cosines`."""
        from .plots import confusion

        return confusion(self, axes)

    def plot_history(self, history: Mapping[str, Report]) -> Figure:
        """Draw curves of NC1 to NC4 over earlier reports and this one; see `to_html`."""
        from ._curves import ending_with
        from .plots import curves

        return curves(ending_with(self, history))

    def __str__(self) -> str:
        from ._report_text import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from ._report_text import as_table

        return as_table(self)
