"""Fits of whole images beside what versions of Cool-Chic published for the same image and lambda.
Published results are of images, not of parts of them, so a crop has none."""

import contextlib
import math
from collections.abc import Iterable, Sequence

import numpy as np

from c3lite.ablation.jobs import Result
from c3lite.ablation.table import TextTable, best_results, collapses, number
from c3lite.evaluation import reference
from c3lite.evaluation.metrics import bd_rate

VERSIONS = ("Cool-Chic v2.0", "Cool-Chic v3.0", "Cool-Chic v5.0",
            "Cool-Chic v5.0.1 mop, 2000 steps")
"""v2.0 is the paper's COOL-CHICv2; v3.0 took over ideas of C3; the last is a short fit, by others,
of the small decoder of 1,027 MACs."""


def _points(version: str, image: str) -> reference.ImageResults | None:
    """A version's points on an image; None where it has none, as for parts of images."""
    reference.cool_chic(version, "kodim01")  # which all have: the version is known
    with contextlib.suppress(ValueError):
        return reference.cool_chic(version, image)


def image_by_image(results: Iterable[Result], versions: Sequence[str] = VERSIONS) -> TextTable:
    """Every fit with its real file and PSNR, and how much more RD loss, of real files as well, it
    has than each version; "-": nothing published. Raises `ValueError` for an unknown version."""
    results = list(results)
    head = ["image", "lambda", "row", "steps", "bpp, file", "bpp, estimate", "PSNR dB",
            *(f"{v}: bpp, dB, our RD loss over its" for v in versions)]
    best = sorted(best_results(results), key=lambda r: (r.image, r.rd_weight, r.row, r.seed))
    return TextTable(head, [
        [r.image, f"{r.rd_weight:g}", r.row, f"{r.record.steps:,}", number(r.record.file_bpp, 4),
         number(r.record.bpp, 4), number(r.record.psnr_db, 2),
         *(_against(r, v) for v in versions)] for r in best], collapses(r.record for r in results))


def _against(result: Result, version: str) -> str:
    points = zip(*(_points(version, result.image) or ()), strict=True)
    theirs = next(((bpp, psnr_db) for weight, bpp, psnr_db in points
                   if math.isclose(weight, result.rd_weight)), None)
    if theirs is None:
        return "-"
    # MSE + lambda bpp (Eq. 24), the MSE from the PSNR
    ours, its = (10 ** (-psnr_db / 10) + result.rd_weight * bpp for bpp, psnr_db in (
        (result.record.file_bpp, result.record.psnr_db), theirs))
    change = number(100 * (ours / its - 1), 1, sign=True)
    return f"{theirs[0]:.4f}, {theirs[1]:.2f}, {change} %"


def versions_table(results: Sequence[Result], versions: Sequence[str] = VERSIONS) -> TextTable:
    """BD-rate of real files against each version's, the mean over whole images (and seeds).
    Positive is worse; "-" where there is none: fewer than four rate weights, or crops only."""
    curves: dict[str, dict[tuple[str, int], list[Result]]] = {r.row: {} for r in results}
    for r in best_results(results):
        curves[r.row].setdefault((r.image, r.seed), []).append(r)
    return TextTable(["BD-rate against", *versions], [
        [row, *(_mean_bd_rate(fits, version) for version in versions)]
        for row, fits in curves.items()])


def _mean_bd_rate(curves: dict[tuple[str, int], list[Result]], version: str) -> str:
    rates = []
    for (image, _), ours in curves.items():
        if (theirs := _points(version, image)) is None:
            continue
        with contextlib.suppress(ValueError):  # fewer than four points, or no overlap
            rates.append(bd_rate([r.record.file_bpp for r in ours],
                                 [r.record.psnr_db for r in ours], theirs.bpp, theirs.psnr_db))
    return f"{np.mean(rates):+.1f} % (of {len(rates)})" if rates else "-"
