"""Descents: stopping, divergence, checkpoints, files, pictures, bad arguments."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncfast import ufm

SIZES: dict[str, Any] = {"num_classes": 4, "num_features": 9, "samples_per_class": 13, "feature_decay": 5e-3}
PROBLEMS: dict[str, ufm.Problem] = {
    "reduced": ufm.MSE(**SIZES, weight_decay=4e-3, bias="free"),
    "deep": ufm.ExtendedMSE(**SIZES, weight_decays=(4e-3, 6e-3)),
    "relu": ufm.ExtendedMSE(**SIZES, weight_decays=(4e-3, 6e-3), nonlinearity="relu"),
    "cross-entropy": ufm.CrossEntropy(**SIZES, weight_decay=4e-3, bias=0.1),
}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "reduced": ("reduced", {"momentum": 0.5}),
    "deep": ("deep", {}),
    "relu": ("relu", {"optimizer": "adam", "step": 0.01, "batch_size": 7}),
    "cross-entropy": ("cross-entropy", {"momentum": 0.5, "nesterov": True}),
}


def assert_same_run(one: ufm.Trajectory, other: ufm.Trajectory) -> None:
    assert one.iterations.tolist() == other.iterations.tolist()
    assert one.loss.tobytes() == other.loss.tobytes()
    assert one.gradient_norm.tobytes() == other.gradient_norm.tobytes()
    assert list(one.metrics) == list(other.metrics)
    for name, values in one.metrics.items():
        assert values.tobytes() == other.metrics[name].tobytes(), name
    assert type(one.final) is type(other.final)
    for name in ("features", "means", "deviations", "bias"):
        left, right = getattr(one.final, name, None), getattr(other.final, name, None)
        assert (left is None) == (right is None)
        assert left is None or left.tobytes() == right.tobytes()
    for left, right in zip(one.final.weights, other.final.weights, strict=True):
        assert left.tobytes() == right.tobytes()
    assert (one.stopped, one.stopped_at, one.dynamics) == (other.stopped, other.stopped_at, other.dynamics)


class InterruptError(Exception):
    pass


@pytest.mark.parametrize("name", RUNS)
def test_an_interrupted_run_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    kind, settings = RUNS[name]
    settings = {"step": 0.05, "iterations": 3007, "record_every": 70, "seed": 2, **settings}
    whole = ufm.descend(PROBLEMS[kind], **settings)
    path = tmp_path / "run.npz"
    pauses = 0

    def interrupt(done: int, of: int, loss: float) -> None:
        assert of == 3007
        assert np.isfinite(loss)
        if done > 200 * (pauses + 1) and pauses < 3:
            raise InterruptError

    while True:
        try:
            resumed = ufm.descend(PROBLEMS[kind], **settings, checkpoint=path, progress=interrupt)
            break
        except InterruptError:
            pauses += 1
    assert pauses >= 1
    assert_same_run(resumed, whole)
    assert_same_run(ufm.descend(PROBLEMS[kind], **settings, checkpoint=path), whole)  # nothing is left to do


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    code = f"""
import time
from ncfast import ufm
from ncfast.ufm import _run
_run._BETWEEN_CHECKPOINTS = 0.0
problem = ufm.MSE(num_classes=4, num_features=9, samples_per_class=13, feature_decay=5e-3, weight_decay=4e-3)
slow = lambda *_: time.sleep(0.05)
ufm.descend(problem, iterations=10**7, record_every=10**5, checkpoint={str(path)!r}, progress=slow)
"""
    child = subprocess.Popen([sys.executable, "-c", code])
    while not path.exists():
        time.sleep(0.01)
    time.sleep(0.3)
    child.send_signal(signal.SIGKILL)
    child.wait()
    problem = ufm.MSE(**SIZES, weight_decay=4e-3)
    settings: dict[str, Any] = {"iterations": 10**7, "record_every": 10**5}
    seen: list[int] = []

    def stop_at_once(done: int, *_: object) -> None:
        seen.append(done)
        raise InterruptError

    with pytest.raises(InterruptError):
        ufm.descend(problem, **settings, checkpoint=path, progress=stop_at_once)
    with np.load(path) as archive:
        iteration, features = int(archive["iteration"]), archive["features"]
    assert iteration == seen[0] > 1
    plain = ufm.descend(problem, iterations=iteration, record_every=10**5)
    assert isinstance(plain.final, ufm.ReducedState)
    assert features[0].tobytes() == np.concatenate([plain.final.means, plain.final.deviations]).tobytes()


@pytest.mark.usefixtures("heeds_interrupts")
def test_an_interrupt_from_the_keyboard_stops_within_half_a_second(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    code = f"""
from ncfast import ufm
problem = ufm.MSE(num_classes=4, num_features=9, samples_per_class=13, feature_decay=5e-3, weight_decay=4e-3)
print("begin", flush=True)
ufm.descend(problem, iterations=10**10, record_every=10**6, checkpoint={str(path)!r})
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
    assert path.exists()


