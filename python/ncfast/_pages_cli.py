"""The commands ``ncfast compare`` and ``ncfast watch``, and the page of ``ncfast measure``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .report import Report
    from .watch import Watcher

_INPUTS = ("features", "labels", "weights", "bias")


def add_page_options(measure: argparse.ArgumentParser) -> None:
    """Add what ``ncfast measure`` needs to write a page."""
    measure.add_argument("--html", type=Path, metavar="OUT", help="also write the report as a web page")
    _add_class_names(measure)
    measure.add_argument(
        "--history", type=Path, nargs="+", metavar="JSON", help="earlier reports, for curves on the page"
    )


def write_page(report: Report, options: argparse.Namespace) -> Report:
    """Write the page that ``ncfast measure`` was asked for; return the report, its inputs named by their paths."""
    if options.html is None:
        return report
    from dataclasses import replace

    from .compare import load_reports

    assert report.details is not None
    given = {name: getattr(options, name, None) for name in _INPUTS}
    report = replace(report, details=report.details.from_paths({n: p for n, p in given.items() if p is not None}))
    history = None if options.history is None else load_reports(options.history)
    report.to_html(options.html, class_names=_class_names(options), history=history)
    return report


def add_commands(commands: Any) -> None:
    """Add the commands to those of ``ncfast``."""
    compare = commands.add_parser(
        "compare",
        help="several reports side by side",
        description="Show several reports side by side: runs, checkpoints or layers. Files whose names differ in a"
        " number at their end alone come in the order of that number.",
    )
    compare.add_argument("reports", type=Path, nargs="+", help="files that measure --json wrote")
    compare.add_argument("--html", type=Path, metavar="OUT", help="also write a page with curves")
    compare.add_argument("--title", help="heading of the page")
    _add_class_names(compare)
    compare.set_defaults(run=_compare)

    watch = commands.add_parser(
        "watch",
        help="follow a directory of dumps and keep a page up to date",
        description="Measure each epoch that a training run dumps, and keep a page of all of them up to date. An epoch"
        " is a folder DIR/NAME with features.npy and labels.npy (or DIR/labels.npy for all), if there is a classifier"
        " weights.npy and bias.npy; or a report DIR/NAME.json. Names are sorted as people count.",
    )
    watch.add_argument("directory", type=Path, metavar="DIR")
    watch.add_argument("--html", type=Path, metavar="OUT", help="page to write; default: DIR/index.html")
    watch.add_argument("--title", help="heading of the page")
    _add_class_names(watch)
    watch.add_argument("--once", action="store_true", help="measure what is there, then stop")
    watch.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="between looks (%(default)s)")
    watch.add_argument("--metrics", default="standard", metavar="NAMES", help="as of ncfast measure")
    watch.add_argument("--num-classes", type=int, metavar="K", help="default: rows of weights, or largest label + 1")
    watch.add_argument("--threads", type=int, metavar="N", help="default: all processors")
    watch.set_defaults(run=_watch)


def _add_class_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--class-names", type=Path, metavar="FILE", help="names for the page, one a line")


def _class_names(options: argparse.Namespace) -> tuple[str, ...] | None:
    from .page.files import read_class_names

    return None if options.class_names is None else read_class_names(options.class_names)


def _compare(options: argparse.Namespace) -> None:
    from .compare import load_reports, table
    from .page import comparison_page
    from .page.files import write_text

    reports = load_reports(options.reports)
    if options.html is not None:
        write_text(options.html, comparison_page(reports, class_names=_class_names(options), title=options.title))
    print(table(reports))


def _watch(options: argparse.Namespace) -> None:
    from . import set_num_threads
    from .watch import Watcher, follow

    if not options.interval > 0:
        raise ValueError(f"--interval is {options.interval:g}; wanted a positive number of seconds")
    if options.threads is not None:
        set_num_threads(options.threads)
    measuring = {"metrics": options.metrics.split(","), "num_classes": options.num_classes}
    watcher = Watcher(options.directory, measuring)
    page = _Page(options)
    if options.once:
        watcher.look(settled=True)
        page.update(watcher)
        if not watcher.reports:
            found = next(iter(watcher.problems.values()), "no folder with features.npy and no report .json in it")
            raise ValueError(f"{options.directory}: nothing to show; {found}")
    else:
        follow(watcher, page.update, interval=options.interval)


class _Page:
    """The page, and what is said of epochs on the way, each once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._names = _class_names(options)
        self._title = options.title or options.directory.resolve().name
        self._path = options.html or options.directory / "index.html"
        self._refresh = None if options.once else max(2, round(options.interval))
        self._said: set[tuple[str, str]] = set()

    def update(self, watcher: Watcher) -> None:
        """Tell what is new, and write the page."""
        from .page import comparison_page
        from .page.files import write_text

        for name, problem in watcher.problems.items():
            self._say(name, f"{name}: {problem}", sys.stderr)
        for name, report in watcher.reports.items():
            found = [
                f"{key} {report[key]:.4g}" for key in ("nc1_pinv", "nc2_etf_means", "nc4_disagreement") if key in report
            ]
            self._say(name, f"{name}: {', '.join(found)}", sys.stdout)
        if watcher.reports:
            page = comparison_page(watcher.reports, class_names=self._names, title=self._title, refresh=self._refresh)
            write_text(self._path, page)

    def _say(self, name: str, line: str, stream: Any) -> None:
        if (name, line) not in self._said:
            self._said.add((name, line))
            print(line, file=stream, flush=True)
