"""A small table of text: plain when printed, HTML in a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple


class Cells(NamedTuple):
    """A head and rows of as many cells."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
                         for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, *body = (
            "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in line) + "</tr>"
            for tag, line in [("th", self.head), *(("td", row) for row in self.rows)])
        return f"<table>{head}{''.join(body)}</table>"


def number(value: float, places: int = 1, sign: bool = False) -> str:
    """For a cell: "-" for NaN."""
    return "-" if math.isnan(value) else f"{value:{'+' if sign else ''},.{places}f}"
