"""What classes are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..report import Report


class Names:
    """Names of classes by label; without any, the labels themselves."""

    def __init__(self, names: Sequence[str] | None, report: Report) -> None:
        if names is not None and (isinstance(names, str) or not all(isinstance(name, str) for name in names)):
            raise TypeError(f"class_names is {names!r:.100}; wanted a sequence of strings")
        wanted = report.num_classes if report.classes is None else max(report.classes) + 1
        if names is not None and (len(names) < wanted or (report.classes is None and len(names) != wanted)):
            raise ValueError(f"class_names holds {len(names)} names; wanted one for each of {wanted} classes")
        self._names = names

    def __call__(self, label: int) -> str:
        """Return the name of a class."""
        return f"class {label}" if self._names is None else self._names[label] or f"class {label}"

    def briefly(self, label: int) -> str:
        """Return the name of a class where it is plain that it is one."""
        return str(label) if self._names is None else self(label)

    def all(self, labels: Iterable[int]) -> list[str]:
        """Return the names of several."""
        return [self(int(label)) for label in labels]