def test_a_damaged_checkpoint_is_never_used(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    settings: dict[str, Any] = {"iterations": 50, "step": 0.05, "checkpoint": path}
    ufm.descend(PROBLEMS["reduced"], **settings)
    whole = path.read_bytes()
    with np.load(path) as archive:
        at = whole.index(archive["features"].tobytes())
    for damaged in (whole[: len(whole) // 2], b"", whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"run\.npz: not a readable checkpoint, or damaged"):
            ufm.descend(PROBLEMS["reduced"], **settings)
        assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    ("kind", "change", "named"),
    [
        ("reduced", {"step": 0.04}, "step 0.05, not 0.04"),
        ("reduced", {"seed": 1}, "seed 0, not 1"),
        ("reduced", {"iterations": 60}, "iterations 50, not 60"),
        ("reduced", {"dynamics": "full"}, "dynamics 'reduced', not 'full'"),
        ("reduced", {"initial": PROBLEMS["reduced"].initial_state(1)}, "initial None, not '"),
        ("deep", {}, "problem 'MSE', not 'ExtendedMSE'"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(
    kind: str, change: dict[str, Any], named: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"iterations": 50, "step": 0.05, "checkpoint": tmp_path / "run.npz"}
    ufm.descend(PROBLEMS["reduced"], **settings)
    with pytest.raises(ValueError, match="checkpoint of other settings") as caught:
        ufm.descend(PROBLEMS[kind], **{**settings, **change})
    assert named in str(caught.value)


@pytest.mark.parametrize("dynamics", ["reduced", "full"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_divergence_keeps_the_record_and_suggests_a_step_that_works(dynamics: str, momentum: float) -> None:
    problem = ufm.ExtendedMSE(
        num_classes=4, num_features=20, samples_per_class=50, feature_decay=5e-3, weight_decays=(5e-3, 5e-3)
    )  # fmt: skip
    start = problem.initial_state(0)
    start = ufm.State((start.weights[0], start.weights[1] * np.sqrt(20)), start.features)  # W_1 not scaled
    settings: dict[str, Any] = {"initial": start, "dynamics": dynamics, "momentum": momentum}
    with pytest.warns(RuntimeWarning, match="diverged at iteration") as caught:
        run = ufm.descend(problem, record_every=1, **settings)
    assert run.stopped == "diverged"
    assert run.diverged_at is not None
    assert 2 <= run.diverged_at <= 10
    assert 1 <= run.iterations.size <= run.diverged_at
    assert np.isfinite(run.loss).all()
    assert run.loss[0] == pytest.approx(problem.objective(start), rel=1e-12)
    bound = problem.smoothness(start)
    assert f"a step below {1 / bound:.3g}" in str(caught[0].message)
    assert caught[0].filename == __file__
    calm = ufm.descend(problem, step=1 / bound, iterations=2000, **{**settings, "momentum": 0.0})
    assert calm.stopped == "iterations"
    assert np.all(np.diff(calm.loss) < 0)


def test_what_starts_beyond_all_numbers_diverges_at_once() -> None:
    problem = PROBLEMS["reduced"]
    with pytest.warns(RuntimeWarning, match="diverged at iteration 0"):
        run = ufm.descend(problem, initial=problem.initial_state(0, scale=1e90))
    assert run.loss.size == 0
    assert run.iterations.size == 0
    assert all(values.size == 0 for values in run.metrics.values())


def test_the_focal_loss_diverges_without_a_bound() -> None:
    problem = ufm.CrossEntropy(**SIZES, weight_decay=4e-3, focal=2.0)
    with pytest.warns(RuntimeWarning, match="try a smaller step"):
        assert ufm.descend(problem, step=1e4, iterations=1000).stopped == "diverged"


def test_early_stops() -> None:
    problem = PROBLEMS["reduced"]
    run = ufm.descend(problem, stop=ufm.Stop(gradient_norm=1e-6))
    assert run.stopped == "gradient_norm"
    assert run.stopped_at == run.iterations[-1] < 50_000
    assert run.gradient_norm[-1] <= 1e-6 < run.gradient_norm[-2]
    run = ufm.descend(problem, stop=ufm.Stop(loss_change=1e-9))
    assert run.stopped == "loss_change"
    changes = np.abs(np.diff(run.loss))
    assert changes[-1] <= 1e-9
    assert (changes[:-1] > 1e-9).all()
    assert run.stopped_at == run.iterations[-1]


def test_an_early_stop_survives_a_checkpoint(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"stop": ufm.Stop(gradient_norm=1e-5), "checkpoint": tmp_path / "run.npz"}
    first = ufm.descend(PROBLEMS["reduced"], **settings)
    assert_same_run(ufm.descend(PROBLEMS["reduced"], **settings), first)


def test_records_at_odd_places() -> None:
    run = ufm.descend(PROBLEMS["reduced"], iterations=25, record_every=10)
    assert run.iterations.tolist() == [0, 10, 20, 25]
    dense = ufm.descend(PROBLEMS["reduced"], iterations=25, record_every=1)
    assert dense.iterations.tolist() == list(range(26))
    assert dense.loss[[0, 10, 20, 25]].tobytes() == run.loss.tobytes()
    assert ufm.descend(PROBLEMS["reduced"], iterations=0).iterations.tolist() == [0]


def test_a_descent_goes_on_from_where_another_ended() -> None:
    problem = PROBLEMS["deep"]
    whole = ufm.descend(problem, iterations=200, step=0.05)
    half = ufm.descend(problem, iterations=100, step=0.05)
    rest = ufm.descend(problem, iterations=100, step=0.05, initial=half.final)
    assert rest.loss[-1] == whole.loss[-1]


def test_an_exact_zero_has_no_frame() -> None:
    problem = PROBLEMS["reduced"]
    state = problem.initial_state(0)
    zero = ufm.State(tuple(0 * w for w in state.weights), 0 * state.features, state.bias)
    run = ufm.descend(problem, initial=zero, iterations=10, record_every=10)
    assert np.isfinite(run.loss).all()
    assert all(np.isnan(values).all() for values in run.metrics.values())


@pytest.mark.parametrize("name", RUNS)
def test_save_and_load(name: str, tmp_path: Path) -> None:
    kind, settings = RUNS[name]
    run = ufm.descend(PROBLEMS[kind], iterations=40, record_every=10, **settings)
    run.save(tmp_path / "run.npz")
    again = ufm.Trajectory.load(tmp_path / "run.npz")
    assert_same_run(again, run)
    assert again.settings == run.settings
    assert again.problem.objective(PROBLEMS[kind].initial_state(1)) == PROBLEMS[kind].objective(
        PROBLEMS[kind].initial_state(1)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_load_refuses_what_is_damaged_or_else(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    ufm.descend(PROBLEMS["deep"], iterations=1).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="not a readable descent file, or damaged"):
        ufm.Trajectory.load(path)
    np.savez(path, format=np.array("something"), version=np.array(1))
    with pytest.raises(ValueError, match="not a descent file"):
        ufm.Trajectory.load(path)
    np.savez(path, format=np.array("ncfast descent"), version=np.array(1))
    with pytest.raises(ValueError, match="not a whole descent file"):
        ufm.Trajectory.load(path)
    with pytest.raises(FileNotFoundError):
        ufm.Trajectory.load(tmp_path / "none.npz")


def test_frame_and_plot(tmp_path: Path) -> None:
    problem = ufm.MSE(**SIZES, weight_decay=4e-3)
    run = ufm.descend(problem, iterations=3000)
    frame = run.to_frame()
    assert list(frame.columns[:3]) == ["iteration", "loss", "gradient_norm"]
    assert len(frame) == 31
    assert (frame["nc1_pinv"] == run.metrics["nc1_pinv"]).all()
    figure = run.plot()
    figure.savefig(tmp_path / "run.png")
    _, middle, _ = figure.axes
    assert {axes.get_yscale() for axes in figure.axes} == {"log"}
    assert [line.get_linestyle() for line in middle.lines].count("--") == 2
    dashed = next(line for line in middle.lines if line.get_linestyle() == "--")
    x, y = np.asarray(dashed.get_xdata()), np.asarray(dashed.get_ydata())
    assert np.polyfit(x, np.log(y), 1)[0] == pytest.approx(run.slopes["nc1_pinv"], rel=1e-9)
    ufm.descend(PROBLEMS["relu"], iterations=100).plot().savefig(tmp_path / "relu.png")


def test_a_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    ufm.descend(PROBLEMS["reduced"], iterations=300, progress=True)
    assert "300/300" in capsys.readouterr().err


MSE = PROBLEMS["reduced"]
START = MSE.initial_state(0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"step": 0.0}, ValueError, "step is 0.0; wanted a positive finite number"),
        ({"step": np.inf}, ValueError, "step is inf"),
        ({"step": "a"}, TypeError, "step is 'a'"),
        ({"iterations": -1}, ValueError, "iterations is -1"),
        ({"iterations": 1.5}, TypeError, "iterations is 1.5"),
        ({"record_every": 0}, ValueError, "record_every is 0"),
        ({"momentum": 1.0}, ValueError, "momentum is 1.0"),
        ({"momentum": -0.1}, ValueError, "momentum is -0.1"),
        ({"nesterov": True}, ValueError, "nesterov is True with momentum 0"),
        ({"optimizer": "sgd"}, ValueError, "optimizer is 'sgd'; wanted one of 'gd', 'adam'"),
        ({"optimizer": "adam", "momentum": 0.5}, ValueError, "moments of its own"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"batch_size": 53}, ValueError, "batch_size is 53; wanted at most the number of samples, 52"),
        ({"dynamics": "fast"}, ValueError, "dynamics is 'fast'"),
        ({"dynamics": "reduced", "optimizer": "adam"}, ValueError, "dynamics is 'reduced', but 'adam' treats"),
        ({"dynamics": "reduced", "batch_size": 5}, ValueError, "dynamics is 'reduced', but a batch treats"),
        ({"initial": ufm.State(START.weights, START.features[:-1], START.bias)}, ValueError, "features has shape"),
        ({"initial": ufm.State(START.weights, START.features)}, ValueError, "bias is None"),
        ({"initial": np.zeros(3)}, TypeError, "initial is ndarray"),
        ({"initial": ufm.ReducedState(START.weights, START.features[:3], START.features, START.bias)}, ValueError,
         "means has shape"),
        ({"initial": ufm.ReducedState(START.weights, START.features[:4], START.features[0], START.bias)}, ValueError,
         "deviations has shape"),
        ({"initial": ufm.ReducedState(START.weights, START.features[:4], START.features, START.bias),
          "dynamics": "full"}, ValueError, "initial is a ReducedState and dynamics 'full'"),
        ({"initial": ufm.ReducedState(START.weights, START.features[:4], START.features, START.bias),
          "optimizer": "adam"}, ValueError, "initial is a ReducedState, but"),
    ],
)  # fmt: skip
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        ufm.descend(MSE, **arguments)
    assert message in str(caught.value)


def test_problems_that_cannot_be_descended() -> None:
    sphere = ufm.SphereCrossEntropy(num_classes=3, num_features=4, samples_per_class=2)
    with pytest.raises(TypeError, match="problem is SphereCrossEntropy; wanted MSE, ExtendedMSE or CrossEntropy"):
        ufm.descend(sphere)
    with pytest.raises(ValueError, match="a ReLU treats"):
        ufm.descend(PROBLEMS["relu"], dynamics="reduced")
    with pytest.raises(ValueError, match="the loss of CrossEntropy is not squared"):
        ufm.descend(PROBLEMS["cross-entropy"], dynamics="reduced")
    with pytest.raises(ValueError, match="gradient_norm is -1"):
        ufm.Stop(gradient_norm=-1)
