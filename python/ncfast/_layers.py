"""Several feature matrices of the same samples, the layers of a network, measured together."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from ._measurement import Measurement, Options, Progress, Run, require_progress, side_by_side
from .report import Report

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, repr=False)
class LayerReports(Mapping[str, Report]):
    """Reports by layer, in the order given; a read-only mapping."""

    reports: dict[str, Report]

    def __getitem__(self, layer: str) -> Report:
        try:
            return self.reports[layer]
        except KeyError:
            raise KeyError(f"{layer!r} was not measured; layers are: {', '.join(self.reports)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.reports)

    def __len__(self) -> int:
        return len(self.reports)

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Return the metrics of each layer as a flat dict of floats."""
        return {layer: report.to_dict() for layer, report in self.items()}

    def to_frame(self) -> pandas.DataFrame:
        """Return a pandas DataFrame, a row per layer, named by it, and a column per metric; NaN where there is none."""
        frames = [report.to_frame() for report in self.values()]  # says what to install if pandas is missing
        import pandas

        return pandas.concat(frames, keys=list(self), names=["layer"]).droplevel(1)

    def __str__(self) -> str:
        width = max(12, *map(len, self))
        keys = dict.fromkeys(key for report in self.values() for key in report)
        lines = [f"{'':<34}" + "".join(f"  {layer:>{width}}" for layer in self)]
        for key in keys:
            cells = (f"{report[key]:.6g}" if key in report else "" for report in self.values())
            lines.append(f"{key:<34}" + "".join(f"  {cell:>{width}}" for cell in cells))
        return "\n".join(lines)

    __repr__ = __str__


def measure_layers(
    layers: Mapping[str, object],
    labels: object,
    weights: ArrayLike | Mapping[str, ArrayLike] | None = None,
    bias: ArrayLike | Mapping[str, ArrayLike] | None = None,
    *,
    outliers: object = None,
    progress: Progress | None = None,
    **options: Any,
) -> LayerReports:
    """Measure several feature matrices of the same samples, reading them side by side.

    Each layer is measured as `measure` would alone; rows are read in the same blocks, of all layers before the next
    rows of any, so that files written sample by sample are passed over once per reading.

    Parameters
    ----------
    layers : mapping of str to array_like, each of shape (N, d)
        Features by layer; d and dtype may differ.
    labels : array_like of int, shape (N,)
        Classes, the same for all layers.
    weights, bias, outliers : optional
        As in `measure`: a mapping by layer, or what belongs to the last layer alone.
    progress : callable, optional
        Called with (rows done, rows in all), rows of all layers and passes.
    **options
        Further keywords of `measure`, the same for all layers.

    Returns
    -------
    LayerReports
        A `Report` by layer.

    Raises
    ------
    ValueError, TypeError
        As `measure`, the message led by the layer.
    """
    require_progress(progress)
    if not isinstance(layers, Mapping):
        raise TypeError(f"layers is a {type(layers).__name__}; wanted a mapping of names to features")
    if not layers:
        raise ValueError("layers is empty; wanted at least one layer")
    heads = {
        name: _by_layer(name, value, layers)
        for name, value in (("weights", weights), ("bias", bias), ("outliers", outliers))
    }
    measurements = {}
    for layer, features in layers.items():
        w, b, out = (heads[name].get(layer) for name in ("weights", "bias", "outliers"))
        with _naming(layer):
            measurements[layer] = Measurement.of(features, labels, w, b, Options(outliers=out, **options))
    block_rows = min(m.samples.source.block_rows() for m in measurements.values())
    runs = [_named(layer, m.run(block_rows)) for layer, m in measurements.items()]
    reports = side_by_side(runs, sum(m.rows_to_read for m in measurements.values()), progress)
    return LayerReports(dict(zip(layers, reports, strict=True)))


def _by_layer(name: str, value: Any, layers: Mapping[str, object]) -> Mapping[str, Any]:
    """Return what belongs to each layer: a mapping as it is, anything else for the last."""
    if not isinstance(value, Mapping):
        return {list(layers)[-1]: value}
    unknown = [layer for layer in value if layer not in layers]
    if unknown:
        raise ValueError(f"{name} has {unknown[0]!r}, which is no layer; layers are: {', '.join(layers)}")
    return value


@contextmanager
def _naming(layer: str) -> Iterator[None]:
    """Lead the message of an error by the layer it is about."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise type(error)(f"layer {layer!r}: {error}") from error


def _named(layer: str, run: Run) -> Generator[int, None, Report]:
    with _naming(layer):
        return (yield from run)
