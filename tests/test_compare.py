"""Several reports side by side, and a directory that is followed while it grows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ncfast
from data import make_features
from ncfast.cli import main
from ncfast.compare import load_reports, short_names, table
from ncfast.watch import Watcher, follow
from pages import Page

K, D = 5, 12


def dump(folder: Path, spread: float, rng, *, labels: bool = True) -> ncfast.Report:
    """Write an epoch's arrays, and return what is to be found of them."""
    features, classes = make_features(200, D, K, spread, 0.5, np.float32, np.random.default_rng(1))
    weights, bias = rng.standard_normal((K, D)), rng.standard_normal(K)
    folder.mkdir()
    for name, array in {"features": features, "labels": classes, "weights": weights, "bias": bias}.items():
        if labels or name != "labels":
            np.save(folder / f"{name}.npy", array)
    if not labels:
        np.save(folder.parent / "labels.npy", classes)
    return ncfast.measure(features, classes, weights, bias)


def text_of(path: Path) -> str:
    return Page(path.read_text(encoding="utf-8")).text


@pytest.fixture
def dumps(tmp_path, rng):
    directory = tmp_path / "run"
    directory.mkdir()
    return directory, {f"epoch-{e}": dump(directory / f"epoch-{e}", 1.0 / e, rng) for e in (1, 2, 10)}


@pytest.fixture
def files(dumps, tmp_path):
    paths = []
    for name, report in dumps[1].items():
        paths.append(tmp_path / f"{name}.json")
        report.to_json(paths[-1])
    return paths


def test_reports_are_called_by_what_tells_them_apart():
    for paths, names in (
        (["a/x.json", "a/y.json"], ["x", "y"]),
        (["a/report.json", "b/report.json"], ["a", "b"]),
        (["r/a/report.json", "r/b/report.json", "r/b/other.json"], ["a/report", "b/report", "b/other"]),
        (["s/a/v.json", "t/a/v.json"], ["s/a", "t/a"]),
        (["one.json"], ["one"]),
    ):
        assert short_names([Path(path) for path in paths]) == names
    with pytest.raises(ValueError, match=r"a.json is named twice"):
        short_names([Path("a.json"), Path("b.json"), Path("a.json")])


def test_reports_come_in_the_order_of_their_numbers(files):
    shuffled = [files[2], files[0], files[1]]
    assert list(load_reports(shuffled)) == ["epoch-1", "epoch-2", "epoch-10"]
    other = files[0].with_name("baseline.json")
    shutil.copy(files[0], other)
    assert list(load_reports([*shuffled, other])) == ["epoch-10", "epoch-1", "epoch-2", "baseline"]


def test_tables_hold_every_value(dumps):
    reports = dumps[1]
    lines = table(reports).splitlines()
    assert lines[0].split() == list(reports)
    found = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    for key in reports["epoch-1"]:
        assert found[key] == [f"{report[key]:.6g}" for report in reports.values()]
    many = {f"run-{i}": report for i in range(3) for report in reports.values()} | dict.fromkeys(
        ("a", "b", "c", "d", "e", "f"), reports["epoch-2"]
    )
    head, *rows = table(many).splitlines()
    assert [row.split()[0] for row in rows] == list(many)
    assert rows[-1].split()[1:] == [f"{reports['epoch-2'][key]:.6g}" for key in head.split()]
    assert max(map(len, [head, *rows])) <= 120


def test_tables_leave_out_what_a_report_lacks(dumps):
    reports = dumps[1]
    features, labels = make_features(200, D, K, 0.5, 0.5, np.float32, np.random.default_rng(1))
    found = table({"with": reports["epoch-2"], "without": ncfast.measure(features, labels)})
    (line,) = [line for line in found.splitlines() if line.startswith("nc3_self_duality")]
    assert len(line.split()) == 2


def test_compare_command(files, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["compare", *map(str, files), "--html", str(page), "--title", "Three epochs"]) == 0
    assert capsys.readouterr().out == table(load_reports(files)) + "\n"
    text = text_of(page)
    assert text.startswith("Three epochs")
    assert "On the way" in text


