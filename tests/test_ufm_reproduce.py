"""The reproduction: numbers against the closed forms, pictures that show something, networks, images from files."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from ncfast.ufm import reproduce, train_network
from ncfast.ufm._images import load_images
from pictures import assert_drawn

SHORT = {"iterations": 12_000, "relu_iterations": 300, "epochs": 40}
# Minima of the objective and squared lengths at K = 4, d = 20, n = 50, all decays 0.005.
KNOWN = {
    "plain": (0.1314213562, {"class means of H": 0.1214213562, "rows of W": 6.0710678119}),
    "plain, free bias": (0.0985660172, {"class means of H": 0.0910660172, "rows of W": 4.5533008589}),
    "linear": (0.1077357156, {"class means of H1": 0.0699167814, "class means of H2": 0.2444178159,
                              "rows of W2": 3.4958390690}),
    "linear, free bias": (0.0808017867, {}),
    "relu": (0.1077357156, {"class means of H2": 0.2444178159, "rows of W2": 3.4958390690}),
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return reproduce(tmp_path_factory.mktemp("models"), only=("plain", "linear", "relu"), **SHORT)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    return reproduce(tmp_path_factory.mktemp("all"), only=("networks",), **{**SHORT, "iterations": 300})


def rows_of(result, run: str) -> dict[str, tuple[float, float | None]]:
    return {row.quantity: (row.found, row.theory) for row in result.entries if row.run.split(", seed")[0] == run}


@pytest.mark.parametrize("run", KNOWN)
def test_theory_column_holds_the_closed_forms(models, run):
    value, lengths = KNOWN[run]
    rows = rows_of(models, run)
    assert rows["objective"][1] == pytest.approx(value, abs=1e-10)
    for what, length in lengths.items():
        assert rows[f"mean squared length of {what}"][1] == pytest.approx(length, abs=1e-9)


@pytest.mark.parametrize(("run", "frame"), [("plain", "of"), ("plain, free bias", "etf"), ("linear", "of")])
def test_linear_models_arrive_at_their_closed_forms(models, run, frame):
    rows = rows_of(models, run)
    for quantity, (found, theory) in rows.items():
        if not quantity.startswith("nc"):
            assert found == pytest.approx(theory, rel=2e-3), quantity
    last = "H" if run.startswith("plain") else "H2"
    assert rows[f"nc1_pinv at {last}"][0] < 1e-10
    for key in ("means", "weights"):
        assert rows[f"nc2_{frame}_{key} at {last}"][0] < 1e-3
    assert rows[f"nc3_alignment_{frame} at {last}"][0] < 1e-4


def test_descents_fall_to_the_minimum_and_never_below(models):
    assert set(models.descents) == set(KNOWN)
    for descent in models.descents.values():
        assert np.all(np.diff(descent.iterations) > 0)
        assert descent.loss[-1] < descent.loss[0] / 1.2
        assert np.all(descent.loss >= descent.best.value - 1e-14)
    before, after = (models.descents["relu"].metrics[f"{level}/nuclear_norm"] for level in ("pre2", "h2"))
    assert np.all(before[0] > after[0])
    nuclear = rows_of(models, "relu")["nuclear norm after the ReLU"][1]
    assert nuclear == pytest.approx(4 * np.sqrt(50 * 0.2444178159), abs=1e-7)


def test_table_is_written_alike_in_three_formats(models):
    files = {path.name: path for path in models.files}
    with files["table.csv"].open() as file:
        table = list(csv.DictReader(file))
    structure = json.loads(files["table.json"].read_text())
    assert len(table) == len(structure["rows"]) == len(models.entries)
    for row, plain, entry in zip(table, structure["rows"], models.entries, strict=True):
        assert float(row["found"]) == plain["found"] == entry.found
        assert (row["run"], row["quantity"]) == (plain["run"], plain["quantity"]) == entry[:2]
        assert plain["theory"] == entry.theory
    assert files["table.md"].read_text().count("\n") == len(table) + 2
    assert structure["settings"]["iterations"] == SHORT["iterations"]
    assert "objective" in str(models)
    assert all(str(path) in str(models) for path in models.files)


def test_figures_show_something(models, everything):
    drawn = [path for result in (models, everything) for path in result.files if path.suffix == ".png"]
    assert [path.stem for path in drawn] == ["plain", "linear", "relu", "networks"]
    for path in drawn:
        assert_drawn(path)


def test_networks_begin_to_collapse_beside_the_models(everything):
    assert set(everything.descents) == {"relu", "linear, free bias"}
    for run in everything.networks:
        assert run.epochs[-1] == SHORT["epochs"]
        assert run.accuracies[-1] > 0.98
        assert run.losses[-1] < run.losses[0] / 2
        for reports in (run.before, run.last):
            assert reports[-1]["nc1_pinv"] < reports[0]["nc1_pinv"] / 10
            assert reports[-1].num_samples == 1700
    without, with_bias = everything.networks
    assert (without.bias, with_bias.bias) == (False, True)
    assert without.last[-1]["nc3_alignment_of"] < 0.3
    assert with_bias.last[-1]["nc3_alignment_etf"] < 0.3


def test_seed_decides_every_byte(tmp_path):
    short = {"only": ("relu",), "relu_iterations": 30}
    one, two, other = (reproduce(tmp_path / name, seed=seed, **short) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert [path.read_bytes() for path in one.files] == [path.read_bytes() for path in two.files]
    assert one.entries != other.entries
    runs = [train_network(bias=True, epochs=2, seed=seed) for seed in (1, 1, 2)]
    assert runs[0].losses == runs[1].losses != runs[2].losses
    assert runs[0].last[-1].to_dict() == runs[1].last[-1].to_dict()


def test_diverging_start_gives_way_to_the_next_seed(models):
    """At step 0.1 the linear extended model leaves seed 0 for infinity; the table says which seed was taken."""
    assert models.descents["linear"].seed == 1
    assert any(row.run == "linear, seed 1" for row in models.entries)


def test_progress_reaches_the_end(tmp_path):
    calls = []
    reproduce(tmp_path, only=("plain",), iterations=50, progress=lambda *done: calls.append(done))
    assert calls[-1] == (100, 100)
    assert calls == sorted(calls)


def write_idx(folder: Path, count: int = 400, *, zipped: bool = False) -> dict[str, bytes]:
    """Write images of two classes, in which a row of pixels tells which."""
    labels = np.arange(count, dtype=np.uint8) % 2
    images = np.random.default_rng(0).integers(0, 200, (count, 5, 4), dtype=np.uint8)
    images[:, 0, :] += (labels * 50)[:, None]
    files = {
        "train-images-idx3-ubyte": b"\0\0\x08\x03" + np.array(images.shape, ">u4").tobytes() + images.tobytes(),
        "train-labels-idx1-ubyte": b"\0\0\x08\x01" + np.array(labels.shape, ">u4").tobytes() + labels.tobytes(),
    }
    for name, content in files.items():
        path = folder / (f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(content) if zipped else content)
    return files


@pytest.mark.parametrize("zipped", [False, True])
def test_images_from_idx_files(tmp_path, zipped):
    write_idx(tmp_path, zipped=zipped)
    images = load_images(tmp_path)
    assert images.pixels.shape == (340, 20)
    assert images.pixels.dtype == np.float32
    np.testing.assert_allclose(images.pixels.mean(axis=0), 0, atol=1e-5)
    assert np.bincount(images.labels).tolist() == [170, 170]
    means = [images.pixels[images.labels == label, :4].mean() for label in (0, 1)]
    assert means[1] - means[0] > 0.5
    run = train_network(bias=False, images=tmp_path, epochs=3)
    assert run.images == tmp_path.name
    assert run.last[-1].num_classes == 2


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("images", lambda content: content[:-1], "7,999 bytes after the header"),
        ("images", lambda content: content + b"x", "8,001 bytes after the header"),
        ("images", lambda content: b"\0\0\x0d\x03" + content[4:], "not an IDX file of images"),
        ("labels", lambda _: b"", "not an IDX file of labels"),
        ("labels", lambda content: content[:6], "not an IDX file of labels"),
        ("labels", lambda content: content[:8] + bytes(400), "at least two classes"),
        ("labels", lambda content: content[:4] + (399).to_bytes(4, "big") + content[8:-1], "one label per image"),
    ],
)
def test_damaged_idx_files_are_refused(tmp_path, name, spoil, message):
    files = write_idx(tmp_path)
    path = next(tmp_path / file for file in files if name in file)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=message):
        load_images(tmp_path)


def test_absent_broken_and_few_images(tmp_path):
    with pytest.raises(FileNotFoundError, match="train-images"):
        load_images(tmp_path)
    write_idx(tmp_path, 100)
    with pytest.raises(ValueError, match="class 0 has 50 images; wanted 170"):
        load_images(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"abc" * 100)[:-9])
    with pytest.raises(ValueError, match="damaged gzip file"):
        load_images(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"only": ("plane",)}, "only is 'plane'"),
        ({"iterations": 0}, "iterations is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_arguments_fail_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        reproduce(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("module", "extra"), [("matplotlib.figure", "ufm"), ("torch", "torch")])
def test_missing_extra_is_named(tmp_path, monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'pip install "ncfast\[{extra}\]"'):
        reproduce(tmp_path, **SHORT)
