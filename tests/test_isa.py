"""Instruction-set levels: each runs and agrees, and none can leak into another."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import ncfast

CHECKER = Path(__file__).parents[1] / "cmake" / "check_isolation.py"

MEASURE = """
import json, numpy, ncfast
rng = numpy.random.default_rng(7)
labels = rng.integers(0, 12, 3000)
features = (rng.standard_normal((12, 70))[labels] + 1e-3 * rng.standard_normal((3000, 70))).astype(numpy.float32)
weights, bias = rng.standard_normal((12, 70)), rng.standard_normal(12)
values = {m: ncfast.measure(features, labels, weights, bias, method=m).to_dict() for m in ("projection", "scatter")}
print(json.dumps({"isa": ncfast.info()["isa"], "values": values}))
"""

# So many classes that a tile unit would be used, of odd sizes; a third of the samples are moved to where the two best
# classes of the classifier tie, but for down to the rounding of float32.
MANY_CLASSES = """
import json, numpy, ncfast
rng = numpy.random.default_rng(8)
k, d, n = 333, 391, 2500
labels = numpy.arange(n) % k
means = rng.standard_normal((k, d)) + 3
weights, bias = means - 3 + 0.3 * rng.standard_normal((k, d)), rng.standard_normal(k)
features = means[labels] + 0.5 * rng.standard_normal((n, d))
scores = features @ weights.T + bias
second, best = numpy.argsort(scores, axis=1)[:, -2:].T
rows = numpy.arange(n)
lead = scores[rows, best] - scores[rows, second]
apart = weights[best] - weights[second]
kept = numpy.where(rng.random(n) < 0.3, 10.0 ** rng.uniform(-9, -2, n), 1)
features -= ((1 - kept) * lead / (apart**2).sum(axis=1))[:, None] * apart
features = features.astype(numpy.float32)
report = ncfast.measure(features, labels, weights, bias, method="projection")
exact = features.astype(numpy.longdouble)
centres = numpy.stack([exact[labels == c].mean(axis=0) for c in range(k)])
nearest = (2 * exact @ centres.T - (centres**2).sum(axis=1)).argmax(axis=1)
chosen = (exact @ weights.T.astype(numpy.longdouble) + bias).argmax(axis=1)
within = exact - centres[labels]
singular = numpy.linalg.svd((centres - centres.mean(axis=0)).astype(float), full_matrices=False)
along = within.astype(float) @ (singular.Vh[:-1] / singular.S[:-1, None]).T
wanted = {"ncc_accuracy": (nearest == labels).mean(), "nc4_disagreement": (nearest != chosen).mean(),
          "nc1_pinv": (along**2).sum() / n}
print(json.dumps([[float(report[key]), float(value)] for key, value in wanted.items()]))
"""


def run_at(level: str, code: str = MEASURE) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NCFAST_ISA": level}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_every_available_level_runs_and_agrees() -> None:
    levels = ncfast.info()["isa_available"]
    results = {}
    for level in levels:
        done = run_at(level)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["isa"] == level
        results[level] = result["values"]
    for level in levels[1:]:
        for method, values in results[level].items():
            for key, value in values.items():
                assert value == pytest.approx(results[levels[0]][method][key], rel=2e-6, abs=1e-12), (level, key)


@pytest.mark.parametrize("level", ncfast.info()["isa_available"])
def test_many_classes_are_decided_exactly_at_every_level(level: str) -> None:
    done = run_at(level, MANY_CLASSES)
    assert done.returncode == 0, done.stderr
    (accuracy, wanted_accuracy), (apart, wanted_apart), (nc1, wanted_nc1) = json.loads(done.stdout)
    assert accuracy == wanted_accuracy
    assert apart == wanted_apart
    assert 0.5 < accuracy < 1
    assert 0 < apart < 0.5
    assert nc1 == pytest.approx(wanted_nc1, rel=1e-8)


def test_the_highest_level_is_the_default() -> None:
    done = run_at("", "import ncfast; print(ncfast.info()['isa'])")
    assert done.stdout.strip() == ncfast.info()["isa_available"][-1]


def test_an_unknown_level_is_refused_with_the_choices() -> None:
    done = run_at("sse9", "import numpy, ncfast; ncfast.measure(numpy.eye(4), [0, 1, 0, 1])")
    assert done.returncode != 0
    assert "NCFAST_ISA is 'sse9'" in done.stderr
    assert ncfast.info()["isa_available"][0] in done.stderr


KERNEL = """
#include <Eigen/Core>
namespace ncfast_LEVEL {
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic>;
void product(const Matrix& a, const Matrix& b, Matrix& c) { c.noalias() = a * b; }
}
"""


def compile_level(folder: Path, level: str, *, renamed: bool) -> Path:
    eigency = find_spec("eigency")
    assert eigency is not None, "the build requirements must be installed"
    headers = Path(str(eigency.origin)).parent / "eigen"
    source = folder / f"{level}.cpp"
    source.write_text(KERNEL.replace("LEVEL", level))
    target = folder / f"{level}-{renamed}.o"
    rename = [f"-DEigen=Eigen_{level}"] if renamed else []
    compiler = os.environ.get("CXX") or shutil.which("c++") or "g++"
    command = [compiler, "-std=c++17", "-O1", "-c", *rename, "-isystem", str(headers), str(source), "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True)
    return target


@pytest.mark.parametrize("renamed", [True, False])
def test_the_isolation_check_of_the_build_tells_good_from_bad(tmp_path: Path, renamed: bool) -> None:
    """Every build runs the check on its real objects; here it must pass with the rename and fail without."""
    objects = [compile_level(tmp_path, level, renamed=renamed) for level in ("one", "two")]
    command = [sys.executable, str(CHECKER)]
    for path in objects:
        command += ["--level", path.stem, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == renamed, done.stdout + done.stderr
    if not renamed:
        assert "Eigen" in done.stderr


def test_info_names_the_build() -> None:
    info = ncfast.info()
    assert info["eigen"] == "5.0.1"
    assert info["version"] == ncfast.__version__
    assert info["threads"] == ncfast.get_num_threads()
    assert info["compiler"]
    assert np.all([isinstance(level, str) for level in info["isa_available"]])
