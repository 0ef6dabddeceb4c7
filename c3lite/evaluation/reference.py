"""Published results to compare with: rate-distortion points, codecs, tables of the paper.

They ship with the package (c3lite/data/assets/reference; SOURCES.md there says where each is
from), so that a figure next to ours never needs a network. PSNR in dB, rates in bits per pixel.
"""

import csv
import difflib
import json
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float


class RDCurve(NamedTuple):
    """Published points of a codec, averages over a data set, in order of rate."""

    bpp: Float[np.ndarray, " n"]
    psnr_db: Float[np.ndarray, " n"]


class ImageResults(NamedTuple):
    """Results on one image, in order of λ (of the loss MSE + λ·bpp, MSE in [0, 1])."""

    rd_weight: Float[np.ndarray, " n"]
    bpp: Float[np.ndarray, " n"]
    psnr_db: Float[np.ndarray, " n"]


class CodecInfo(NamedTuple):
    """What is known about a codec's points: MACs per pixel of decoding, and their source."""

    type: str
    macs_per_pixel_min: float | None
    macs_per_pixel_max: float | None
    reference: str
    source: str


def datasets() -> list[str]:
    """Data sets that have rate-distortion points; a video of UVG is "uvg/<name>"."""
    return list(dict.fromkeys(row["dataset"] for row in _rows("rd_points.csv")))


def codecs(dataset: str) -> dict[str, CodecInfo]:
    """The codecs of a data set, by name. Raises `ValueError` for another, naming the nearest."""
    rows = _where(_rows("codecs.csv"), dataset=dataset)
    columns = ("macs_per_pixel_min", "macs_per_pixel_max")
    return {row["codec"]: CodecInfo(
        row["type"], *(float(row[c]) if row[c] else None for c in columns), row["reference"],
        row["source"]) for row in rows}


def rd_points(dataset: str, codec: str) -> RDCurve:
    """The points of a codec, one of `codecs(dataset)`: "C3 (paper)", "VTM" and others. Raises
    `ValueError` for an unknown name, naming the nearest."""
    rows = _where(_rows("rd_points.csv"), dataset=dataset, codec=codec)
    return RDCurve(*_columns(rows, "bpp", "psnr_db"))


def cool_chic(codec: str, image: str) -> ImageResults:
    """Results of a version of Cool-Chic on one image of Kodak or CLIC2020, by its name ("kodim19").

    "Cool-Chic v1.0" to "Cool-Chic v5.0"; v2.0 is the paper's COOL-CHICv2, v3.0 has ideas of C3. On
    Kodak also "Cool-Chic v5.0.1 mop, 2000 steps", a short fit. Errors are as for `rd_points`.
    """
    rows = _where(_rows("cool_chic_per_image.csv"), codec=codec, image=image)
    return ImageResults(*_columns(rows, "lambda", "bpp", "psnr_db"))


def paper_table(name: str) -> Any:
    """A table of the paper, as in paper_tables.json: BD-rates in percent, MACs per pixel, times; as
    "table3_kodak_knockout_bd_rate_percent". Raises `ValueError` for others, naming the nearest."""
    tables = json.loads(_text("paper_tables.json"))
    _check("table", name, tables)
    return tables[name]


def _text(file: str) -> str:
    folder = resources.files("c3lite") / "data" / "assets" / "reference"
    return (folder / file).read_text("utf-8")


@cache
def _rows(file: str) -> list[dict[str, str]]:
    return list(csv.DictReader(_text(file).splitlines()))


def _where(rows: list[dict[str, str]], **values: str) -> list[dict[str, str]]:
    """The rows whose columns have these values, one column after the other."""
    for column, value in values.items():
        _check(column, value, [row[column] for row in rows])
        rows = [row for row in rows if row[column] == value]
    return rows


def _check(what: str, name: str, known: Iterable[str]) -> None:
    names = list(dict.fromkeys(known))
    if name not in names:
        longer = [n for n in names if n.startswith(name)]
        nearest = (longer or difflib.get_close_matches(name, names, n=1, cutoff=0))[0]
        raise ValueError(f"unknown {what} {name!r}; did you mean {nearest!r}?")


def _columns(rows: list[dict[str, str]], *columns: str) -> Iterable[np.ndarray]:
    """The columns as numbers, in order of the first."""
    table = np.array([[float(row[column]) for column in columns] for row in rows])
    return table[np.argsort(table[:, 0], kind="stable")].T.copy()
