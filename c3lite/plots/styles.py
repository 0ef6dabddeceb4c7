"""What all pictures share: styles of methods, axes, and showing a figure with its words."""

import functools
import html
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.transforms import Affine2D, Bbox
from PIL import Image

from c3lite.evaluation.report import PART_COLORS

T = TypeVar("T")

# Okabe and Ito's colors and some of Tol's, apart for the color-blind too: C3 blue, COOL-CHIC orange
METHOD_STYLE: dict[str, dict[str, Any]] = {
    "C3": {"color": "#0072B2", "marker": "o", "linewidth": 2.2, "zorder": 4},
    "C3_FAST": {"color": "#882255", "marker": "D", "linestyle": "-."},
    "BEYOND": {"color": "#332288", "marker": "^", "linestyle": ":"},
    "BEYOND_SMALL": {"color": "#332288", "marker": "v", "linestyle": ":"},
    "C3 adaptive": {"color": "#0072B2", "marker": "*", "linestyle": "--", "zorder": 4},
    "COOL-CHIC": {"color": "#E69F00", "marker": "v", "linestyle": "--"},
    "COOL-CHICv2": {"color": "#E69F00", "marker": "^"},
    "Cool-Chic v3.0": {"color": "#D55E00", "marker": "^", "linestyle": ":"},
    "Cool-Chic v5.0": {"color": "#D55E00", "marker": "<"},
    "JPEG": {"color": "#595959", "marker": "s"},
    "JPEG2000": {"color": "#595959", "marker": "s", "linestyle": "--"},
    "WebP": {"color": "#009E73", "marker": "D"},
    "AVIF": {"color": "#CC79A7", "marker": "P"},
    "HEVC": {"color": "#56B4E9", "marker": "X"},
    "BPG": {"color": "#56B4E9", "marker": "X", "linestyle": "--"},
    "VTM": {"color": "#000000", "marker": "d"},
    "MLIC+": {"color": "#8C6D31", "marker": "h"},
    "HiNeRV": {"color": "#117733", "marker": "p"},
    "VCT": {"color": "#661100", "marker": ">"},
}
"""Line and marker of each method, the same in the whole series."""

COLORS = ("#004488", "#997700", "#994455", "#6699CC", "#EE99AA", "#EECC66")
"""Colors of what is no method, such as settings of C3, in turn: Paul Tol's of medium contrast, none
of which a method, a part of a file (`PART_COLORS`) or a part of the loss has."""

ERROR, RATE, KNOWN, TARGET = "#CC6677", PART_COLORS["latents"], COLORS[0], "#EE7733"
"""The loss's two parts; marks of what is known or read, and of what it is about."""

_ALIASES = {"Cool-Chic v1.0": "COOL-CHIC", "Cool-Chic v2.0": "COOL-CHICv2"}
BESIDE = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "frameon": False, "fontsize": 9}
"""A legend to the right of its axes, of what is no line."""
OTHER = {"color": "#A6A6A6", "marker": ".", "linewidth": 1.0, "zorder": 1}


def style(name: str) -> dict[str, Any]:
    """Keyword arguments for `Axes.plot` of a method, whatever its case and what is in parentheses;
    thin and gray for one without a style."""
    plain = name.partition("(")[0].strip()
    known = label(_ALIASES.get(plain, plain))
    return {"linewidth": 1.6, "markersize": 5, **METHOD_STYLE.get(known, OTHER)}


def label(name: str) -> str:
    """A method's usual spelling: "JPEG" for `codecs`' "jpeg"; what is unknown stays."""
    return next((known for known in METHOD_STYLE if known.casefold() == name.casefold()), name)


def show(drawn: Axes | Figure, alt: str) -> None:
    """Put a figure into a notebook now, with a text for those who cannot see it, and close it.

    At twice the resolution; with a photograph in it as JPEG, else as PNG of 256 colors. JupyterLab
    4 and nbconvert 7 make no `alt` of the output's metadata: the text stands, folded up, below.
    """
    figure = drawn.figure if isinstance(drawn, Axes) else drawn
    for ax in figure.axes:  # one style, also of what a lesson draws; maps and pictures have a frame
        if "top" in ax.spines and not (
                ax.images or hasattr(ax, "_colorbar") or ax.findobj(QuadMesh)):
            ax.spines[["top", "right"]].set_visible(False)
    drawing = drawn_at(figure, 2 * figure.dpi)
    photograph = any(image.get_array().ndim == 3 for image in figure.findobj(AxesImage))
    kind = "jpeg" if photograph else "png"
    drawing = drawing if photograph else drawing.quantize(dither=Image.Dither.NONE)
    drawing.save(file := io.BytesIO(), kind, quality=80, optimize=True)
    _display(kind, file.getvalue(), alt, int(figure.get_figwidth() * figure.dpi))
    plt.close(figure)


