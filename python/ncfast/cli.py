"""The command ``ncfast``: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._source import FeatureFile

_USER_ERROR = 2
_INTERRUPTED = 130

Progress = Callable[[int, int], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 2 for a user's error, 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser(arguments).parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"ncfast: error: {_one_line(error)}", file=sys.stderr)
        return _USER_ERROR
    except KeyboardInterrupt:
        print("ncfast: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ncfast", description="Measure neural collapse in classifiers.")
    parser.add_argument("--version", action="version", version=f"ncfast {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    from ._pages_cli import add_commands as add_page_commands
    from ._pages_cli import add_page_options

    measure = commands.add_parser(
        "measure",
        help="measure a feature matrix",
        description="Measure NC1 to NC4 of features in files, however large.",
    )
    measure.add_argument(
        "features",
        help="(N, d), floating point: .npy .npz .safetensors .parquet .arrow .h5 .zarr .pt, a folder of shards, or a"
        " pattern in quotes",
    )
    measure.add_argument("labels", nargs="?", help="(N,), integers in [0, K), if they are not in the same files")
    _add_files(measure)
    measure.add_argument("--weights", type=Path, help=".npy of shape (K, d): rows of the classifier")
    measure.add_argument("--bias", type=Path, help=".npy of shape (K,): its bias")
    measure.add_argument("--json", type=Path, metavar="OUT", help="also write the report there")
    add_page_options(measure)
    measure.add_argument(
        "--metrics",
        default="standard",
        metavar="NAMES",
        help="standard, all, groups (nc1 ... nc5) or keys, with commas",
    )
    measure.add_argument("--num-classes", type=int, metavar="K", help="default: rows of weights, or largest label + 1")
    measure.add_argument("--classes", type=_numbers, metavar="K,K,...", help="labels to measure; others are left out")
    measure.add_argument("--sample-weights", type=Path, metavar="FILE", help="(N,): how many times each row counts")
    measure.add_argument("--weighting", choices=("papyan", "class", "sample"), default="papyan")
    measure.add_argument("--conventions", choices=("ncfast", "papyan", "zhu", "rhubarbwu"), default="ncfast")
    measure.add_argument("--errors", action="store_true", help="jackknife standard errors over classes")
    measure.add_argument("--precision", choices=("feature", "double"), default="feature")
    measure.add_argument("--nonfinite", choices=("raise", "skip"), default="raise")
    measure.add_argument("--method", choices=("auto", "projection", "scatter"), default="auto")
    measure.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="keep the state there; the same command goes on from it"
    )
    measure.add_argument(
        "--checkpoint-every", type=float, default=60.0, metavar="SECONDS", help="how often (%(default)s)"
    )
    _add_common(measure)
    measure.set_defaults(run=_measure)

    demo = commands.add_parser(
        "demo",
        help="train on handwritten digits until they collapse",
        description="Train a small network on scikit-learn's handwritten digits past zero training error, measure"
        " it along the way, and draw NC1 to NC4 against epochs.",
    )
    demo.add_argument("--output", type=Path, default=Path("ncfast-demo.png"), help="picture to write (%(default)s)")
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--epochs", type=int, help="default: what reaches collapse")
    _add_common(demo)
    demo.set_defaults(run=_demo)

    ufm = commands.add_parser(
        "ufm",
        help="the theory: unconstrained-features models",
        description="Unconstrained-features models: their dynamics and minima against the closed forms.",
    )
    if "ufm" in arguments:  # it imports what others need not wait for
        from .ufm.cli import add_commands

        add_commands(ufm, _progress)

    add_page_commands(commands)

    info = commands.add_parser("info", help="print version, instruction sets, threads and build")
    info.set_defaults(run=_info)
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    """How to read what no file says of itself."""
    parser.add_argument("--features-name", metavar="NAME", help="array, tensor, column or dataset of features")
    parser.add_argument("--labels-name", metavar="NAME", help="the same of labels")
    parser.add_argument("--dtype", help="of bare numbers: float32, bfloat16, ...")
    parser.add_argument("--shape", type=_sizes, metavar="[N,]D", help="of bare numbers")
    parser.add_argument("--offset", type=int, default=0, metavar="BYTES", help="where bare numbers begin")
    parser.add_argument("--memory", type=_bytes, default="128M", metavar="SIZE", help="for reading (%(default)s)")


def _numbers(text: str) -> tuple[int, ...]:
    """Read 3,1,4."""
    return tuple(int(number) for number in text.split(","))


def _sizes(text: str) -> tuple[int, ...]:
    """Read N,D, or D for as many rows as there are."""
    sizes = _numbers(text)
    return sizes if len(sizes) > 1 else (-1, *sizes)


def _bytes(text: str) -> int:
    """Read 1500, 64K, 256M or 2G."""
    number, unit = (text[:-1], text[-1].upper()) if text and text[-1].isalpha() else (text, "")
    return int(float(number) * 1024 ** ("", "K", "M", "G").index(unit))


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, metavar="N", help="default: all processors")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _measure(options: argparse.Namespace) -> None:
    # Threads that spin for long while they wait take processors from the one that reads; read once, by libgomp.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    from . import measure, set_num_threads
    from ._pages_cli import write_page

    if options.threads is not None:
        set_num_threads(options.threads)
    with _progress("rows", options.quiet) as progress:
        report = measure(
            _open_features(options),
            None,
            _open(options.weights),
            _open(options.bias),
            metrics=options.metrics.split(","),
            num_classes=options.num_classes,
            classes=options.classes,
            sample_weights=_open(options.sample_weights),
            weighting=options.weighting,
            conventions=options.conventions,
            errors=options.errors,
            precision=options.precision,
            nonfinite=options.nonfinite,
            method=options.method,
            details=options.html is not None,
            progress=progress,
            checkpoint=options.checkpoint,
            checkpoint_every=options.checkpoint_every,
        )
    report = write_page(report, options)
    if options.json is not None:
        report.to_json(options.json)
    print(report)


def _demo(options: argparse.Namespace) -> None:
    from . import set_num_threads
    from .demo import run_demo

    if options.threads is not None:
        set_num_threads(options.threads)
    epochs = {} if options.epochs is None else {"epochs": options.epochs}
    with _progress("epochs", options.quiet) as progress:
        result = run_demo(options.output, seed=options.seed, progress=progress, **epochs)
    print(result.reports[-1])
    print()
    print(result)


def _info(options: argparse.Namespace) -> None:  # noqa: ARG001 - all commands share a signature
    from . import info

    for name, value in info().items():
        print(f"{name:<14}{', '.join(value) if isinstance(value, list) else value}")


def _open_features(options: argparse.Namespace) -> FeatureFile:
    from . import open_features

    names = ("features_name", "labels_name", "dtype", "shape", "offset", "memory")
    opened = open_features(options.features, options.labels, **{name: getattr(options, name) for name in names})
    if opened.labels is None:
        raise ValueError(f"{opened.path}: has no labels beside the features; wanted LABELS, or --labels-name")
    return opened


def _open(path: Path | None) -> NDArray[Any] | None:
    """Read one array whole, from a file of any format that holds no other; None if there is no file."""
    from .sources import read_array

    return None if path is None else read_array(path)


def _progress(unit: str, quiet: bool) -> AbstractContextManager[Progress | None]:
    """Return a bar on stderr if that is a terminal and tqdm is installed."""
    if quiet or not sys.stderr.isatty():
        return nullcontext()
    try:
        from tqdm import tqdm
    except ImportError:
        return nullcontext()
    return _Bar(tqdm(unit=unit, unit_scale=unit == "rows", leave=False, file=sys.stderr))


class _Bar(AbstractContextManager[Progress]):
    """A tqdm bar that is told (done, total)."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def __enter__(self) -> Progress:
        return self._show

    def _show(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
