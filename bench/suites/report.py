"""Whole NC1-NC4 reports against baselines: checked equal first, then timed, then peak memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import baselines, data, memory, timing
from ..baselines import NUMPY, OURS, TORCH, TORCH_BEST, Report
from ..floors import report_floor
from ..results import Table, ratio, seconds

if TYPE_CHECKING:
    from . import Options

SHAPES = ((100_000, 512, 10), (100_000, 2048, 100), (50_000, 2048, 1000), (20_000, 768, 5000))
# What float32 promises at a spread of 1e-2 of the means' distance, and samples that rounding may place
# on either side of a boundary.
TOLERANCE = 1e-3
_TIES = 1e-4
_COUNTED = ("nc4_disagreement", "ncc_accuracy")
_MIB = 2**20


def run(options: Options) -> list[Table]:
    """Compare, time and weigh the reports of all shapes in both states."""
    names = list(baselines.available())
    others = [name for name in names if name != OURS]
    first = ["N", "d", "K", "state"]
    times = Table("Whole report: median time, and multiples of the time of ncfast", [*first, *names, "noise"])
    floors = Table(
        "Whole report: what its large parts cost at best, and how many times that torch takes",
        [*first, "floor", "floor / ncfast", f"{TORCH} / floor", f"{TORCH_BEST} / floor"],
    )
    peaks = Table("Whole report: peak memory beyond the features, MiB", [*first, "features", *names])
    equal = Table("Whole report: largest relative difference to ncfast / samples decided otherwise", [*first, *others])
    for shape in SHAPES:
        n = max(shape[0] // 10, 2 * shape[2]) if options.quick else shape[0]
        for state in data.STATES:
            _one_case((n, *shape[1:]), state, options, times, floors, peaks, equal)
    times.notes += [
        "the torch baselines work in float32 throughout, ncfast in float32 products and float64 sums, numpy in float64",
        "ncfast reports 22 numbers more than the baselines, among them the spectra of means and weights, and checks"
        " its input; that time is included",
        "multiples: the median over the turns, each with ncfast's beside it",
        "noise: how far the slowest turn lay above the fastest, the largest of the contenders",
        "n/a: float64 would take minutes, or the package is not installed",
    ]
    peaks.notes.append("largest resident size during the report less that before it, each in its own process")
    equal.notes.append(
        f"asserted: all metrics within {TOLERANCE:g}, and at most {_TIES:g} of the samples, those at a boundary to"
        " float32 rounding, decided differently"
    )
    floors.notes.append(
        "floor: reading twice, once behind products, the products and the eigenvalues that no plan of ncfast can do"
        " without (`bench/floors.py`), at the rates of torch.sum, of products (the best of X @ Y.T by numpy and torch"
        " and of our own projection), of searches where no sample is in doubt and of LAPACK on this machine; torch over"
        " floor is the most that any ratio in the first table could be"
    )
    return [times, floors, peaks, equal]


def _one_case(
    shape: tuple[int, int, int], state: str, options: Options, times: Table, floors: Table, peaks: Table, equal: Table
) -> None:
    case = data.in_state(*shape, state)
    contenders = {
        name: lambda run=run: run(case)
        for name, run in baselines.available().items()
        if name != NUMPY or _is_small(shape)
    }
    head = [f"{shape[0]:,}", str(shape[1]), f"{shape[2]:,}", state]
    record = {"N": shape[0], "d": shape[1], "K": shape[2], "dtype": "float32", "state": state}

    gaps = _checked_gaps({name: run() for name, run in contenders.items()}, shape[0], f"{shape}, {state}")
    equal.rows.append([*head, *(_gap_cell(gaps.get(name)) for name in equal.header[4:])])
    equal.records.append({**record, "differences": gaps})

    took = timing.interleaved(contenders, options.repeats, warm_up=False)  # the check has warmed them up
    base = took[OURS].median
    cells = {name: f"{seconds(t.median)} ({ratio(t.over(took[OURS]))}x)" for name, t in took.items()}
    cells[OURS] = seconds(base)
    noise = f"{max(timing.spread for timing in took.values()):.0%}"
    times.rows.append([*head, *(cells.get(name, "n/a") for name in times.header[4:-1]), noise])
    times.records.append({**record, "threads": options.threads, "seconds": {n: vars(t) for n, t in took.items()}})

    floor = report_floor(shape, state)
    most = [took[name].median / floor for name in (TORCH, TORCH_BEST)]
    floors.rows.append([*head, seconds(floor), f"{floor / base:.2f}", *(f"{ratio(value)}x" for value in most)])
    floors.records.append({**record, "floor": floor})

    need = {name: memory.peak_beyond_input(name, shape, state, options.threads) for name in contenders}
    megabytes = {name: "?" if bytes_ is None else f"{bytes_ / _MIB:.0f}" for name, bytes_ in need.items()}
    size = case.features.nbytes
    peaks.rows.append([*head, f"{size / _MIB:.0f}", *(megabytes.get(name, "n/a") for name in peaks.header[5:])])
    peaks.records.append({**record, "features_bytes": size, "peak_bytes": need})


def _is_small(shape: tuple[int, int, int]) -> bool:
    n, d, k = shape
    return n * d * max(d, 2 * k) <= 1.6e11


def _checked_gaps(reports: dict[str, Report], samples: int, what: str) -> dict[str, tuple[float, int]]:
    """Per baseline, the largest relative difference of the metrics to ours, and of the counts in samples."""
    ours = reports[OURS]
    gaps = {}
    for name, theirs in reports.items():
        if name == OURS:
            continue
        relative = max(abs(theirs[key] - ours[key]) / abs(ours[key]) for key in theirs if key not in _COUNTED)
        counts = max((round(abs(theirs[key] - ours[key]) * samples) for key in _COUNTED if key in theirs), default=0)
        if relative > TOLERANCE or counts > max(3, _TIES * samples):
            raise AssertionError(f"{name} and ncfast differ on {what}: by {relative:.2g}, and on {counts} samples")
        gaps[name] = (relative, counts)
    return gaps


def _gap_cell(gap: tuple[float, int] | None) -> str:
    return "n/a" if gap is None else f"{gap[0]:.0e} / {gap[1]}"