def show_moving(drawn: Iterable[Figure], alt: str, seconds: float = 0.4) -> None:
    """`show` for what moves: figures of one size, each for so many seconds, again and again.

    A GIF at the figures' own resolution, which plays wherever pictures are shown. Of its 256 colors
    an octree also gives some to small marks.
    """
    frames = []
    for figure in drawn:
        frames.append(drawn_at(figure, figure.dpi).quantize(256, Image.Quantize.FASTOCTREE))
        plt.close(figure)
    frames[0].save(file := io.BytesIO(), "gif", save_all=True, append_images=frames[1:], loop=0,
                   duration=round(1000 * seconds))
    _display("gif", file.getvalue(), alt, frames[0].width)


def drawn_at(figure: Figure, dpi: float | int) -> Image.Image:
    """A figure as an RGB picture of `dpi` dots an inch."""
    figure.savefig(file := io.BytesIO(), format="png", dpi=dpi)
    return Image.open(file).convert("RGB")


def _display(kind: str, data: bytes, alt: str, width: int) -> None:
    from IPython.display import HTML, display  # only a notebook has a use for it

    display({f"image/{kind}": data, "text/plain": alt}, raw=True,
            metadata={f"image/{kind}": {"alt": alt, "width": width}})
    display(HTML(f"<details><summary><small>The picture in words</small></summary>"
                 f"{html.escape(alt)}</details>"))


def new_axes(ax: Axes | None, picture=None, figsize=(7, 4.5)) -> Axes:
    """`ax`, or those of a new figure, of a picture's proportions where there is one."""
    if ax is not None:
        return ax
    if picture is not None:
        height, width = np.shape(picture)[-2:]
        figsize = (7, float(np.clip(7 * height / width, 1.5, 10)))
    return plt.subplots(figsize=figsize, layout="constrained")[1]


def finished(ax: Axes, grid: Mapping[str, Any] | None = None, **settings: Any) -> Axes:
    """The axes with `settings` (as for `Axes.set`), a faint grid, no upper and right edge, and a
    name at each line that has a label."""
    ax.set(**settings)
    ax.grid(alpha=0.3, **(grid or {}))
    ax.spines[["top", "right"]].set_visible(False)
    return name_lines(ax)


