"""The web page of a report: well formed, complete, self-contained, readable in a real browser."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import ncfast
from compare import degenerate
from data import make_features
from ncfast._curves import in_order, positions
from ncfast._readings import readings
from ncfast.page import comparison_page, report_page
from ncfast.page._colours import BLANK, THEMES, diverging, levels, rising
from ncfast.page._png import encode
from ncfast.page._scales import Scale, fitted, number, percent
from ncfast.page.files import read_class_names
from pages import Page

WIDTHS = (1280, 390)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECTIONS = ["summary", "geometry", "spectrum", "classes", "pairs", "confusion", "metrics", "provenance"]
NAMES = ["T-shirt", "trousers", "a pullover with a very long name", "<b>dress</b>", 'coat & "tails"', "sandal", "shirt"]


def measured(rng, spread=1.2, **options):
    features, labels = make_features(700, 16, 7, spread, 0.5, np.float32, rng)
    weights = rng.standard_normal((7, 16))
    return ncfast.measure(features, labels, weights, np.zeros(7), details=True, **options)


@pytest.fixture
def report(rng):
    return measured(rng, errors=True)


def checked(source: str) -> Page:
    page = Page(source)
    page.assert_self_contained(source)
    assert len(page.ids) == len(set(page.ids))
    return page


def test_page_has_all_sections_and_values(report, tmp_path):
    path = tmp_path / "report.html"
    source = report.to_html(path, class_names=NAMES, title="A <title> & more")
    assert path.read_text(encoding="utf-8") == source
    page = checked(source)
    assert page.ids == SECTIONS
    assert "A <title> & more" in page.text
    assert len(source.encode()) < 300_000
    for key, value in report.items():
        assert key in page.text
        assert number(value, 4) in page.text
        assert number(report.errors.get(key, 0.0), 2)[:3] in page.text
    for line in report.plan:
        assert line in page.text
    assert "float32, 700 × 16" in page.text
    assert ncfast.__version__ in page.text


def test_class_names_are_escaped_and_found(report):
    page = checked(report.to_html(class_names=NAMES))
    assert "b" not in page.tags[: page.tags.index("h1")]
    worst = NAMES[report.details.labels[np.argmax(report.details.cdnv)]]
    assert worst in page.text
    pair = report.details.worst_pairs[0]
    assert f"{NAMES[pair[0]]} {NAMES[pair[1]]} {number(report.details.worst_cdnv[0])}" in page.text


def test_pictures_show_the_values(report):
    """The pixels of the first heat map are the colours of the cosines, class by class."""
    source = report.to_html()
    pictures = re.findall(r'<image class="(\w+)"[^>]* href="data:image/png;base64,([^"]*)"', source)
    assert [theme for theme, _ in pictures] == ["light", "dark"] * 3  # means, weights, confusion
    for theme, data in pictures[:2]:
        pixels = imread(io.BytesIO(base64.b64decode(data)))[..., :3] * 255
        ideal = -1 / 6
        excess = report.details.cosines["means"] - ideal
        low, middle, high = (np.array(THEMES[theme][i], float) for i in range(3))
        off = ~np.eye(7, dtype=bool)
        for i, j in np.argwhere(off):
            along = excess[i, j]
            span = (pixels[i, j] - middle) @ ((high if along > 0 else low) - middle)
            assert span >= -1.0
        strongest = np.unravel_index(np.argmax(np.where(off, excess, -9)), excess.shape)
        distances = np.linalg.norm(pixels - high, axis=2)
        assert distances[strongest] == pytest.approx(distances[off].min())
        assert (pixels[0, 0].round() == THEMES[theme].blank).all()


def test_curves_have_a_point_for_each_report(rng):
    history = {f"epoch-{e}": measured(rng, s) for e, s in ((1, 1.5), (2, 1.0), (10, 0.5))}
    last = measured(rng, 0.1)
    source = last.to_html(history=history)
    page = checked(source)
    assert page.ids == ["summary", "history", *SECTIONS[1:]]
    figure = source[source.index("NC1  variability") :].split("</figure>")[0]
    assert figure.count("<circle") == 3 * 4
    assert "epoch" in figure
    falling = [float(y) for y in re.findall(r'class="s1" cx="[\d.]+" cy="([\d.]+)"', figure)]
    assert falling == sorted(falling)  # downwards in SVG
    assert checked(last.to_html(history={**history, "end": last})).ids == page.ids


def test_comparison_page(rng):
    reports = {name: measured(rng, s) for name, s in (("stem", 1.5), ("block", 1.0), ("top", 0.5))}
    page = checked(comparison_page(reports, title="Layers"))
    assert page.ids == ["history", "table", *SECTIONS]
    for name, report in reports.items():
        assert name in page.text
        assert number(report["cdnv"]) in page.text
    only = checked(comparison_page({"one": reports["top"]}))
    assert only.ids == ["table", *SECTIONS]
    many = checked(comparison_page({f"e{i}": reports["top"] for i in range(40)}, refresh=5))
    assert "12 of 40 reports" in many.text
    assert ("meta", "content", "5") in many.attributes
    with pytest.raises(ValueError, match="reports is empty"):
        comparison_page({})


def test_pages_of_less(rng):
    """Without weights, decisions, details, or with few metrics, sections that lack their data are left out."""
    features, labels = make_features(300, 16, 5, 0.3, 0.0, np.float64, rng, missing=[2])
    plain = ncfast.measure(features, labels)
    assert checked(plain.to_html()).ids == ["summary", "spectrum", "metrics", "provenance"]
    few = ncfast.measure(features, labels, metrics=["cdnv"], details=True)
    assert checked(few.to_html()).ids == ["summary", "geometry", "classes", "pairs", "metrics", "provenance"]
    two = ncfast.measure(features, labels, classes=[0, 4], details=True)
    assert "class 4" in checked(two.to_html()).text
    assert "left out: 2" in checked(plain.to_html()).text


def test_page_of_collapse_and_of_no_means():
    exact = np.eye(5)[np.arange(50) % 5]
    page = checked(ncfast.measure(exact, np.arange(50) % 5, np.eye(5), details=True).to_html())
    assert "Every sample is nearest to the mean of its own class." in page.text
    assert page.text.count("0 %") >= 2
    with degenerate("mean"):
        report = ncfast.measure(np.concatenate([exact, -exact]), np.arange(100) % 5, details=True)
    page = checked(report.to_html())
    assert "∞" in page.text
    assert "undefined" in page.text


def test_large_page_is_small(rng):
    features, labels = make_features(4000, 32, 1000, 2.0, 0.0, np.float32, rng)
    report = ncfast.measure(features, labels, rng.standard_normal((1000, 32)), details=True)
    source = report.to_html()
    checked(source)
    assert len(source.encode()) < 1_000_000
    assert "about 5 classes" in source
    assert len(report.to_json()) < 2_000_000


def test_large_page_costs_little_beside_the_measurement(rng):
    """Of the processor, all threads together: what the machine does beside does not count."""
    features, labels = make_features(4000, 2048, 1000, 2.0, 0.0, np.float32, rng)
    weights = rng.standard_normal((1000, 2048))
    seconds = {}
    for details in (False, True):
        start = time.process_time()
        report = ncfast.measure(features, labels, weights, details=details)
        source = report.to_html() if details else ""
        seconds[details] = time.process_time() - start
    assert seconds[True] - seconds[False] < 5
    assert 100_000 < len(source.encode()) < 5_000_000


def test_class_names_that_do_not_fit(report, tmp_path):
    for names in (NAMES[:-1], [*NAMES, "one more"]):
        with pytest.raises(ValueError, match=rf"class_names holds {len(names)} names; wanted one for each of 7"):
            report.to_html(class_names=names)
    with pytest.raises(TypeError, match="wanted a sequence of strings"):
        report.to_html(class_names=range(7))
    path = tmp_path / "names.txt"
    path.write_text("one\ntwo words\n drei \n", encoding="utf-8")
    assert read_class_names(path) == ("one", "two words", "drei")
    path.write_bytes(b"one\n\xff\xfe\n")
    with pytest.raises(ValueError, match=r"names.txt: not a text file in UTF-8"):
        read_class_names(path)


def test_a_page_that_cannot_be_written_leaves_the_old_one(report, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        report.to_html(path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_every_metric_has_a_reading():
    for key, said in readings().items():
        assert said.formula, key
        assert said.meaning.endswith((".", "?")), key
        assert "{" not in said.meaning, key


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (1.0, "1"), (12.0, "12"), (-2.5, "−2.50"), (0.0123456, "0.0123"), (1234567.0, "1,234,567"),
        (1.23456e-5, "1.23 × 10⁻⁵"), (-1e-12, "−1.00 × 10⁻¹²"), (np.inf, "∞"), (-np.inf, "−∞"), (np.nan, "undefined"),
        (12345.6, "12,346"), (99.96, "100"), (2.5e9, "2,500,000,000"), (3.14159e20, "3.14 × 10²⁰"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_people_do(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (1.0, "100 %"), (0.5, "50 %"), (0.12345, "12.3 %"), (0.999999, "99.9999 %"), (1.31, "131 %"),
     (0.99996, "99.996 %"), (1e-5, "0.0010 %"), (np.nan, "undefined")],
)  # fmt: skip
def test_shares_never_round_to_all_or_nothing(share, text):
    assert percent(share).replace("\N{NO-BREAK SPACE}", " ") == text


def test_scales():
    log = fitted([1e-6, 1e-1, np.nan], log=True)
    assert log.place(log.low) == 0
    assert log.place(log.high) == pytest.approx(1)
    assert [text for _, text in log.ticks()] == ["0.1", "0.01", "10⁻³", "10⁻⁴", "10⁻⁵", "10⁻⁶"]
    narrow = [text for _, text in fitted([2.2, 2.6], log=True).ticks()]
    assert narrow == ["5", "2", "1"]
    with_zero = fitted([0.0, 1e-3, 1e-1], log=True)
    assert with_zero.place(0.0) == 0
    assert with_zero.place(1e-3) > 0.1
    assert with_zero.ticks()[0] == (0.0, "0")
    assert [text for _, text in Scale(0.0, 10.0).ticks()] == ["0", "2", "4", "6", "8", "10"]
    for values in ([], [0.0], [5.0, 5.0], [np.nan], [-1.0, 1e-9], [1e-300, 1e200]):
        for is_log in (True, False):
            scale = fitted(values, log=is_log)
            places = [scale.place(value) for value, _ in scale.ticks()]
            assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
            assert places


def test_pictures_decode_to_what_was_encoded(rng):
    palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    pixels = rng.integers(0, 256, (5, 9), dtype=np.uint8)
    found = imread(io.BytesIO(encode(pixels, palette)))[..., :3] * 255
    assert (found.round() == palette[pixels]).all()


def test_palettes_run_from_end_to_end():
    for theme in THEMES.values():
        colours = diverging(theme)
        assert [tuple(colours[i]) for i in (0, 127, 254, BLANK)] == list(theme)
        assert tuple(rising(theme)[0]) == theme.middle
        assert tuple(rising(theme)[254]) == theme.high
    assert levels(np.array([-2.0, -1.0, 0.0, 1.0, 2.0, np.nan]), -1.0, 1.0).tolist() == [0, 0, 127, 254, 254, BLANK]


def test_places_and_order_of_names():
    assert positions(["epoch-1", "epoch-2", "epoch-10"]) == [1, 2, 10]
    assert positions(["step 0.5", "step 2"]) == [0.5, 2]
    assert positions(["epoch-1", "epoch-3", "now"]) == [1, 3, 5]
    assert positions(["b", "a"]) == [0, 1]
    assert positions(["layer2", "layer1"]) == [0, 1]
    assert in_order(["e10", "e9", "e1", "a"]) == ["a", "e1", "e9", "e10"]


def browse(*arguments: str) -> str:
    """Run Chromium without a screen, network or profile."""
    flags = ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync")
    flags += ("disable-background-networking", "disable-component-update", "hide-scrollbars")
    with tempfile.TemporaryDirectory() as profile:
        command = [str(CHROMIUM), *(f"--{flag}" for flag in flags), f"--user-data-dir={profile}", *arguments]
        environment = {**os.environ, "HOME": profile}
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=environment)
    return done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; what the page holds is tested without it")
def test_page_in_a_browser(report, rng, tmp_path):
    """Side by side at the widths of a desktop and a phone, nothing is wider than the window, and dark is dark."""
    history = {"epoch-1": measured(rng, 1.5), "epoch-2": measured(rng, 1.0)}
    probe = (
        "<script>onload=()=>parent.postMessage([innerWidth,document.documentElement.scrollWidth,"
        "getComputedStyle(document.body).backgroundColor].join(' '),'*')</script>"
    )
    source = report_page(report, class_names=NAMES, history=history)
    (tmp_path / "report.html").write_text(source.replace("</body>", f"{probe}</body>"), encoding="utf-8")
    frames = tmp_path / "frames.html"
    frames.write_text(
        "<script>onmessage=event=>document.title+=event.data+';'</script><body style='margin:0;display:flex'>"
        + "".join(
            f"<iframe src=report.html style='width:{width}px;height:8000px;border:0'></iframe>" for width in WIDTHS
        )
    )
    light, dark = ("--blink-settings=preferredColorScheme=1", "--blink-settings=preferredColorScheme=0")
    found = re.search("<title>(.*)</title>", browse("--window-size=1700,900", light, "--dump-dom", frames.as_uri()))
    assert found is not None
    assert sorted(found[1].split(";")) == ["", *sorted(f"{width} {width} rgb(250, 250, 247)" for width in WIDTHS)]
    shot = tmp_path / "dark.png"
    browse("--window-size=1700,4000", dark, f"--screenshot={shot}", frames.as_uri())
    pixels = (imread(shot)[..., :3] * 255).round()
    assert pixels[5, 5].tolist() == [21, 24, 28]
    assert pixels[5, 1285].tolist() == [21, 24, 28]
    assert np.mean(np.ptp(pixels, axis=2) > 50) > 0.01  # there is colour
