"""The table of a sweep: settings, header, one line per finished cell in the order of the grid; it is what resumes."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_MARK = "# ncfast ufm sweep "

Row = dict[str, Any]


class Table:
    """An open table, to which rows are appended durably."""

    def __init__(self, path: Path, settings: Mapping[str, Any], columns: Sequence[str]) -> None:
        """Open a table, or create it; a torn last line is dropped.

        Raises
        ------
        ValueError
            If the file is something else, or a table of other settings.
        OSError
            If it cannot be opened.
        """
        self._columns = list(columns)
        head = f"{_MARK}{json.dumps(settings)}\n" + _line(self._columns)
        self._file = path.open("a+b")
        try:
            self._file.seek(0)
            content = self._file.read()
            complete = content[: content.rfind(b"\n") + 1].decode("utf-8", errors="replace")
            if not head.startswith(complete) and not complete.startswith(head):
                raise ValueError(_refusal(path, complete, settings))
            if not complete.startswith(head):
                complete = ""  # torn within the head
            self._file.truncate(len(complete.encode()))
            self.rows = list(csv.DictReader(io.StringIO(complete[len(head) :]), self._columns)) if complete else []
            if not complete:
                self._write(head)
        except BaseException:
            self._file.close()
            raise

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row and see it onto the disk."""
        self._write(_line([row[column] for column in self._columns]))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, text: str) -> None:
        self._file.write(text.encode())
        self._file.flush()
        os.fsync(self._file.fileno())


def _line(values: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)  # floats by repr: all their digits
    return text.getvalue()


def _refusal(path: Path, content: str, settings: Mapping[str, Any]) -> str:
    """Say why a file cannot be continued."""
    settings = json.loads(json.dumps(settings))
    line = content.split("\n", 1)[0]
    if line.startswith(_MARK):
        try:
            other = json.loads(line.removeprefix(_MARK))
        except ValueError:
            other = None
        if isinstance(other, dict):
            names = [name for name in {**settings, **other} if settings.get(name) != other.get(name)]
            if names:
                return (
                    f"{path}: a table of other settings ({', '.join(names)} differ); wanted the same, or another file"
                )
    return f"{path}: not a table of ncfast ufm sweep; wanted another file"
