"""Where and how progress is shown."""

import sys
from collections.abc import Iterable
from io import TextIOBase

from tqdm import tqdm


def progress_output() -> TextIOBase:
    """Standard error; in a notebook, where standard error is red, its standard output. A program's
    own standard output may be piped into another, and is for results."""
    return sys.stderr if sys.stdout is sys.__stdout__ else sys.stdout


def with_bar(items: Iterable, name: str, unit: str, total: int | None = None,
             show: bool = True) -> tqdm:
    """The items, with a bar of plain text if they take longer than two seconds."""
    return tqdm(items, name, total, delay=2, file=progress_output(), unit=unit, leave=False,
                ncols=100, disable=not show)
