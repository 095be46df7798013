"""Reports to where experiments are logged: files that grow line by line, TensorBoard, Weights & Biases.

Nothing here is imported until it is used, and nothing of TensorBoard or Weights & Biases ever: writers and runs come
from the caller.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from .report import Report

Label = str | int | float


class ScalarWriter(Protocol):
    """What TensorBoard's ``SummaryWriter`` of any package has."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> Any:
        """Log one value."""


class Run(Protocol):
    """What a run of Weights & Biases has, and the module itself."""

    def log(self, data: dict[str, Any], step: int | None = None) -> Any:
        """Log several values."""


def append_jsonl(path: str | os.PathLike[str], report: Report, **labels: Label) -> None:
    """Append one line of strict JSON: `labels`, then the metrics with their floors and errors.

    Infinite and undefined values become the strings ``"inf"``, ``"-inf"`` and ``"nan"``.

    Parameters
    ----------
    path : path-like
        File to append to; made if it is not there.
    report : Report
    **labels : str, int or float
        What tells this line from others, as ``epoch=3``.
    """
    row = {name: value if math.isfinite(value) else str(value) for name, value in report.row().items()}
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps({**labels, **row}, allow_nan=False) + "\n")


def append_csv(path: str | os.PathLike[str], report: Report, **labels: Label) -> None:
    """Append one line of comma-separated values, after a header if the file is new.

    Parameters
    ----------
    path : path-like
        File to append to; made if it is not there.
    report : Report
    **labels : str, int or float
        Columns in front of the metrics, as ``epoch=3``.

    Raises
    ------
    ValueError
        If the file has other columns than this line would have.
    """
    row: dict[str, Label] = {**labels, **report.row()}
    target = Path(path)
    if target.exists() and target.stat().st_size:
        with target.open(encoding="utf-8", newline="") as file:
            header = next(csv.reader(file))
        if header != list(row):
            odd = sorted(set(header) ^ set(row)) or ["their order"]
            raise ValueError(f"{path}: has other columns than this report; first difference: {odd[0]}")
        with target.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow(row.values())
    else:
        with target.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([row.keys(), row.values()])


def log_tensorboard(
    writer: ScalarWriter, report: Report, step: int | None = None, *, prefix: str = "collapse/"
) -> None:
    """Log every metric as a scalar.

    Parameters
    ----------
    writer : SummaryWriter
        Of ``torch.utils.tensorboard``, ``tensorboardX`` or any other package.
    report : Report
    step : int, optional
        Step or epoch.
    prefix : str, default "collapse/"
        Put before the names of the metrics.
    """
    for name, value in report.items():
        writer.add_scalar(prefix + name, value, step)


def log_wandb(run: Run, report: Report, step: int | None = None, *, prefix: str = "collapse/") -> None:
    """Log every metric in one call.

    Parameters
    ----------
    run : wandb.Run
        A run, or the module ``wandb`` for the current one; MLflow's ``log_metrics`` fits by a lambda.
    report : Report
    step : int, optional
        Step or epoch; by default the run's own counter goes on.
    prefix : str, default "collapse/"
        Put before the names of the metrics.
    """
    run.log(prefixed(report, prefix), step=step)


def prefixed(report: Mapping[str, float] | Report, prefix: str) -> dict[str, float]:
    """Return the metrics with a prefix before their names, for any logger that takes a dict."""
    return {prefix + name: value for name, value in report.items()}
