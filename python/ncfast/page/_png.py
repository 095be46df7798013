"""Pictures of few colours as PNG."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def data_uri(indices: Bytes, palette: Bytes) -> str:
    """Return a picture as a ``data:`` address: `indices` (height, width) into `palette` (up to 256, 3)."""
    return "data:image/png;base64," + base64.b64encode(encode(indices, palette)).decode()


def encode(indices: Bytes, palette: Bytes) -> bytes:
    """Return it as a PNG file."""
    height, width = indices.shape
    unfiltered = np.hstack([np.zeros((height, 1), np.uint8), indices])  # each line begins with its filter, none
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(unfiltered.tobytes(), 9)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in (*chunks, (b"IEND", b"")))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
