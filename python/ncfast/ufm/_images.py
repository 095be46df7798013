"""Real images for the practical networks: scikit-learn's digits, or IDX files such as Fashion-MNIST's."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SAMPLES_PER_CLASS = 170  # of the 174 that the rarest of the digits has; enough of Fashion-MNIST for the same time
_MAGIC = {"images": b"\x00\x00\x08\x03", "labels": b"\x00\x00\x08\x01"}  # unsigned bytes in three or one dimensions


class Images(NamedTuple):
    """Equally many images of each class."""

    name: str
    pixels: NDArray[np.float32]  # (N, pixels), every pixel centred, the whole scaled to variance one
    labels: NDArray[np.int64]  # (N,)


def load_images(folder: Path | None = None, samples_per_class: int = SAMPLES_PER_CLASS) -> Images:
    """Load the first images of each class, of the digits or of ``train-*-ubyte`` IDX files, gzipped or not.

    Raises
    ------
    ImportError
        If the digits are wanted and scikit-learn is missing.
    OSError, ValueError
        If a file is missing, damaged, or has fewer images of some class.
    """
    if folder is None:
        name, pixels, labels = "digits", *_digits()
    else:
        name, pixels, labels = folder.resolve().name, *_idx_pair(folder)
    classes = np.unique(labels)
    if classes.size < 2 or classes[-1] != classes.size - 1:
        raise ValueError(f"{name}: labels are {classes.tolist()}; wanted at least two classes, numbered from 0")
    counts = np.bincount(labels)
    if counts.min() < samples_per_class:
        raise ValueError(f"{name}: class {counts.argmin()} has {counts.min()} images; wanted {samples_per_class}")
    rows = np.concatenate([np.flatnonzero(labels == label)[:samples_per_class] for label in classes])
    chosen = pixels[rows] - pixels[rows].mean(axis=0)
    return Images(name, (chosen / chosen.std()).astype(np.float32), labels[rows])


def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError('the digits come with scikit-learn: pip install "ncfast[demo]"') from error
    images, labels = load_digits(return_X_y=True)
    return images, labels


def _idx_pair(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    images = _read_idx(folder, "train-images-idx3-ubyte", "images")
    labels = _read_idx(folder, "train-labels-idx1-ubyte", "labels")
    if len(images) != len(labels):
        raise ValueError(f"{folder}: {len(images)} images and {len(labels)} labels; wanted one label per image")
    return images.reshape(len(images), -1).astype(np.float64), labels.astype(np.int64)


def _read_idx(folder: Path, name: str, kind: str) -> NDArray[np.uint8]:
    """Read one IDX file: a magic number, big-endian sizes, bytes."""
    zipped = folder / f"{name}.gz"
    path = zipped if zipped.exists() else folder / name
    try:
        content = gzip.decompress(path.read_bytes()) if path is zipped else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged gzip file ({error})") from error
    dimensions = content[3] if len(content) > 3 else 0
    header = 4 + 4 * dimensions
    if content[:4] != _MAGIC[kind] or len(content) < header:
        raise ValueError(f"{path}: not an IDX file of {kind} in unsigned bytes")
    shape = tuple(np.frombuffer(content, ">u4", dimensions, 4).tolist())
    if len(content) - header != math.prod(shape):
        raise ValueError(f"{path}: {len(content) - header:,} bytes after the header; its sizes {shape} want "
                         f"{math.prod(shape):,}")  # fmt: skip
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