@pytest.mark.parametrize("command", ["compare", "measure"])
def test_what_is_no_report_is_one_line_and_exit_code_2(command, dumps, files, tmp_path, capsys):
    other, folder = tmp_path / "other.json", dumps[0] / "epoch-1"
    other.write_text('{"some": "thing"}')
    start = ["compare", str(files[0])]
    if command == "measure":
        start = [
            "measure",
            str(folder / "features.npy"),
            str(folder / "labels.npy"),
            "--html",
            str(tmp_path / "p.html"),
        ]
        start += ["--history", str(files[0])]
    for path, complaint in ((other, "not a report"), (tmp_path / "none.json", "No such file"), (files[0], "twice")):
        assert main([*start, str(path)]) == 2
        said = capsys.readouterr().err
        assert re.fullmatch(rf"ncfast: error: .*{complaint}.*\n", said), said
        assert path.name in said


def test_measure_writes_a_page(dumps, files, tmp_path, capsys):
    folder, page = dumps[0] / "epoch-10", tmp_path / "page.html"
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"animal {k}" for k in range(K)))
    arrays = [str(folder / f"{name}.npy") for name in ("features", "labels", "weights", "bias")]
    command = ["measure", *arrays[:2], "--weights", arrays[2], "--bias", arrays[3], "--html", str(page)]
    command += ["--class-names", str(names), "--history", *map(str, files[:2]), "--json", str(tmp_path / "r.json")]
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == str(dumps[1]["epoch-10"])
    text = text_of(page)
    assert "animal 3" in text
    assert "On the way" in text
    for name in arrays:
        assert f"{name}: float" in text or f"{name}: int64" in text
    assert ncfast.Report.from_json(tmp_path / "r.json").details is not None
    names.write_text("only one")
    assert main(command) == 2
    assert "class_names holds 1 names; wanted one for each of 5 classes" in capsys.readouterr().err


def test_page_of_some_classes_calls_them_by_their_names(dumps, tmp_path):
    folder, page, names = dumps[0] / "epoch-10", tmp_path / "page.html", tmp_path / "names.txt"
    names.write_text("\n".join(f"animal {k}" for k in range(K)))
    command = ["measure", *(str(folder / f"{name}.npy") for name in ("features", "labels")), "--classes", "4,0,3"]
    command += ["--html", str(page), "--class-names", str(names), "--json", str(tmp_path / "r.json"), "--quiet"]
    assert main(command) == 0
    assert set(re.findall(r"animal \d", text_of(page))) == {"animal 4", "animal 0", "animal 3"}
    assert not re.search(r"class \d", text_of(page))
    assert "only samples of these classes count: animal 4, animal 0, animal 3" in text_of(page)
    report = ncfast.Report.from_json(tmp_path / "r.json")
    assert report.classes == (4, 0, 3)
    assert main(["compare", str(tmp_path / "r.json"), "--html", str(page), "--class-names", str(names)]) == 0
    assert set(re.findall(r"animal \d", text_of(page))) == {"animal 4", "animal 0", "animal 3"}


def test_watcher_waits_until_files_stand_still(dumps, rng):
    directory, expected = dumps
    watcher = Watcher(directory)
    assert not watcher.look()
    assert watcher.look()
    assert {name: report.to_dict() for name, report in watcher.reports.items()} == {
        name: report.to_dict() for name, report in expected.items()
    }
    assert not watcher.look()
    expected["epoch-3"] = dump(directory / "epoch-3", 0.2, rng)
    assert not watcher.look()
    time.sleep(0.01)
    (directory / "epoch-3" / "weights.npy").touch()  # still being written
    assert not watcher.look()
    assert watcher.look()
    assert list(watcher.reports) == ["epoch-1", "epoch-2", "epoch-3", "epoch-10"]
    assert watcher.reports["epoch-3"].to_dict() == expected["epoch-3"].to_dict()
    assert not watcher.look()


def test_reports_are_kept_and_serve_without_features(dumps):
    directory, expected = dumps
    assert Watcher(directory).look(settled=True)
    for name in expected:
        shutil.rmtree(directory / name)
    again = Watcher(directory)
    assert again.look(settled=True)
    assert {name: report["cdnv"] for name, report in again.reports.items()} == {
        name: report["cdnv"] for name, report in expected.items()
    }
    assert all(report.details is not None for report in again.reports.values())


