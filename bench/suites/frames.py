"""Frames, trained ones too: ways to their singular values, with the errors of each, and their pairs against torch."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from ncfast.metrics import spectrum, tightness
from ncfast.metrics._sweep import PairSweep, scaled_frame, sweep

from .. import timing, trained
from ..baselines.torch_pairs import pair_metrics
from ..results import Table, ratio, seconds

if TYPE_CHECKING:
    from . import Options

Float = NDArray[np.float64]
_OURS, _LAPACK, _EIGEN = "ncfast", "LAPACK SVD", "Eigen BDCSVD"
_EIGEN_SOURCE = Path(__file__).parents[1] / "eigen_svd.cpp"
_TOLERANCE = 1e-4
_MANY = 10_000


def run(options: Options) -> list[Table]:
    """Find the singular values of each frame every way, and sweep over its pairs."""
    frames = _frames(options.quick)
    with tempfile.TemporaryDirectory() as folder:
        spectra = _spectra(frames, options, _eigen_program(Path(folder)))
    return [spectra, _pairs(frames, options)]


def _frames(quick: bool) -> dict[str, Float]:
    """Independent entries, singular values that fall to 1e-6, and what is trained and installed."""
    shapes = ((200, 512), (800, 128)) if quick else ((1000, 2048), (5000, 768))
    rng = np.random.default_rng(0)
    made = [rng.standard_normal(shape) for shape in shapes]
    left, _, right = np.linalg.svd(made[0], full_matrices=False)
    return {
        "independent entries, more features": made[0],
        "independent entries, more classes": made[1],
        "singular values falling to 1e-6": left * np.geomspace(1, 1e-6, shapes[0][0]) @ right,
        **{name: frame.astype(np.float64) for name, frame in trained.frames().items()},
    }


def _spectra(frames: dict[str, Float], options: Options, eigen_program: Path | None) -> Table:
    ways = list(_ways(np.eye(2)))
    table = Table(
        "Singular values in float64: time, multiples of that of ncfast, largest error over the largest value",
        ["frame", "K", "d", "largest / smallest", *ways, _EIGEN],
    )
    for name, frame in frames.items():
        contenders = _ways(frame)
        exact = contenders[_LAPACK]()
        errors = {way: _error(find(), exact) for way, find in contenders.items()}
        if errors[_OURS] > 1e-6:
            raise AssertionError(f"singular values of {name} are off by {errors[_OURS]:.1g} of the largest")
        took = timing.interleaved(contenders, options.repeats, warm_up=False)
        cells = {
            way: f"{seconds(t.median)} ({ratio(t.over(took[_OURS]))}x), {errors[way]:.0e}" for way, t in took.items()
        }
        cells[_OURS] = f"{seconds(took[_OURS].median)}, {errors[_OURS]:.0e}"
        median = None
        if eigen_program is not None:
            median, values = _with_eigen(eigen_program, frame, options)
            cells[_EIGEN] = f"{seconds(median)} ({ratio(median / took[_OURS].median)}x), {_error(values, exact):.0e}"
        k, d = frame.shape
        table.rows.append(
            [name, f"{k:,}", str(d), f"{exact[0] / exact[-1]:.3g}", *(cells.get(way, "n/a") for way in (*ways, _EIGEN))]
        )
        table.records.append(
            {"frame": name, "K": k, "d": d, "threads": options.threads, "errors": errors}
            | {"seconds": {way: t.median for way, t in took.items()}, "eigen": median}
        )
    table.notes += [
        "error 0: those of the LAPACK SVD are what the others are compared with",
        "ncfast takes them from the smaller Gram matrix, and by the LAPACK SVD where the smallest value that counts is"
        " below a hundredth of the largest: a Gram matrix squares the ratio, and its error with it",
        f"{_EIGEN}: a program of its own with as many threads, built with `-O3 -march=native -fopenmp`",
        f"trained frames: `{trained.INSTALL}`",
    ]
    return table


def _ways(frame: Float) -> dict[str, Callable[[], Float]]:
    """Everything that finds singular values in this process."""
    rank = min(frame.shape)
    tensor = torch.from_numpy(frame)
    return {
        _OURS: lambda: spectrum(frame).singular_values,
        _LAPACK: lambda: np.linalg.svd(frame, compute_uv=False),
        "torch svdvals": lambda: torch.linalg.svdvals(tensor).numpy(),
        "Gram matrix, eigvalsh": lambda: _from_gram(frame),
        "scikit-learn randomized_svd": lambda: randomized_svd(frame, rank, random_state=0)[1],
    }


def _from_gram(frame: Float) -> Float:
    gram = frame.T @ frame if frame.shape[0] > frame.shape[1] else frame @ frame.T
    values: Float = np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0))
    return values


def _error(values: Float, exact: Float) -> float:
    return float(np.abs(values - exact).max() / exact[0])


def _eigen_program(folder: Path) -> Path | None:
    """Build it; None without a compiler or Eigen's headers."""
    compiler, eigency = shutil.which("c++"), util.find_spec("eigency")
    if compiler is None or eigency is None or not eigency.submodule_search_locations:
        return None
    headers, program = Path(eigency.submodule_search_locations[0]) / "eigen", folder / "eigen_svd"
    flags = ["-O3", "-march=native", "-fopenmp", "-std=c++17", f"-I{headers}"]
    subprocess.run([compiler, *flags, str(_EIGEN_SOURCE), "-o", str(program)], check=True)
    return program


