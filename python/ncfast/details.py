"""What pictures of a report show beyond its numbers: values by class, pairs and tiles of classes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from . import metrics
from ._similarity import cosine_tiles, similarity_order, tile_edges
from .metrics._sweep import scaled_frame

if TYPE_CHECKING:
    from ._confusion import Confusion
    from ._subject import Subject

Float = NDArray[np.float64]
Int = NDArray[np.int64]

MAX_TILES = 200
_PAIRS = 20
_DECIMALS = 5


@dataclass(frozen=True, eq=False)
class Details:
    """Values by class, pair and tile; K' classes that have samples, T tiles, one a class up to 200 classes.

    Attributes
    ----------
    labels : ndarray of int64, shape (K',)
        Labels of the classes; what follows by class has their order.
    counts : ndarray of float64, shape (K',)
        Samples of each, or what they weigh.
    norms : dict of str to ndarray of float64, shape (K',)
        Lengths of the centred class ``"means"`` and of the ``"weights"``.
    spreads : ndarray of float64, shape (K',)
        Root of the mean squared deviation from the class mean.
    cdnv : ndarray of float64, shape (K',)
        Mean over the other classes of the CDNV with them.
    alignment : ndarray of float64, shape (K',), or None
        Cosine of weight vector and centred class mean.
    accuracy : ndarray of float64, shape (K',), or None
        Share of own samples that are nearest to the own class mean; None if decisions were not measured.
    order : ndarray of int64, shape (K',)
        Positions of the classes in an order that puts similar means side by side: that of the tiles.
    cosines : dict of str to ndarray of float64, shape (T, T)
        Mean cosines between vectors of two tiles, of ``"means"`` and ``"weights"``, to five decimals.
    worst_pairs, worst_cdnv : ndarray, shapes (P, 2) and (P,)
        Labels of the pairs of classes with the largest CDNV, and that, falling.
    confusion : ndarray of float64, shape (T, T), or None
        Samples of the classes of one tile that are nearest to another class's mean, of the other tile.
    confused_pairs, confused_counts : ndarray, shapes (P, 2) and (P,)
        The most frequent of these pairs, class and nearest class, and how many samples.
    inputs : dict of str to str
        What was measured, in words.
    measured : str
        When, in UTC, ISO 8601.
    seconds : float
        How long it took, without what these details take.
    """

    labels: Int
    counts: Float
    norms: dict[str, Float]
    spreads: Float
    cdnv: Float
    alignment: Float | None
    accuracy: Float | None
    order: Int
    cosines: dict[str, Float]
    worst_pairs: Int
    worst_cdnv: Float
    confusion: Float | None
    confused_pairs: Int
    confused_counts: Float
    inputs: dict[str, str] = field(default_factory=dict)
    measured: str = ""
    seconds: float = float("nan")

    @property
    def classes_per_tile(self) -> float:
        """Classes that a tile stands for, on average."""
        return float(self.labels.size / self.cosines["means"].shape[0])

    def from_paths(self, paths: Mapping[str, object]) -> Details:
        """Return the same with the paths of inputs in front of what is said of them."""
        inputs = {name: f"{paths[name]}: {text}" if name in paths else text for name, text in self.inputs.items()}
        return replace(self, inputs=inputs)

    def to_content(self) -> dict[str, Any]:
        """Return what JSON can hold of it, infinite and undefined values as strings."""
        return {entry.name: _plain(getattr(self, entry.name)) for entry in fields(self)}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Details:
        """Return what `to_content` was called on."""
        return cls(**{entry.name: _restored(entry.name, content[entry.name]) for entry in fields(cls)})


def details_of(
    subject: Subject,
    *,
    misses: Float | None,
    confusion: Confusion | None,
    inputs: Mapping[str, str],
    seconds: float,
) -> Details:
    """Return the details of what was measured; `misses` (K,) are shares of samples nearer to another mean."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # said already by the metrics
        return _details_of(subject, misses, confusion, dict(inputs), seconds)


def _details_of(
    subject: Subject, misses: Float | None, confusion: Confusion | None, inputs: dict[str, str], seconds: float
) -> Details:
    stats, head = subject.stats, subject.head
    frames = {"means": subject.centred} | ({} if head.weights is None else {"weights": subject.weights})
    scaled = {name: scaled_frame(frame) for name, frame in frames.items()}
    directions = {name: frame.directions * frame.inverses[:, None] for name, frame in scaled.items()}
    order = similarity_order(directions["means"])
    edges = tile_edges(order.size, MAX_TILES)
    positions = np.flatnonzero(stats.present)
    places = np.zeros(stats.num_classes, np.int64)
    places[positions[order]] = np.arange(order.size)
    worst_pairs, worst_cdnv = metrics.worst_pairs(stats, _PAIRS)
    confused_pairs, confused_counts = (
        (np.empty((0, 2), np.int64), np.empty(0)) if confusion is None else confusion.largest(_PAIRS)
    )
    return Details(
        labels=stats.labels[positions],
        counts=subject.counts.astype(np.float64),
        norms={name: frame.lengths / frame.scale for name, frame in scaled.items()},
        spreads=np.sqrt(subject.variances),
        cdnv=subject.cdnv_per_class,
        alignment=np.einsum("kd,kd->k", *directions.values()) if "weights" in directions else None,
        accuracy=None if misses is None else 1.0 - misses[positions],
        order=order,
        cosines={name: cosine_tiles(rows[order], edges).round(_DECIMALS) for name, rows in directions.items()},
        worst_pairs=stats.labels[worst_pairs],
        worst_cdnv=worst_cdnv,
        confusion=None if confusion is None else confusion.tiles(places, edges),
        confused_pairs=stats.labels[confused_pairs],
        confused_counts=confused_counts,
        inputs=inputs,
        measured=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=seconds,
    )


def describe_inputs(**inputs: object) -> dict[str, str]:
    """Say of each input that is given its dtype and shape."""
    return {name: _described(value) for name, value in inputs.items() if value is not None}


def _described(value: object) -> str:
    shape = tuple(getattr(value, "shape", ())) or np.shape(cast(Any, value))
    dtype = str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch.")
    return f"{dtype}, {' × '.join(f'{length:,}' for length in shape)}"


_WHOLE = {"labels", "order", "worst_pairs", "confused_pairs"}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return value if not isinstance(value, float) or np.isfinite(value) else str(value)


def _restored(name: str, value: Any) -> Any:
    if name == "inputs":
        return {str(key): str(text) for key, text in value.items()}
    if name in ("measured", "seconds"):
        return type(getattr(Details, name))(value)
    if isinstance(value, dict):
        return {key: _restored(name, entry) for key, entry in value.items()}
    if value is None:
        return None
    array = np.array(value, dtype=np.int64 if name in _WHOLE else np.float64)
    return array.reshape(-1, 2) if name.endswith("_pairs") else array
