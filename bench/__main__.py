"""``python -m bench``: run suites, print and store their tables."""

from __future__ import annotations

import argparse
from pathlib import Path

import psutil

from . import machine, results, timing
from .suites import SUITES, Options


def main() -> None:
    """Run what the command line asks for."""
    arguments = _parser().parse_args()
    if arguments.list:
        for name, suite in SUITES.items():
            print(f"{name:10} {(suite.__doc__ or '').splitlines()[0]}")
        return
    repeats = arguments.repeats or (3 if arguments.quick else 7)
    options = Options(arguments.quick, arguments.threads, repeats, arguments.output)
    # Asking to paste alone runs nothing anew.
    for name in arguments.suites or ([] if arguments.markdown else SUITES):
        facts = machine.describe(options.threads)
        with timing.threads(options.threads):
            tables = SUITES[name].run(options)
        results.store(options.output, name, facts, tables)
        print(*(table.text() for table in tables), sep="\n", flush=True)
    if arguments.markdown:
        print("pasted:", ", ".join(results.paste(options.output, arguments.markdown)) or "nothing")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; default: all")
    parser.add_argument("--list", action="store_true", help="list the suites and stop")
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples, 3 repeats")
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1, metavar="N")
    parser.add_argument("--repeats", type=int, metavar="R", help="turns of each contender; default 7")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results", metavar="DIR")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="paste stored results between the markers of FILE; alone: no runs"
    )
    return parser


if __name__ == "__main__":
    main()