def test_an_epoch_that_is_written_again_is_measured_again(dumps, rng):
    directory, expected = dumps
    watcher = Watcher(directory)
    watcher.look(settled=True)
    shutil.rmtree(directory / "epoch-2")
    time.sleep(0.01)
    changed = dump(directory / "epoch-2", 0.9, rng)
    assert watcher.look(settled=True)
    assert watcher.reports["epoch-2"].to_dict() == changed.to_dict() != expected["epoch-2"].to_dict()


def test_labels_may_be_shared(tmp_path, rng):
    expected = dump(tmp_path / "e1", 0.5, rng, labels=False)
    watcher = Watcher(tmp_path)
    watcher.look(settled=True)
    assert watcher.reports["e1"].to_dict() == expected.to_dict()


def test_broken_epochs_are_told_and_taken_once_mended(dumps, rng):
    directory, _ = dumps
    features = (directory / "epoch-2" / "features.npy").read_bytes()
    (directory / "epoch-2" / "features.npy").write_bytes(features[:-100])
    (directory / "epoch-4.json").write_text("{}")
    dump(directory / "epoch-5", 0.5, rng)
    (directory / "epoch-5" / "labels.npy").unlink()
    (directory / "notes.txt").write_text("of no concern")
    watcher = Watcher(directory)
    watcher.look(settled=True)
    assert list(watcher.reports) == ["epoch-1", "epoch-10"]
    assert watcher.problems.keys() == {"epoch-2", "epoch-4", "epoch-5"}
    assert "epoch-2/features.npy" in watcher.problems["epoch-2"]
    assert "not a report" in watcher.problems["epoch-4"]
    assert "no labels.npy" in watcher.problems["epoch-5"]
    assert not watcher.look(settled=True)  # told once
    (directory / "epoch-2" / "features.npy").write_bytes(features)
    assert watcher.look(settled=True)
    assert list(watcher.reports) == ["epoch-1", "epoch-2", "epoch-10"]
    assert watcher.problems.keys() == {"epoch-4", "epoch-5"}


def test_watch_once(dumps, capsys):
    directory, expected = dumps
    (directory / "epoch-7.json").write_text("no")
    assert main(["watch", str(directory), "--once", "--threads", "1"]) == 0
    ncfast.set_num_threads(None)
    said = capsys.readouterr()
    assert [line.split(":")[0] for line in said.out.splitlines()] == list(expected)
    assert said.err.startswith("epoch-7: ")
    text = text_of(directory / "index.html")
    assert text.startswith("run ")
    for name in expected:
        assert name in text
    assert 'http-equiv="refresh"' not in (directory / "index.html").read_text()


def test_watch_of_nothing(tmp_path, capsys):
    assert main(["watch", str(tmp_path), "--once"]) == 2
    assert "nothing to show" in capsys.readouterr().err
    assert main(["watch", str(tmp_path / "none"), "--once"]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main(["watch", str(tmp_path), "--interval", "0"]) == 2
    assert "wanted a positive number" in capsys.readouterr().err


def test_follow_tells_of_each_change(dumps):
    directory, expected = dumps
    told = []
    follow(Watcher(directory), lambda watcher: told.append(list(watcher.reports)), interval=0.001, looks=4)
    assert told == [list(expected)]


def test_watch_follows_a_run(tmp_path, rng):
    """The command, as a process of its own, takes an epoch that appears while it runs."""
    directory = tmp_path / "run"
    directory.mkdir()
    dump(directory / "epoch-1", 0.9, rng)
    command = [sys.executable, "-m", "ncfast", "watch", str(directory), "--interval", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("epoch-1: nc1_pinv")
            dump(tmp_path / "epoch-2", 0.5, rng)
            (tmp_path / "epoch-2").rename(directory / "epoch-2")
            assert process.stdout.readline().startswith("epoch-2: nc1_pinv")
            deadline = time.monotonic() + 30
            while "epoch-2" not in text_of(directory / "index.html") and time.monotonic() < deadline:
                time.sleep(0.02)
            assert "On the way" in text_of(directory / "index.html")
        finally:
            process.kill()
    assert json.loads((directory / "epoch-2.json").read_text())["num_samples"] == 200
