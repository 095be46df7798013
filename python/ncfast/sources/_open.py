"""Open features, and the labels that belong to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .._choices import as_count
from .._source import MEMORY, FeatureFile
from ._choose import features_of, has_labels, labels_of, read_whole
from ._files import PathLike, Raw, open_entries


def open_features(
    path: PathLike | Iterable[PathLike],
    labels: PathLike | Iterable[PathLike] | None = None,
    *,
    features_name: str | None = None,
    labels_name: str | None = None,
    dtype: DTypeLike | str | None = None,
    shape: tuple[int, ...] | None = None,
    offset: int = 0,
    memory: int = MEMORY,
) -> FeatureFile:
    """Open features in files without reading them; `measure` then reads them block by block.

    Parameters
    ----------
    path : path, or iterable of paths
        A file, by its suffix: ``.npy``, ``.npz``, ``.safetensors`` (or ``.safetensors.index.json``), ``.parquet``,
        ``.arrow``, ``.h5``, ``.pt``; a folder that Zarr wrote; a folder of shards or a pattern such as
        ``"dump/*.npy"``, whose numbers are sorted as numbers. With `dtype`, a file of bare numbers.
    labels : path, or iterable of paths, optional
        The same for the labels, in any of the formats. By default those that lie beside the features in their
        file, if there are any.
    features_name, labels_name : str, optional
        Name of the array, tensor, column or dataset. By default the one called ``features`` (or ``labels``,
        ``label``, ``targets``, ``target``, ``y``), else the only one that can be it. Tensors ``features.0``,
        ``features.1``, ... are taken one after the other.
    dtype, shape, offset : optional
        Of the features, if the file holds bare numbers: numpy's name or ``"bfloat16"``; (N, d), where N may be -1;
        bytes to leave out at the beginning of each file.
    memory : int, default 128 MiB
        Bytes that reading may take: two blocks of rows, one read while the other is computed with. Labels, and
        what a reader decodes at a time (a row group's page, a chunk), come on top.

    Returns
    -------
    FeatureFile

    Raises
    ------
    ValueError
        If a file is damaged, truncated or not of its format, or holds no such array; the message begins with its
        path. Nothing is ever unpickled but tensors.
    OSError
        If a file is missing or cannot be read.
    ImportError
        If the reader of the format is not installed; the message says what to install.

    Examples
    --------
    >>> import numpy, ncfast, tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "dump.npz"
    >>> numpy.savez(file, features=numpy.eye(4)[:, :3], labels=[0, 1, 2, 0])
    >>> dump = ncfast.open_features(file)
    >>> dump.shape, dump.dtype, dump.labels
    ((4, 3), 'float64', array([0, 1, 2, 0]))
    >>> ncfast.measure(dump)["ncc_accuracy"]
    1.0
    """
    as_count("memory", memory, 1)
    raw = None if dtype is None else Raw(dtype, shape, as_count("offset", offset, 0))
    if raw is None and (shape is not None or offset):
        raise ValueError("shape and offset are of files of bare numbers; wanted dtype beside them")
    name, files = open_entries(path, raw)
    source = features_of(name, files, features_name)
    if labels is not None:
        found: NDArray[np.integer[Any]] | None = open_labels(labels, labels_name, source.shape[0])
    elif labels_name is not None or has_labels(files):
        found = read_whole(labels_of(name, files, labels_name), source.shape[0])
    else:
        found = None
    return FeatureFile(source, found, memory)


def open_labels(
    path: PathLike | Iterable[PathLike], name: str | None = None, rows: int | None = None
) -> NDArray[np.integer[Any]]:
    """Read labels from files, as many as there are `rows`."""
    where, files = open_entries(path, None)
    return read_whole(labels_of(where, files, name), rows)


def read_array(path: PathLike) -> NDArray[Any]:
    """Read the one array of a file of any format, weights of a classifier say, into memory."""
    where, files = open_entries(path, None)
    found = [source for entries in files for source in entries.values()]
    if len(found) != 1:
        raise ValueError(f"{where}: holds {len(found)} arrays; wanted one array")
    if found[0].stored.kind not in "fiu" or found[0].dtype == "bfloat16":
        raise ValueError(f"{where}: holds {found[0].dtype}; wanted numbers that numpy has a dtype for")
    return read_whole(found[0])
