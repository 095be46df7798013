"""What all pictures of the models share: colours, dress, files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, RED, GREEN, GOLD, PURPLE = "#1f6fb2", "#d1495b", "#2a9d6f", "#d98c1f", "#7d5ba6"
INK, GREY, PALE, SHADE = "#1d2733", "#5f6b76", "#e1e4e7", "#f8f2e4"
DPI = 110


def new_figure(title: str, caption: str, size: tuple[float, float]) -> Figure:
    """Begin a figure; without pyplot, whose figures and backend belong to the caller."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('pictures need matplotlib: pip install "ncfast[ufm]"') from error
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # type: ignore[call-arg, union-attr]
    figure.suptitle(title, fontsize=16, fontweight="bold", color=INK)
    figure.supxlabel(caption, fontsize=10, color=GREY)
    return figure


def dress(axes: Axes, title: str, x: str, y: str) -> None:
    """Give axes a title on the left that says what is seen, quiet spines and a grid."""
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK, pad=9)
    axes.set_xlabel(x, color=GREY)
    axes.set_ylabel(y, color=GREY)
    axes.tick_params(which="both", colors=GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.grid(visible=True, color=PALE, linewidth=0.7)
    axes.set_axisbelow(True)


def note(axes: Axes, x: float, y: float, text: str, colour: str, **options: Any) -> None:
    """Write on a picture, readable over lines."""
    from matplotlib.patheffects import withStroke

    options = {"fontsize": 10, "va": "center", **options}
    axes.text(x, y, text, color=colour, path_effects=[withStroke(linewidth=3, foreground="white")], **options)


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write a PNG and an SVG, the same bytes for the same figure."""
    import matplotlib

    png, svg = stem.with_suffix(".png"), stem.with_suffix(".svg")
    figure.savefig(png, dpi=DPI, metadata={"Software": None})
    with matplotlib.rc_context({"svg.hashsalt": "ncfast", "svg.fonttype": "path"}):
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return png, svg


def require_matplotlib() -> None:
    """Fail early, before what would be drawn is computed."""
    new_figure("", "", (1, 1))


def spread(heights: Iterable[float], gap: float) -> list[float]:
    """Move heights apart, as little as order and `gap` need; for labels at the ends of curves."""
    order = sorted(enumerate(heights), key=lambda item: item[1])
    moved = [height for _, height in order]
    for _ in range(200):
        for low, high in zip(range(len(moved)), range(1, len(moved)), strict=False):
            lack = gap - (moved[high] - moved[low])
            if lack > 1e-9:
                moved[low] -= lack / 2
                moved[high] += lack / 2
    return [height for _, height in sorted(zip((place for place, _ in order), moved, strict=True))]
