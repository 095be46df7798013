"""Damage files at random, and see that each one is read or refused in one line.

    PYTHONPATH=tests python tests/long/fuzz_files.py 100000                  # inputs for each format
    PYTHONPATH=tests python tests/long/fuzz_files.py 20000 npy parquet --corpus tests/corpus

Each format runs in a process of its own. What breaks (another kind of error, several lines, a crash, more than ten
seconds of the processor) is kept in the corpus, which `test_files_fuzz.py` replays.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import shutil
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import files
import ncfast

SLOW = 10.0
FEATURES = np.random.default_rng(2).standard_normal((12, 3)).astype(np.float32)
LABELS = np.arange(12) % 3
# Format: how its intact files are written, and which of the files written is damaged.
BASES = {
    "npy": (("npy", "npy_by_column"), "features.npy"),
    "npz": (("npz", "npz_deflated"), "dump.npz"),
    "safetensors": (("safetensors",), "dump.safetensors"),
    "index": (("safetensors_indexed",), "dump.safetensors.index.json"),
    "parquet": (("parquet",), "dump.parquet"),
    "arrow": (("arrow_file", "arrow_stream"), "dump.arrow"),
    "hdf5": (("hdf5", "hdf5_contiguous"), "dump.h5"),
    "zarr": (("zarr_group",), "dump.zarr/features/zarr.json"),
    "zarr_chunk": (("zarr_group",), "dump.zarr/features/c/0/0"),
    "torch": (("torch_dict",), "dump.pt"),
}
WORDS = [
    b"\0" * 8,
    b"\xff" * 8,
    b"\x7f" * 4,
    b"\0\0\0\x80",
    b"\xff\xff\xff\x7f",
    b"0",
    b"-1",
    b"99999999999999999999",
    b'"',
]


def damage(content: bytes, program: bytes) -> bytes:
    """Apply changes to a file: five bytes of the program each, for what, where and with what."""
    spoilt = bytearray(content)
    for what, high, low, value, more in zip(*(program[i::5] for i in range(5)), strict=False):
        if not spoilt:
            break
        place = low if what & 64 else high << 8 | low
        at = (-place if what & 128 else place) % len(spoilt)
        kind = what % 6
        if kind == 0:
            spoilt[at] ^= 1 << value % 8
        elif kind == 1:
            word = WORDS[more % len(WORDS)]
            spoilt[at : at + len(word)] = word
        elif kind == 2:
            spoilt[at : at + 1] = bytes([value]) * (more % 9)
        elif kind == 3:
            del spoilt[at : at + more % 16]
        elif kind == 4:
            spoilt[at : at + 16] = spoilt[(value << 8 | more) % len(spoilt) :][:16]
        elif value % 4 == 0:
            del spoilt[at:]
    return bytes(spoilt)


def written(form: str, folder: Path) -> list[tuple[list[str], dict[str, Any], Path]]:
    """Write the intact files of a format; return what opens each, and the file to damage."""
    found = []
    for i, name in enumerate(BASES[form][0]):
        place = folder / str(i)
        place.mkdir()
        paths, how = files.FORMATS[name](place, FEATURES, LABELS)
        target = place / BASES[form][1]
        found.append((paths, how, target))
    return found


def outcome(paths: list[str], how: dict[str, Any]) -> str:
    """Open and read everything; return "read" or "refused", and raise what should not be raised."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = ncfast.open_features(*paths, **how).source
            rows = max(1, (1 << 20) // (source.shape[1] * source.stored.itemsize))
            out = np.empty((min(rows, source.shape[0]), source.shape[1]), source.stored)
            for start in range(0, min(source.shape[0], 64 * rows), rows):
                source.read(start, out[: source.shape[0] - start])
    except (ValueError, TypeError, OSError) as error:
        if "\n" in str(error):
            raise AssertionError(f"several lines: {error}") from error
        return "refused"
    return "read"


def _fuzz(form: str, count: int, corpus: str, folder: str, seen: Any) -> None:
    bases = written(form, Path(folder))
    outcome(*bases[0][:2])  # imports what reads it
    intact = [target.read_bytes() for _, _, target in bases]

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(bases) - 1), st.binary(min_size=5, max_size=25))
    def one(which: int, program: bytes) -> None:
        paths, how, target = bases[which]
        target.write_bytes(damage(intact[which], program))
        start = time.process_time()
        try:
            seen[outcome(paths, how)] += 1
        except BaseException as error:  # whatever it is, it is kept and the rest goes on
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            keep(form, which, target, corpus)
            seen[f"broke: {type(error).__name__}: {str(error)[:100]}"] += 1
        if time.process_time() - start > SLOW:
            keep(form, which, target, corpus)
            seen["slow"] += 1
        target.write_bytes(intact[which])

    one()


def keep(form: str, which: int, target: Path, corpus: str) -> None:
    """Keep a damaged file, by the name of the format, of the intact file and of its content."""
    content = target.read_bytes()
    name = f"{BASES[form][0][which]}-{hashlib.sha256(content).hexdigest()[:12]}"
    place = Path(corpus) / form
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(content)


def _child(form: str, count: int, corpus: str, folder: str, pipe: Any) -> None:
    seen: Counter[str] = Counter()
    try:
        _fuzz(form, count, corpus, folder, seen)
    finally:
        pipe.send(seen)


def fuzz(form: str, count: int, corpus: str) -> Counter[str]:
    """Fuzz one format in a process of its own, again and again if that crashes; return what happened how often."""
    total: Counter[str] = Counter()
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    while sum(total.values()) < count and total["crashed"] < 20:
        folder = tempfile.mkdtemp(dir=base)
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(
            target=_child, args=(form, count - sum(total.values()), corpus, folder, theirs)
        )
        process.start()
        theirs.close()
        try:
            total += ours.recv()
            process.join()
        except EOFError:
            process.join()
            total["crashed"] += 1
            for which in range(len(BASES[form][0])):
                keep(form, which, Path(folder) / str(which) / BASES[form][1], corpus)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return total


def main() -> None:
    """Run as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("formats", nargs="*", default=list(BASES))
    parser.add_argument("--corpus", default=str(Path(__file__).parent.parent / "corpus"))
    arguments = parser.parse_args()
    for form in arguments.formats or BASES:
        start = time.monotonic()
        seen = fuzz(form, arguments.count, arguments.corpus)
        print(f"{form}: {sum(seen.values()):,} inputs in {time.monotonic() - start:.0f} s: {dict(seen)}", flush=True)


if __name__ == "__main__":
    main()
