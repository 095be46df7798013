"""Whether a picture shows something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.image import imread


def assert_drawn(path: Path, *, paths: int = 50) -> None:
    """Assert that a PNG is not blank: it has ink, and colours that are not grey; and its SVG more than some paths."""
    pixels = imread(path)[..., :3]
    assert pixels.ndim == 3
    assert min(pixels.shape[:2]) > 300
    ink = np.mean(pixels.min(axis=2) < 0.5)
    coloured = np.mean(np.ptp(pixels, axis=2) > 0.2)
    assert ink > 0.005
    assert coloured > 1e-4
    assert path.with_suffix(".svg").read_text().count("<path") > paths
