"""A small table of text: plain when printed, HTML in a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple


class TextTable(NamedTuple):
    """A head and rows of as many cells, and a line below them."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    footnote: str = ""

    def __str__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
                         for line in lines)
        return f"{text}\n{self.footnote}" if self.footnote else text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, *body = (
            "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in line) + "</tr>"
            for tag, line in [("th", self.head), *(("td", row) for row in self.rows)])
        footnote = f"<p>{html.escape(self.footnote)}</p>" if self.footnote else ""
        return f"<table>{head}{''.join(body)}</table>{footnote}"


def number(value: float, places: int = 1, sign: bool = False) -> str:
    """For a cell: "-" for NaN."""
    return "-" if math.isnan(value) else f"{value:{'+' if sign else ''},.{places}f}"