def _with_eigen(program: Path, frame: Float, options: Options) -> tuple[float, Float]:
    """Median time and singular values of Eigen's divide and conquer."""
    data, repeats = program.with_name("frame"), min(options.repeats, 3)
    data.write_bytes(frame.tobytes())
    done = subprocess.run(
        [str(program), str(data), *map(str, (*frame.shape, repeats))],
        capture_output=True,
        text=True,
        check=True,
        env=timing.environment(options.threads),
    )
    numbers = [float(line) for line in done.stdout.split()]
    return statistics.median(numbers[:repeats]), np.array(numbers[repeats:])


def _pairs(frames: dict[str, Float], options: Options) -> Table:
    names = ("ncfast, float64", "ncfast, float32", "torch, float32")
    table = Table(
        "All pairs: cosines, coherence and log-uniformity of a frame",
        ["frame", "K", "d", "coherence", "tightness", "log-uniformity", *names],
    )
    for name, frame in frames.items():
        single = torch.from_numpy(frame.astype(np.float32))
        contenders: dict[str, Callable[[], object]] = {
            names[0]: partial(_sweep, frame, np.float64),
            names[1]: partial(_sweep, frame, np.float32),
            names[2]: partial(pair_metrics, single),
        }
        found = _sweep(frame, np.float64)
        for other in (_numbers(_sweep(frame, np.float32)), pair_metrics(single)):
            _require_close(_numbers(found), other, name)
        k, d = frame.shape
        took = timing.interleaved(contenders, 3 if k > _MANY else options.repeats, warm_up=False)
        cells = [f"{seconds(t.median)} ({ratio(t.over(took[names[0]]))}x)" for t in took.values()]
        cells[0] = seconds(took[names[0]].median)
        values = (found.coherence, tightness(frame), found.kernel_moments[0])
        table.rows.append([name, f"{k:,}", str(d), *(f"{value:.4g}" for value in values), *cells])
        table.records.append(
            {"frame": name, "K": k, "d": d, "threads": options.threads, **_numbers(found)}
            | {"seconds": {contender: t.median for contender, t in took.items()}}
        )
    table.notes += [
        "float64, float32: the products; all sums are float64. Frames are as they are, not centred.",
        f"asserted: coherence, deviation and excess of the cosines and log-uniformity agree within {_TOLERANCE:g}",
    ]
    return table


def _sweep(frame: Float, products: type[np.floating]) -> PairSweep:
    return sweep(scaled_frame(frame, products=products), kernel="log")


def _numbers(found: PairSweep) -> dict[str, float]:
    return {
        "coherence": found.coherence,
        "equiangularity": found.equiangularity,
        "max_angle": found.max_angle,
        "log_uniformity": found.kernel_moments[0],
    }


def _require_close(ours: dict[str, float], theirs: dict[str, float], name: str) -> None:
    for key, value in ours.items():
        if abs(theirs[key] - value) > _TOLERANCE:
            raise AssertionError(f"{key} of {name} is {value}, and {theirs[key]} in float32")