def name_lines(ax: Axes) -> Axes:
    """The axes with each line's label at the line, in its color, instead of a legend.

    A line that ends at the right edge, or whose name would cover others everywhere, is named beside
    the axes, another near its end. Limits may change later; call again after adding lines.
    """
    for old in (ax.get_legend(), *(text for text in ax.texts if text.get_gid() == "name")):
        if old is not None:
            old.remove()
    if ax.get_figure(root=True).get_layout_engine() is None:
        ax.get_figure(root=True).set_layout_engine("constrained")  # makes room beside the axes
    named = [line for line in ax.lines
             if line.get_label() and line.get_label()[0] != "_" and len(line.get_xydata())]
    found: dict[bytes, tuple] = {}

    def place(renderer, line, part):  # in pixels; part 0 is the line's end, 1 the left of its name
        paths = {one: _seen(one, ax.bbox) for one in ax.lines}
        if (key := np.concatenate([*paths.values()]).tobytes()) not in found:
            found[key] = _places(renderer, ax, paths, named)
        return Affine2D().translate(*found[key][part][line])

    for line in named:
        ends = (functools.partial(place, line=line, part=part) for part in (0, 1))
        stroke = {"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.6, "shrinkB": 2}
        ax.annotate(line.get_label(), (0, 0), (0, 0), *ends, gid="name", fontsize=9, va="center",
                    color=line.get_color(), arrowprops=stroke | {"relpos": (0, 0.5)})
    return ax


def _seen(line, box):
    """Points of a line, some hundred, where it is on the axes, in pixels; else its end, moved."""
    path = line.get_transform().transform_path(line.get_path())
    points = path.interpolated(1 + 300 // max(len(path), 1)).vertices
    inside = points[((points > box.p0 - 1) & (points < box.p1 + 1)).all(1)]
    return inside if len(inside) else np.clip(points[-1:], box.p0, box.p1)


def _places(renderer, ax, paths, named):
    """Ends of lines and left ends of their names, which cover few points and no other text."""
    box, point, points = ax.bbox, renderer.points_to_pixels(1), np.concatenate([*paths.values()])
    taken = [text.get_window_extent(renderer) for text in ax.texts if text.get_gid() != "name"]
    sides = np.array([(1, 0), (0, 1), (0, -1), (-1, 0), (-1, 1), (1, -1), (1, 1), (-1, -1)])
    ends, starts = {line: paths[line][-1] for line in named}, {}
    for line, end in ends.items():
        half = np.array(renderer.get_text_width_height_descent(
            line.get_label(), FontProperties(size=9), False)[:2]) / 2
        at = paths[line][np.linspace(len(paths[line]) - 1, 0, 21).astype(int), None]
        centers = (at + sides * (half + point * np.array([7, 4]))).reshape(-1, 2)
        low, high = centers - half, centers + half
        cost = 0.2 * np.arange(len(centers)) + 3 / point * (
            np.maximum(box.p0 - low, 0) + np.maximum(high - box.p1, 0)).sum(1)
        cost += 4 * (abs(points - centers[:, None]) < half + 2 * point).all(2).sum(1)
        cost += 99 * sum(((low < other.p1) & (high > other.p0)).all(1) for other in taken)
        best, away = cost.argmin(), box.x1 - end[0]
        if len(paths[line]) == 1 or (  # a mark
                away > 0.06 * box.width and cost[best] < 40 + 0.1 * away / point):
            taken.append(Bbox([low[best], high[best]]))
            ends[line] = starts[line] = low[best, 0], centers[best, 1]
    beside = sorted((one for one in named if one not in starts), key=lambda one: ends[one][1])
    apart = 11.5 * point * np.arange(len(beside))
    heights = np.array([ends[line][1] for line in beside]) - apart  # without overlap, if they rise
    up, down = np.maximum.accumulate(heights), np.minimum.accumulate(heights[::-1])[::-1]
    heights = np.clip((up + down) / 2, box.y0, box.y1 - apart.max(initial=0)) + apart
    starts |= {line: (box.x1 + 10 * point, y) for line, y in zip(beside, heights, strict=True)}
    return ends, starts


def name_rows(ax: Axes, names: Iterable[str], xlabel: str, fontsize: int | None = None) -> Axes:
    """The axes with a named row for each bar, the first on top, a line at 0, the lower edge, and a
    legend beside them where something has a label."""
    names = list(names)
    if ax.get_xscale() != "log":
        ax.axvline(0, color="black", linewidth=0.8)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(**BESIDE)
    ax.set_yticks(range(len(names)), names, fontsize=fontsize)
    ax.invert_yaxis()
    ax.set_xlabel(xlabel)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def plain_numbers(axis: Axis, minor: str = "") -> None:
    """No powers of ten on a logarithmic axis; between its main ticks as `minor` formats."""
    axis.set_major_formatter("{x:,.9g}")
    axis.set_minor_formatter(minor)


def signed(value: float | np.floating) -> str:
    """With a sign and one digit, in percent mostly."""
    return f"{value:+.1f}".replace("-", "−")


def colored(items: Mapping[str, T]) -> Iterator[tuple[str, T, str]]:
    """Names and items, with a method's color, or else the one of their place in `COLORS`."""
    for (name, item), color in zip(items.items(), itertools.cycle(COLORS), strict=False):
        yield name, item, METHOD_STYLE.get(name, {"color": color})["color"]


def signed_picture(ax: Axes, values, limit: float | int | None = None, **how: Any) -> AxesImage:
    """Zero is white, `limit` (by default the largest value, at least 1) red, its opposite blue."""
    limit = max(float(np.abs(values).max()), 1) if limit is None else limit
    return ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest", **how)


def number_cells(ax: Axes, values: np.ndarray, strong, rows: Sequence[str],
                 columns: Sequence[str], **ticks: Any) -> None:
    """Name a map's rows and columns and write its numbers but NaN in, white if `strong(size)`."""
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xticks(range(len(columns)), columns, **ticks)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            ax.text(column, row, signed(value), ha="center", va="center", fontsize=9,
                    color="white" if strong(abs(value)) else "black")


def picture(x) -> np.ndarray:
    x = np.asarray(x)
    if x.ndim != 3 or x.shape[0] != 3 or x.size == 0:
        raise ValueError(f"a picture is (3, height, width), not {x.shape}; of a video, one frame")
    return x


def bare(ax: Axes) -> Axes:
    ax.set(xticks=[], yticks=[])
    return ax


def color_bar(drawn, ax: Axes, text: str) -> Axes:
    # beside the picture, as high as it, whatever the layout of the figure is; away from the next
    if (figure := ax.get_figure(root=True)).get_constrained_layout():
        figure.get_layout_engine().set(wspace=0.06)
    return ax.figure.colorbar(drawn, cax=ax.inset_axes((1.02, 0, 0.03, 1)), label=text).ax
