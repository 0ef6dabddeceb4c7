"""Clips that were fitted patch by patch, as one result again (Sec. 3.3, App. A.4)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np

from c3lite.ablation.store import Record
from c3lite.ablation.sweep import Result


def whole(results: Iterable[Result]) -> list[Result]:
    """Results of patches joined to results of their clips; all others as they are.

    Each patch takes the fit of least RD loss of the row's configs. Clips of which a patch is
    missing are left out; one of which all fits of a patch failed is a failed result.
    """
    joined: list[Result] = []
    clips: dict[tuple, dict[int, Result]] = {}
    for result in results:
        if result.patch.count == 1:
            joined.append(result)
            continue
        patches = clips.setdefault(result[:4], {})
        known = patches.get(result.patch.number)
        if known is None or _rank(result.record) < _rank(known.record):
            patches[result.patch.number] = result
    for place, patches in clips.items():
        count = next(iter(patches.values())).patch.count
        if len(patches) == count:
            joined.append(Result(*place, join(place[1], patches)))
    return joined


def _rank(record: Record) -> float:
    return math.inf if record.error is not None else record.loss


def join(clip: str, patches: Mapping[int, Result]) -> Record:
    """The record of a clip from those of all its patches: `config` and `key` are one patch's.

    Bits are sums, the loss is the mean over pixels, and the PSNR is the mean over whole frames, as
    of a clip in one patch.
    """
    results = [patches[n] for n in sorted(patches)]
    records = [r.record for r in results]
    for record in records:
        if record.error is not None:
            return dataclasses.replace(record, image=clip)
    spans = [slice(r.patch.first_frame, r.patch.first_frame + r.record.shape[0]) for r in results]
    frames, pixels = spans[-1].stop, sum(record.pixels for record in records)
    error, area = np.zeros(frames), np.zeros(frames)
    for span, record in zip(spans, records, strict=True):
        here = math.prod(record.shape[1:])
        error[span] += here * _frame_mse(record)
        area[span] += here
    with np.errstate(divide="ignore"):  # a frame without an error
        psnr_db = float(np.mean(-10 * np.log10(error / area)))
    bits = {part: sum(record.bits[part] for record in records) for part in records[0].bits}
    sizes = [record.file_bytes for record in records]
    return dataclasses.replace(
        records[0], image=clip, shape=(frames, pixels // frames), bits=bits, psnr_db=psnr_db,
        loss=sum(record.loss * record.pixels for record in records) / pixels,
        steps=max(record.steps for record in records),
        seconds=sum(record.seconds for record in records), history={}, frame_mse=None,
        file_bytes=None if None in sizes else sum(sizes))


def _frame_mse(record: Record) -> np.ndarray:
    if record.frame_mse is not None:
        return np.array(record.frame_mse)
    # a fit stored before each frame's error was: all frames alike
    mse = record.loss - record.config["rd_weight"] * record.bpp
    return np.full(record.shape[0], mse)
