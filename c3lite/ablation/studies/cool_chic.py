"""Fits of whole images beside what versions of Cool-Chic published for the same image and lambda.

Published results are of images, not of parts of them, so a crop has none.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from c3lite.ablation.cells import Cells, number
from c3lite.ablation.sweep import Result
from c3lite.evaluation import reference
from c3lite.evaluation.metrics import bd_rate

VERSIONS = ("Cool-Chic v2.0", "Cool-Chic v3.0", "Cool-Chic v5.0")
"""v2.0 is the paper's COOL-CHICv2; v3.0 took over ideas of C3."""


class Published(NamedTuple):
    """What a version reached on one image at one rate weight."""

    bpp: float
    psnr_db: float

    def loss(self, rd_weight: float) -> float:
        """MSE + lambda bpp (Eq. 24), the MSE from the PSNR."""
        return 10 ** (-self.psnr_db / 10) + rd_weight * self.bpp


def _points(version: str, image: str) -> reference.ImageResults | None:
    """A version's points on an image; None where it has none, as for parts of images."""
    try:
        return reference.cool_chic(version, image)
    except ValueError:
        if version not in reference.cool_chic_versions():
            raise
        return None


def published(version: str, image: str, rd_weight: float) -> Published | None:
    """A version's result; None where it has none for this image (or part of one) and weight.

    Raises `ValueError` for an unknown version.
    """
    for weight, bpp, psnr_db in zip(*(_points(version, image) or ()), strict=True):
        if math.isclose(weight, rd_weight):
            return Published(float(bpp), float(psnr_db))
    return None


def _best(results: Iterable[Result]) -> list[Result]:
    """Of the several configs of a row the fit of least RD loss, in order."""
    best: dict[tuple, Result] = {}
    for r in results:
        place = r.image, r.rd_weight, r.row, r.seed
        if r.record.error is None and (
                place not in best or r.record.loss < best[place].record.loss):
            best[place] = r
    return [best[place] for place in sorted(best)]


def image_by_image(results: Iterable[Result], versions: Sequence[str] = VERSIONS) -> Cells:
    """Every fit with its real file and PSNR, and how much more RD loss it has than each version.

    The RD loss counts the real file's bits, as the published rates do. Changes are in percent; "-"
    where nothing is published, as for crops.
    """
    head = ["image", "lambda", "row", "steps", "bpp, file", "bpp, estimate", "PSNR dB",
            *(f"{v}: bpp, dB, our RD loss over its" for v in versions)]
    rows = []
    for r in _best(results):
        rows.append([r.image, f"{r.rd_weight:g}", r.row, f"{r.record.steps:,}",
                     number(r.record.file_bpp, 4), number(r.record.bpp, 4),
                     number(r.record.psnr_db, 2), *(_beside(r, v) for v in versions)])
    return Cells(head, rows)


def loss_over(result: Result, version: str) -> float:
    """RD loss over a version's, in percent, from the real file's rate; NaN where that has none."""
    other = published(version, result.image, result.rd_weight)
    if other is None:
        return math.nan
    ours = Published(result.record.file_bpp, result.record.psnr_db).loss(result.rd_weight)
    return 100 * (ours / other.loss(result.rd_weight) - 1)


def _beside(result: Result, version: str) -> str:
    other = published(version, result.image, result.rd_weight)
    if other is None:
        return "-"
    change = number(loss_over(result, version), 1, sign=True)
    return f"{other.bpp:.4f}, {other.psnr_db:.2f}, {change} %"


def versions_table(results: Sequence[Result], versions: Sequence[str] = VERSIONS) -> Cells:
    """BD-rate of each row against each version, the mean over whole images (and seeds).

    Rates of the real files; positive is worse than the version. "-" where there is none: fewer than
    four rate weights, or crops only.
    """
    rows = []
    best = _best(results)
    for row in dict.fromkeys(r.row for r in results):
        fitted: dict[tuple[str, int], list[Result]] = {}
        for r in best:
            if r.row == row:
                fitted.setdefault((r.image, r.seed), []).append(r)
        cells = []
        for version in versions:
            rates = []
            for (image, _), ours in fitted.items():
                if (theirs := _points(version, image)) is None:
                    continue
                with contextlib.suppress(ValueError):  # fewer than four points, or no overlap
                    rates.append(bd_rate(
                        [r.record.file_bpp for r in ours], [r.record.psnr_db for r in ours],
                        theirs.bpp, theirs.psnr_db))
            cells.append(f"{np.mean(rates):+.1f} % (of {len(rates)})" if rates else "-")
        rows.append([row, *cells])
    return Cells(["BD-rate against", *versions], rows)
