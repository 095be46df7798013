"""A few of the damaged files of `long/fuzz_files.py`, and all that ever broke something."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from long import fuzz_files

CORPUS = Path(__file__).parent / "corpus"
BROKE = sorted(CORPUS.glob("*/*"))


@pytest.mark.parametrize("form", fuzz_files.BASES)
def test_damaged_files_are_read_or_refused_in_one_line(form, tmp_path):
    seen: Counter[str] = Counter()
    fuzz_files._fuzz(form, 30, str(tmp_path / "corpus"), str(tmp_path), seen)
    assert set(seen) == {"refused", "read"} or set(seen) == {"refused"}
    assert seen.total() >= 30


def test_what_broke_once_is_refused_now(tmp_path):
    for number, file in enumerate(BROKE):
        place = tmp_path / str(number)
        place.mkdir()
        bases = fuzz_files.written(file.parent.name, place)
        which = fuzz_files.BASES[file.parent.name][0].index(file.name.rpartition("-")[0])
        paths, how, target = bases[which]
        target.write_bytes(file.read_bytes())
        assert fuzz_files.outcome(paths, how) in ("refused", "read")
