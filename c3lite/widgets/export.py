"""A widget as a page of its own that works from a file, without Python and without a network."""

from __future__ import annotations

import base64
import html
import json
import os
from pathlib import Path
from typing import Any

from ipywidgets import Widget

from c3lite.widgets.base import STATIC, Explorer


def export_html(widget: Widget, path: str | os.PathLike) -> Path:
    """Write `widget` into one HTML file that opens anywhere, live; gives back its path.

    Data, scripts and styles are all inside. Of a running fit it holds what was seen so far.
    Raises `TypeError` for a widget that is not one of c3lite's.
    """
    if not isinstance(widget, Explorer):
        raise TypeError(f"export_html writes c3lite's own widgets, not {type(widget).__name__}")
    state = {name: _plain(getattr(widget, name)) for name in widget.traits(shown=True)}
    state["data"] = _plain(widget.whole())
    words = widget.describe()
    page = (STATIC / "page.html").read_text("utf-8").format(
        title=html.escape(widget.title), css=widget._css, words=html.escape(words),
        still="data:image/png;base64," + base64.b64encode(widget.still()).decode(),
        # a script element ends at the first </, whatever it is in
        state=json.dumps(state, allow_nan=False).replace("</", "<\\/"),
        esm=str(widget._esm).replace("export default", "const widget ="),
        shim=(STATIC / "page.js").read_text("utf-8"))
    path = Path(path)
    path.write_text(page, "utf-8")
    return path


def _plain(value: Any) -> Any:
    """For JSON: bytes as {"base64": ...}."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
