"""Features in files larger than memory: rate against memory and disk, decode cost of formats, resident size.

Each measurement runs in a process of its own, whose largest resident size is what counts. Files are made once, and but
for those that are read from the page cache left out of it before each turn.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import data, timing
from ..results import Table, ratio

if TYPE_CHECKING:
    from . import Options

_FEATURES, _CLASSES, _BATCH = 2048, 100, 4000
_MEMORY_ROWS = 240_000
_CACHED = "npy, in the page cache"
_ROWS = {"npy": 2_400_000, **dict.fromkeys((_CACHED, "parquet", "zarr", "zarr, uncompressed"), _MEMORY_ROWS)}
_HEADER = ["format", "GB", "in memory", "reading alone", "measured", "of the lower", "reading, 1 pass", "peak - state"]


def run(options: Options) -> list[Table]:
    """Measure each format; `--quick` takes 2 GB of `.npy` and 0.2 GB of the others."""
    table = Table("Features in files, float32, d = 2048, K = 100: GB per second and pass", _HEADER)
    with tempfile.TemporaryDirectory(prefix="ncfast-bench-", dir=os.environ.get("NCFAST_BENCH_DIR")) as folder:
        for form, full in _ROWS.items():
            rows = full // 10 if options.quick else full
            place = Path(folder) / "now"
            place.mkdir()
            _write(form, rows, place)
            _row(table, form, rows, place, options)
            shutil.rmtree(place)
    table.notes += [
        "rates: bytes of the features times the passes over them, over the seconds of all passes",
        f"in memory: the same call on an array of at most {_MEMORY_ROWS:,} rows in memory",
        "reading alone: as many passes of the reader, blocks of 32 MiB, nothing computed; for .npy that is the disk, or"
        " the page cache",
        "of the lower: measured, over the lower of the two rates before it",
        "reading, 1 pass: from the disk, decoding included: what the format costs",
        "peak - state: largest resident size of the process less `Accumulator.nbytes`; Python, libraries, labels and"
        " 128 MiB of buffers are in it",
    ]
    return [table]


def _row(table: Table, form: str, rows: int, place: Path, options: Options) -> None:
    size = 4 * rows * _FEATURES
    turns: dict[str, list[dict[str, float]]] = {"memory": [], "read": [], "measure": []}
    for _ in range(min(options.repeats, 3)):
        for what, found in turns.items():
            if form != _CACHED:
                _forget(place)
            found.append(_child(what, place, options.threads))
    rates = {
        what: statistics.median(turn["bytes"] / turn["seconds"] for turn in found) for what, found in turns.items()
    }
    first = statistics.median(size / turn["first"] for turn in turns["read"])
    beyond = max(turn["peak"] - turn["state"] for turn in turns["measure"])
    share = rates["measure"] / min(rates["memory"], rates["read"])
    gigabytes = [f"{rates[what] / 1e9:.2f}" for what in ("memory", "read", "measure")]
    cells = [form, f"{size / 1e9:.1f}", *gigabytes, ratio(share), f"{first / 1e9:.2f}", f"{beyond / 1e6:.0f} MB"]
    table.rows.append(cells)
    table.records.append(
        {"format": form, "rows": rows, "rates": rates, "share": share, "beyond": beyond, "turns": turns}
    )


def _forget(place: Path) -> None:
    """Have the system drop the files from its cache."""
    for path in (path for path in place.rglob("*") if path.is_file()):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _write(form: str, rows: int, place: Path) -> None:
    """Write features in collapse, labels and weights, a batch of rows at a time."""
    case = data.make(_BATCH, _FEATURES, _CLASSES, spread=1e-2)
    np.save(place / "labels.npy", np.resize(case.labels, rows))
    np.save(place / "weights.npy", case.weights)
    batches = -(-rows // _BATCH)
    if form.startswith("npy"):
        with (place / "features.npy").open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (rows, _FEATURES)}
            np.lib.format.write_array_header_1_0(file, header)
            for _ in range(batches):
                file.write(case.features.data)
    elif form == "parquet":
        import pyarrow
        from pyarrow.parquet import ParquetWriter

        column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(case.features.ravel()), _FEATURES)
        batch = pyarrow.table({"features": column})
        with ParquetWriter(place / "features.parquet", batch.schema) as writer:
            for _ in range(batches):
                writer.write_table(batch)
    else:
        import zarr

        plain: dict[str, Any] = {"compressors": None} if "uncompressed" in form else {}
        shape, chunks = (rows, _FEATURES), (_BATCH // 4, _FEATURES)
        array = zarr.create_array(place / "features.zarr", shape=shape, chunks=chunks, dtype="f4", **plain)
        for start in range(0, rows, _BATCH):
            array[start : start + _BATCH] = case.features


def _child(what: str, place: Path, threads: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.reading", what, str(place), str(threads)]
    environment = timing.environment(threads) | {"GOMP_SPINCOUNT": "3000"}  # as the command line has it
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{what} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    return found
