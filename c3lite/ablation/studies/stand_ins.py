"""Rows beyond the paper's Tables 3 and 11: what stands in for rounding, and how stable fits are."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from c3lite.ablation.jobs import Result
from c3lite.ablation.rows import BASE, Row
from c3lite.ablation.store import Record
from c3lite.ablation.table import TextTable, number
from c3lite.config import Config, edit

HELD = {"start held": 0.0, "middle held": 0.5, "end held": 1.0}
"""Rows that hold T and a where they are at this progress of stage 1."""

NOISES: dict[str, dict[str, Any]] = {
    "soft-rounding, uniform noise": {"noise_shape": 1.0},
    "soft-rounding alone": {"noise_shape": math.inf},
    "Kumaraswamy noise": {"temperature": math.inf},
    "uniform noise": {"temperature": math.inf, "noise_shape": 1.0},
}
"""Rows without part of the base, which anneals both soft-rounding and Kumaraswamy noise."""

HARD = {"straight-through": math.inf, "hard, slope of T=0.3": 0.3, "hard, slope of T=1e-4": 1e-4}
"""Rows that round from the first step: forward to the nearest whole number, backward by the slope
of soft-rounding at this temperature, or 1 for straight-through."""

STAND_INS = (*HELD, *NOISES, *HARD)  # all rows but the base


def stand_ins(base: Config) -> list[Row]:
    """The base, then the rows of `STAND_INS`. Those that round from the first step are a stage 2
    alone, as long as both stages of the base and from stage 1's first learning rate; it falls when
    a hundredth of the steps (at least stage 2's usual patience) bring nothing."""
    anneals = {"temperature": base.temperature, "noise_shape": base.noise_shape}
    held = {name: {field: (1 - p) * anneal.start + p * anneal.end
                   for field, anneal in anneals.items()} for name, p in HELD.items()}
    hard = {name: {"stage2_temperature": T, "steps": 0,
                   "stage2_steps": base.steps + base.stage2_steps,
                   "stage2_learning_rate": base.learning_rate.start,
                   "stage2_patience": max(base.stage2_patience, base.steps // 100)}
            for name, T in HARD.items()}
    return [Row(BASE, (base,)), *(Row(name, (edit(base, **changes),))
                                  for name, changes in (held | NOISES | hard).items())]


def jump_percent(record: Record) -> float:
    """How much the loss rises at rounding, in percent: the first of stage 2 against the mean of the
    last five stored ones of stage 1. NaN for a fit without both stages."""
    steps = np.asarray(record.history.get("step", ()))
    soft = np.flatnonzero(steps < record.config["steps"])
    if not soft.size or soft.size == steps.size:
        return math.nan
    loss = np.asarray(record.history["loss"])
    return float(100 * (loss[soft[-1] + 1] / loss[soft[-5:]].mean() - 1))


class Stability(NamedTuple):
    """A row against the base, over all images, rate weights and seeds."""

    row: str
    fits: int
    failed: int  # fits whose loss stopped being finite; the other figures are without them
    collapsed: int | None  # None where it is not known of all fits
    rise_percent: float
    """Of the latents' RD loss, mean over images and rate weights of each mean over seeds."""
    rises_percent: Float[np.ndarray, " fits"]
    """Of each fit, against the base's mean over seeds for its image and rate weight."""
    spread_percent: float
    """Standard deviation over seeds (root mean square over images and rate weights), in percent of
    the base's mean. NaN for a single seed."""
    jump_percent: float  # median over the fits


def stability(results: Iterable[Result]) -> list[Stability]:
    """How each row's losses compare with the base's, which comes first, and scatter over seeds.
    Raises `ValueError` when the base lacks a finished fit where another row has any."""
    by_place: dict[str, dict[tuple[str, float], list[Record]]] = {BASE: {}}
    for r in results:
        by_place.setdefault(r.row, {}).setdefault((r.image, r.rd_weight), []).append(r.record)
    base = {cell: losses.mean() for cell, records in by_place[BASE].items()
            if (losses := _losses(records)).size}
    if missing := {cell for row in by_place.values() for cell in row} - set(base):
        image, rd_weight = min(missing)
        raise ValueError(f"the row {BASE!r} has no finished fit of {image} at rate weight "
                         f"{rd_weight:g} to compare with")
    return [_stability(row, some, base) for row, some in by_place.items() if some]


def _losses(records: Sequence[Record]) -> np.ndarray:
    return np.array([r.latents_loss for r in records if r.error is None])


def _stability(row, by_place: Mapping[tuple, Sequence[Record]], base: Mapping[tuple, float]):
    records = [record for some in by_place.values() for record in some]
    rises = [100 * (_losses(some) / base[cell] - 1) for cell, some in by_place.items()]
    variances = [some.var(ddof=1) for some in rises if some.size > 1]
    finished = [r for r in records if r.error is None]
    jumps = [jump for r in finished if not math.isnan(jump := jump_percent(r))]
    collapsed = [r.collapsed for r in finished]
    return Stability(
        row, len(records), len(records) - len(finished),
        None if None in collapsed else sum(collapsed),
        float(np.mean([some.mean() for some in rises if some.size])) if finished else math.nan,
        np.concatenate(rises),
        math.sqrt(np.mean(variances)) if variances else math.nan,
        float(np.median(jumps)) if jumps else math.nan)


def stability_table(rows: Iterable[Stability]) -> TextTable:
    """For people."""
    return TextTable(
        ("row", "RD loss of the latents %", "spread over seeds %", "jump at rounding %", "fits",
         "failed", "collapsed"),
        [(row.row, number(row.rise_percent, 2, sign=True), number(row.spread_percent, 2),
          number(row.jump_percent, 1, sign=True), str(row.fits), str(row.failed or "-"),
          "unknown" if row.collapsed is None else str(row.collapsed or "-"))
         for row in rows])


def curves(results: Sequence[Result]) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Stored (steps, losses) of each row, a pair a seed, of the first image and rate weight."""
    found: dict[str, list] = {}
    for r in results:
        if r[1:3] == results[0][1:3] and r.record.error is None:
            found.setdefault(r.row, []).append(loss_curve(r.record))
    return found


def loss_curve(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """The stored steps of a fit and the losses there."""
    return np.array(record.history["step"]), np.array(record.history["loss"])
