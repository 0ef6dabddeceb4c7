"""What all explorers share: scripts without a build step, arrays on their way to the browser, and
the still picture that stands in where nothing runs. All but a running fit (`live.py`) get what they
show once, as `data`, and then answer in the browser alone, from `static/`."""

import base64
import html
import io
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from ipywidgets import Widget
from jaxtyping import ArrayLike, Float
from matplotlib.figure import Figure

from c3lite.data.images import to_pillow
from c3lite.plots import styles

STATIC = Path(__file__).parent / "static"
STILL_BYTES = 200_000  # stills are kept below this, so that a notebook of many stays small


def script(*names: str) -> str:
    """common.js and files of `static/` as one module, as a page's text cannot import neighbors."""
    return "\n".join((STATIC / name).read_text("utf-8") for name in ("common.js", *names))


def question(text: str) -> traitlets.Unicode:
    """What an explorer answers, its title everywhere."""
    return traitlets.Unicode(text).tag(sync=True, shown=True)


class Explorer(anywidget.AnyWidget):
    """A widget that also is a picture, and shows what went wrong. Besides its script and style, the
    browser reads traits with `shown=True`. `figure()` is its still, `describe()` that in words."""

    _css = (STATIC / "widgets.css").read_text("utf-8")
    data = traitlets.Dict().tag(sync=True, shown=True)
    """What the browser needs; arrays as `pack` leaves them, pictures as `lossless` does."""
    error = traitlets.Unicode().tag(sync=True, shown=True)
    """Shown in the widget, in red; empty: nothing is wrong."""
    title = question("")

    def still(self) -> bytes:
        """A PNG of what the widget shows first, and how to have the rest."""
        figure = self.figure()
        figure.suptitle(self.title, fontsize=11, fontweight="bold")
        figure.supxlabel("a still: run the cell to play with it", fontsize=8, color="gray")
        return png(figure)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.describe()}"

    def _repr_mimebundle_(self, **kwargs: Any):
        data, metadata = super()._repr_mimebundle_(**kwargs)
        words = self.describe()
        return (data | {"image/png": base64.b64encode(self.still()).decode(), "text/plain": words},
                metadata | {"image/png": {"alt": words}})


def clip(video: Float[np.ndarray, "3 frames height width"],
         encode: Callable[[np.ndarray], dict[str, Any]]) -> dict[str, Any]:
    """A clip for `data`: each frame as `encode` makes it, for `clipFrames` in common.js."""
    count, height, width = video.shape[1:]
    return {"count": count, "height": height, "width": width,
            "frames": [encode(video[:, t]) for t in range(count)]}


def png(figure: Figure) -> bytes:
    """A figure as a PNG of 256 colors, made smaller until it has at most `STILL_BYTES`."""
    picture = styles.drawn_at(figure, 100)
    while True:
        small = io.BytesIO()
        picture.quantize(256).save(small, "PNG", optimize=True)
        if len(small.getvalue()) <= STILL_BYTES:
            return small.getvalue()
        picture = picture.resize([max(1, 4 * side // 5) for side in picture.size])


def pack(array: ArrayLike) -> dict[str, Any]:
    """An array for `unpack` in common.js: of the smallest integer type, or float32, compressed."""
    array = np.asarray(array)
    if array.dtype.kind in "iub":
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        array = array.astype(next(t for t in ("uint8", "int8", "int16", "int32") if
                                  np.iinfo(t).min <= low and high <= np.iinfo(t).max))
    else:
        array = array.astype("<f4")
    return {"type": array.dtype.name, "shape": list(array.shape),
            "zlib": zlib.compress(np.ascontiguousarray(array).tobytes(), 6)}


def lossless(x: np.ndarray) -> dict[str, Any]:
    """A picture (3, height, width) in [0, 1], rounded to 8 bits, as a PNG or a smaller WebP."""
    picture, files = to_pillow(np.clip(styles.picture(x), 0, 1)), []
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True, "quality": 20, "method": 2})):
        try:
            files.append(_file(picture, form, **options))
        except OSError:  # a side over the 16,383 of WebP
            continue
    return min(files, key=lambda file: len(file["bytes"]))


def jpeg(x: np.ndarray, quality: int, most_width: int | None = None) -> dict[str, Any]:
    """A picture (3, height, width) in [0, 1] as a small file, at most so many pixels wide."""
    picture = to_pillow(np.clip(styles.picture(x), 0, 1))
    if most_width is not None and picture.width > most_width:
        picture = picture.resize(
            (most_width, max(1, round(picture.height * most_width / picture.width))))
    return _file(picture, "JPEG", quality=quality)


def middle_frame(x: Float[np.ndarray, "3 *shape"]) -> Float[np.ndarray, "3 height width"]:
    """An image, or a video's middle frame."""
    return x if x.ndim == 3 else x[:, x.shape[1] // 2]


def _file(picture, form, **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return {"mime": f"image/{form.lower()}", "bytes": file.getvalue(),
            "width": picture.width, "height": picture.height}


def export_html(widget: Widget, path: str | os.PathLike) -> Path:
    """Write `widget` into one HTML file that opens anywhere, live (a running fit as it is now);
    gives back its path. Raises `TypeError` for a widget that is not one of c3lite's."""
    if not isinstance(widget, Explorer):
        raise TypeError(f"export_html writes c3lite's own widgets, not {type(widget).__name__}")
    state = {name: getattr(widget, name) for name in widget.traits(shown=True)}
    words = widget.describe()
    page = (STATIC / "page.html").read_text("utf-8").format(
        title=html.escape(widget.title), css=widget._css, words=html.escape(words),
        still="data:image/png;base64," + base64.b64encode(widget.still()).decode(),
        # a script element ends at the first </, whatever it is in
        state=json.dumps(state, allow_nan=False, default=in_json).replace("</", "<\\/"),
        esm=str(widget._esm).replace("export default", "const widget ="),
        shim=(STATIC / "page.js").read_text("utf-8"))
    path = Path(path)
    path.write_text(page, "utf-8")
    return path


def in_json(file: bytes) -> dict[str, str]:
    """Bytes, which JSON does not have, for `restore` in page.js."""
    return {"base64": base64.b64encode(file).decode()}
