"""What all pictures share: styles of methods, axes, and showing a figure with its words."""

import html
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

T = TypeVar("T")

# Okabe and Ito's eight colors, which stay apart in the common kinds of color blindness, and grays.
# Ours is blue, COOL-CHIC orange, classic codecs the rest; markers tell apart what color does not.
METHOD_STYLE: dict[str, dict[str, Any]] = {
    "C3": {"color": "#0072B2", "marker": "o", "linewidth": 2.2, "zorder": 4},
    "C3_FAST": {"color": "#0072B2", "marker": "D", "linestyle": "-."},
    "BEYOND": {"color": "#0072B2", "marker": "^", "linestyle": ":"},
    "BEYOND_SMALL": {"color": "#0072B2", "marker": "v", "linestyle": ":"},
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
    "HiNeRV": {"color": "#8C6D31", "marker": "p"},
    "VCT": {"color": "#D55E00", "marker": ">"},
}
"""Line and marker of each method, the same in the whole series."""

COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#595959")
"""Colors of what is no method, such as settings of C3, in turn: the same eight, and a gray."""

_ALIASES = {"Cool-Chic v1.0": "COOL-CHIC", "Cool-Chic v2.0": "COOL-CHICv2"}
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
    4 and nbconvert 7 make no `alt` of the text in the output's metadata, so it also stands, folded
    up, under the picture.
    """
    figure = drawn.figure if isinstance(drawn, Axes) else drawn
    drawing = _drawn(figure, 2)
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
        frames.append(_drawn(figure, 1).quantize(256, Image.Quantize.FASTOCTREE))
        plt.close(figure)
    frames[0].save(file := io.BytesIO(), "gif", save_all=True, append_images=frames[1:], loop=0,
                   duration=round(1000 * seconds))
    _display("gif", file.getvalue(), alt, frames[0].width)


def _drawn(figure: Figure, scale: int) -> Image.Image:
    figure.savefig(file := io.BytesIO(), dpi=scale * figure.dpi)
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


def finished(ax: Axes, grid: Mapping[str, Any] | None = None,
             legend: Mapping[str, Any] | None = None, **settings: Any) -> Axes:
    """The axes with `settings` (as for `Axes.set`), a faint grid, no upper and right edge, and a
    legend where something has a label."""
    ax.set(**settings)
    ax.grid(alpha=0.3, **(grid or {}))
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(**(legend or {}))
    return ax


def name_lines(ax: Axes) -> Axes:
    """The axes with each line's label at its right end, in its color, instead of a legend."""
    ax.figure.canvas.draw()  # what is where
    box = ax.get_window_extent()
    named = [line for line in ax.lines if not line.get_label().startswith("_")]
    ends = [ax.transData.transform(line.get_xydata()[-1])[1] for line in named]
    gap, above = 0.19 * ax.figure.dpi, -np.inf  # a line of text
    for i in np.argsort(ends):
        above = max(min(ends[i], box.y1), above + gap)
        ax.annotate(named[i].get_label(), (1.01, (above - box.y0) / box.height), va="center",
                    xycoords="axes fraction", color=named[i].get_color(), fontsize=9)
    if ax.get_legend() is not None:
        ax.get_legend().remove()
    return ax


def name_rows(ax: Axes, names: Iterable[str], xlabel: str, fontsize: int | None = None) -> Axes:
    """The axes with a named row for each bar, the first on top, and only the lower edge."""
    names = list(names)
    ax.set_yticks(range(len(names)), names, fontsize=fontsize)
    ax.invert_yaxis()
    ax.set_xlabel(xlabel)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def plain_numbers(axis: Axis, minor: str = "") -> None:
    """No powers of ten on a logarithmic axis; between its main ticks as `minor` formats."""
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(minor)


def signed(value: float | np.floating) -> str:
    """With a sign and one digit, in percent mostly."""
    return f"{value:+.1f}".replace("-", "−")


def colored(items: Mapping[str, T]) -> Iterator[tuple[str, T, str]]:
    """Names and items, and `COLORS` in turn."""
    for (name, item), color in zip(items.items(), itertools.cycle(COLORS), strict=False):
        yield name, item, color


def signed_picture(ax: Axes, values, limit: float | int | None = None, **how: Any) -> AxesImage:
    """Zero is white, `limit` (by default the largest value, at least 1) red, its opposite blue."""
    limit = max(float(np.abs(values).max()), 1) if limit is None else limit
    return ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest", **how)


def number_cells(ax: Axes, values: np.ndarray, strong) -> None:
    """Write a map's numbers, but for NaN, into its cells: in white where `strong` of them holds."""
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
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def color_bar(drawn, ax: Axes, text: str) -> None:
    # beside the picture, as high as it, whatever the layout of the figure is
    ax.figure.colorbar(drawn, cax=ax.inset_axes((1.02, 0, 0.03, 1)), label=text)
