"""The pictures in matplotlib: drawn, of the right values, and refused with a reason."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

import ncfast
from data import make_features
from pictures import assert_drawn

PLOTS = ("plot_cosines", "plot_spectrum", "plot_norms", "plot_spreads", "plot_pairs", "plot_confusion")


def measured(rng, spread=1.2, **options):
    features, labels = make_features(400, 12, 6, spread, 0.5, np.float32, rng)
    return ncfast.measure(features, labels, rng.standard_normal((6, 12)), np.zeros(6), **options)


@pytest.fixture
def report(rng):
    return measured(rng, details=True)


@pytest.mark.parametrize("plot", PLOTS)
def test_each_plot_stands_alone_and_among_others(report, plot, tmp_path):
    figure = getattr(report, plot)()
    assert len(figure.axes) in (1, 2)  # with a colour bar
    for form in ("png", "svg"):
        figure.savefig(tmp_path / f"plot.{form}", dpi=150)
    if plot not in ("plot_norms", "plot_spreads"):  # a few dots
        assert_drawn(tmp_path / "plot.png", paths=15)
    host = Figure()
    left, right = host.subplots(1, 2)
    assert getattr(report, plot)(axes=right) is host
    assert right.has_data()
    assert not left.has_data()


def test_plots_show_the_values(report):
    details = report.details
    shown = report.plot_cosines("weights").axes[0].images[0].get_array()
    expected = details.cosines["weights"].copy()
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_array_equal(np.ma.filled(shown, np.nan), expected)
    bars = report.plot_pairs(class_names=list("abcdef")).axes[0]
    assert [bar.get_width() for bar in bars.patches] == details.worst_cdnv[:12].tolist()
    assert bars.get_yticklabels()[0].get_text() == " / ".join("abcdef"[k] for k in details.worst_pairs[0])
    spectrum = report.plot_spectrum().axes[0].lines[0].get_ydata()
    np.testing.assert_array_equal(spectrum, (report.spectra["means"] / report.spectra["means"][0])[:5])  # rank K - 1
    confusion = report.plot_confusion().axes[0].images[0].get_array()
    np.testing.assert_array_equal(confusion, details.confusion)


def test_history(rng, tmp_path):
    history = {f"epoch-{e}": measured(rng, s) for e, s in ((1, 1.5), (10, 1.0), (30, 0.6))}
    last = measured(rng, 0.2)
    figure = last.plot_history(history)
    assert figure.axes[0].lines[0].get_xdata().tolist() == [1, 10, 30, 50]
    expected = [report["nc1_pinv"] for report in (*history.values(), last)]
    assert figure.axes[0].lines[0].get_ydata().tolist() == expected
    assert last.plot_history({**history, "end": last}).axes[0].lines[0].get_xdata().tolist() == [0, 1, 2, 3]
    for form in ("png", "svg"):
        figure.savefig(tmp_path / f"history.{form}", dpi=100)
    assert_drawn(tmp_path / "history.png")


def test_what_cannot_be_drawn_says_why(report, rng, monkeypatch):
    plain = measured(rng)
    for plot in ("plot_cosines", "plot_norms", "plot_spreads", "plot_pairs", "plot_confusion"):
        with pytest.raises(ValueError, match="has no details; measure with details=True"):
            getattr(plain, plot)()
    with pytest.raises(ValueError, match="frame is 'rows'; wanted 'means' or 'weights'"):
        report.plot_cosines("rows")
    few = measured(rng, metrics=["cdnv"], details=True)
    with pytest.raises(ValueError, match="no decisions"):
        few.plot_confusion()
    with pytest.raises(ValueError, match="no spectra"):
        few.plot_spectrum()
    with pytest.raises(ValueError, match="wanted at least two"):
        report.plot_history({})
    features, labels = make_features(60, 5, 3, 0.5, 0.0, np.float32, rng)
    with pytest.raises(ValueError, match="no weights"):
        ncfast.measure(features, labels, details=True).plot_cosines("weights")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"ncfast\[plot\]"):
        report.plot_cosines()


def test_pyplot_is_left_alone():
    code = (
        "import sys, numpy as np, ncfast;"
        "r = ncfast.measure(np.eye(6)[np.arange(12) % 6], np.arange(12) % 6, details=True);"
        "r.plot_cosines(); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
