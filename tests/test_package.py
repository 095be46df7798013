"""The package as a whole: what importing it costs, what it names, how it is written."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import ncfast

ROOT = Path(__file__).parents[1]
OPTIONAL = ("torch", "pandas", "matplotlib", "sklearn", "scipy", "tqdm", "ml_dtypes")


def test_importing_needs_numpy_alone() -> None:
    code = f"import sys, json, ncfast, ncfast.cli; print(json.dumps([m for m in {OPTIONAL} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_importing_waits_for_nothing() -> None:
    code = "import sys, ncfast, ncfast.cli; print(*(m for m in sys.modules if m.startswith(('ncfast', 'numpy'))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"ncfast", "ncfast._version", "ncfast.cli"}


def test_every_module_can_be_imported_first() -> None:
    package = ROOT / "python" / "ncfast"
    names = [".".join(path.relative_to(package.parent).with_suffix("").parts) for path in package.rglob("*.py")]
    code = (
        "import os, sys, numpy, torch\n"
        "for name in sys.argv[1:]:\n"
        "    if os.fork() == 0:\n"
        "        __import__(name)\n"
        "        os._exit(0)\n"
        "    assert os.wait()[1] == 0, name\n"
    )
    names = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    subprocess.run([sys.executable, "-c", code, *names], check=True)


def test_measuring_numpy_arrays_imports_nothing_optional() -> None:
    code = (
        "import sys, json, numpy, ncfast; ncfast.measure(numpy.eye(6)[:, :4] + 0.0, [0, 1, 2, 0, 1, 2]);"
        f"print(json.dumps([m for m in {OPTIONAL} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_public_names() -> None:
    assert sorted(ncfast.__all__) == [
        "Accumulator",
        "ClassStatistics",
        "LayerReports",
        "Report",
        "__version__",
        "get_num_threads",
        "info",
        "measure",
        "measure_against",
        "measure_layers",
        "measure_statistics",
        "metrics",
        "open_features",
        "set_num_threads",
        "ufm",
    ]
    for name in ncfast.__all__:
        assert getattr(ncfast, name) is not None


def test_the_build_requirements_are_stated_alike_everywhere() -> None:
    stated = re.search(r"^requires = (\[.*?\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert stated is not None
    development = (ROOT / "requirements-dev.txt").read_text().split()
    for requirement in ast.literal_eval(stated[1]):
        assert requirement in development


def test_files_stay_small() -> None:
    for folder, pattern in (("python", "*.py"), ("cpp", "*.?pp"), ("tests", "*.py"), ("bench", "*.py")):
        for path in (ROOT / folder).rglob(pattern):
            assert len(path.read_text().splitlines()) <= 400, path


def test_only_bindings_know_python_and_only_kernels_know_eigen() -> None:
    for path in (ROOT / "cpp").rglob("*.?pp"):
        text, folder = path.read_text(), path.parent.name
        assert ("#include <pybind11" in text) <= (folder == "bindings"), path
        assert ("#include <Eigen" in text) <= (folder == "kernels"), path
        if folder == "kernels":
            assert "std::vector" not in text, path
            assert "#include <algorithm>" not in text, path
