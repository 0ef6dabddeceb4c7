"""BD-rates of a table's rows, with intervals, beside the paper's."""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from c3lite.ablation.clips import whole
from c3lite.ablation.store import Record
from c3lite.ablation.sweep import Result
from c3lite.evaluation.metrics import bd_rate

RESAMPLES = 300
"""Bootstrap samples of an interval."""

COVERAGE = 0.95
"""Of an interval."""


class Estimate(NamedTuple):
    """A value with its bootstrap interval; NaN where it cannot be had."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def within_noise(self) -> bool:
        """Whether zero is in the interval. A value without an interval is not known to be zero."""
        return self.low <= 0 <= self.high

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        interval = "" if math.isnan(self.low) else f" [{self.low:+.2f}, {self.high:+.2f}]"
        return f"{self.value:+.2f}{interval}"


class Line(NamedTuple):
    """A row of the finished table. Rates in percent over the anchor's; positive is worse."""

    row: str
    bd_rate: Estimate
    """Of the whole rate, networks included."""
    latents_bd_rate: Estimate
    """Of the latents alone: on small crops the networks are most of the whole rate."""
    loss: Estimate
    """RD loss at equal rate weight: geometric mean of the ratios, in percent."""
    paper: float | None
    images: int
    seeds: int
    steps: int
    """Most steps of a fit, both stages."""
    note: str
    """What the reader has to know: within noise, failed fits, curves without overlap."""


class Points(NamedTuple):
    """One image's curve from one seed, in order of rate weight."""

    bpp: np.ndarray
    latents_bpp: np.ndarray
    psnr_db: np.ndarray
    log_loss: np.ndarray


Curves = dict[str, dict[int, Points]]
"""By image, then seed."""

Anchor = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Rates and PSNRs of another codec, by image."""


class Table(NamedTuple):
    """The finished table; prints as text and shows as HTML in a notebook."""

    lines: list[Line]
    anchor: str
    paper_title: str
    rd_weights: tuple[float, ...]

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
                         for row in cells)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, *rows = self._cells()
        body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>"
                       for row in rows)
        return ("<table><tr>" + "".join(f"<th>{html.escape(c)}</th>" for c in head)
                + f"</tr>{body}</table>")

    def _cells(self) -> list[list[str]]:
        head = ["row", f"BD-rate % vs {self.anchor}", "latents alone %", "RD loss %",
                self.paper_title, "images", "seeds", "steps", "note"]
        return [head, *(
            [line.row, str(line.bd_rate), str(line.latents_bd_rate), str(line.loss),
             "-" if line.paper is None else f"{line.paper:+.2f}", str(line.images),
             str(line.seeds), str(line.steps), line.note] for line in self.lines)]

    def rank_correlation(self) -> float:
        """Spearman's correlation of BD-rates (whole rate) with the paper's; NaN below 3 rows."""
        pairs = [(line.bd_rate.value, line.paper) for line in self.lines
                 if line.paper is not None and not math.isnan(line.bd_rate.value)]
        if len(pairs) < 3:
            return math.nan
        from scipy.stats import spearmanr  # slow to import

        return float(spearmanr(*zip(*pairs, strict=True)).statistic)


def bd_table(
    results: Iterable[Result],
    reference: Mapping[str, float] | None = None,
    *,
    anchor: str | Anchor | None = None,
    anchor_name: str = "anchor",
    paper_title: str = "paper %",
    resamples: int = RESAMPLES,
) -> Table:
    """BD-rate of every row with a bootstrap interval over images and seeds.

    As in the paper, bpp and PSNR are averaged over images at each rate weight, and one BD-rate is
    taken of the mean curves. Only images count that have all rate weights for the row and for the
    anchor. For the interval, images are drawn with replacement, then seeds of each; the row and the
    anchor get the same draw, so that what an image does to both cancels. One image with one seed
    has no interval.

    Args:
        results: of `sweep`; of a row's several configs the one of least RD loss counts.
        reference: the paper's BD-rates by row, in percent.
        anchor: the row to compare with (the first, without), or curves of another codec by image.
        anchor_name: what to call such curves.
        paper_title: of the paper's column.
        resamples: bootstrap samples.

    Raises `ValueError` without results, and for an anchor that has none.
    """
    rows, rd_weights, failed = _curves(results)
    if not rows:
        raise ValueError("there are no results to tabulate")
    if isinstance(anchor, Mapping):
        codec = {image: _outside(*curve) for image, curve in anchor.items()}

        def other(image, seed):
            return codec.get(image)
    else:
        anchor = next(iter(rows)) if anchor is None else anchor
        if anchor not in rows:
            raise ValueError(f"the anchor {anchor!r} is not among the rows: {', '.join(rows)}")
        anchor_name = anchor

        def other(image, seed):
            curve = rows[anchor][0].get(image, {}).get(seed)
            return curve if curve is not None and len(curve.bpp) == len(rd_weights) else None
    lines = []
    for name, (curves, steps) in rows.items():
        pairs = _pairs(curves, other, len(rd_weights))
        notes = [f"{failed[name]} fits failed"] if name in failed else []
        if name == anchor:
            values, notes = [Estimate(0.0)] * 3, ["anchor", *notes]
        else:
            values, note = _values(list(pairs.values()), resamples)
            notes = [note, *notes] if note else notes
        lines.append(Line(name, *values, (reference or {}).get(name), len(pairs),
                          max(map(len, pairs.values()), default=0), steps, "; ".join(notes)))
    return Table(lines, anchor_name, paper_title, rd_weights)


def networks_over(results: Iterable[Result], pixels: int) -> list[Result]:
    """The results as if the bits of their networks were spread over so many pixels.

    On a small crop the networks are most of the rate, on a whole photo of Kodak (393,216 pixels) a
    few percent. The fits stay the crop's; a row's best of several configs may become another.
    """
    def spread(record: Record) -> Record:
        bits = {part: b * (1 if part == "latents" else record.pixels / pixels)
                for part, b in record.bits.items()}
        saved_bpp = record.bpp - sum(bits.values()) / record.pixels
        return dataclasses.replace(
            record, bits=bits, loss=record.loss - record.config["rd_weight"] * saved_bpp)

    return [r if r.record.error is not None else r._replace(record=spread(r.record))
            for r in results]


def mean_curve(results: Iterable[Result], row: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """bpp, latents' bpp and PSNR of a row, means over images and seeds at each rate weight."""
    rows, rd_weights, _ = _curves(results)
    if row not in rows:
        raise ValueError(f"no results of a row {row!r}; there are {', '.join(rows)}")
    complete = [points for seeds in rows[row][0].values() for points in seeds.values()
                if len(points.bpp) == len(rd_weights)]
    if not complete:
        raise ValueError(f"no image of the row {row!r} has all its rate weights yet")
    return tuple(np.mean(np.array(complete), axis=0)[:3])


def loss_changes(results: Iterable[Result]) -> dict[str, dict[float, float]]:
    """How much the RD loss of each row differs from the first row's, by rate weight, in percent.

    Geometric means over the images and seeds that both have.
    """
    logs: dict[str, dict[float, dict[tuple[str, int], float]]] = {}
    for r in whole(results):
        if r.record.error is None:
            place = logs.setdefault(r.row, {}).setdefault(r.rd_weight, {})
            loss = math.log(r.record.loss)
            place[r.image, r.seed] = min(loss, place.get((r.image, r.seed), math.inf))
    first = next(iter(logs.values()), {})
    changes: dict[str, dict[float, float]] = {}
    for row, weights in logs.items():
        for weight, losses in sorted(weights.items()):
            both = [loss - first[weight][place] for place, loss in losses.items()
                    if place in first.get(weight, {})]
            if both:
                mean = math.expm1(float(np.mean(both)))
                changes.setdefault(row, {})[weight] = 100 * mean
    return changes


def _curves(results: Iterable[Result]):
    """For each row its curves and steps; the rate weights of all; failed fits by row."""
    best: dict[str, dict[tuple[str, int], dict[float, Result]]] = {}
    failed: dict[str, int] = {}
    results = list(results)
    for result in results:
        best[result.row] = {}
        if result.record.error is not None:
            failed[result.row] = failed.get(result.row, 0) + 1
    for result in whole(results):
        places = best[result.row]
        if result.record.error is not None:
            continue
        place = places.setdefault((result.image, result.seed), {})
        old = place.get(result.rd_weight)
        if old is None or result.record.loss < old.record.loss:
            place[result.rd_weight] = result
    weights = sorted({w for places in best.values() for place in places.values() for w in place})
    rows = {}
    for name, places in best.items():
        curves: Curves = {}
        steps = 0
        for image, seed in sorted(places):  # not as they came: the bootstrap draws by number
            place = places[image, seed]
            records = [place[w].record for w in weights if w in place]
            curves.setdefault(image, {})[seed] = Points(
                *np.array([(r.bpp, r.latents_bpp, r.psnr_db, math.log(r.loss))
                           for r in records]).T)
            steps = max([steps, *(r.steps for r in records)])
        rows[name] = curves, steps
    return rows, tuple(weights), failed


def _outside(bpp, psnr_db) -> Points:
    bpp, psnr_db = np.asarray(bpp, float), np.asarray(psnr_db, float)
    return Points(bpp, np.full_like(bpp, np.nan), psnr_db, np.full_like(bpp, np.nan))


Pairs = dict[str, list[tuple[Points, Points]]]
"""By image, of each seed: the row's curve and the anchor's."""


def _pairs(curves: Curves, other: Callable[[str, int], Points | None], points: int) -> Pairs:
    """The row's curves that are complete, each with the anchor's for the same image and seed."""
    pairs: Pairs = {}
    for image, seeds in curves.items():
        for seed, mine in seeds.items():
            theirs = other(image, seed)
            if theirs is not None and len(mine.bpp) == points:
                pairs.setdefault(image, []).append((mine, theirs))
    return pairs


def _values(units, resamples: int) -> tuple[list[Estimate], str]:
    """The three estimates of a row from its pairs of curves by image, and what to note."""
    nothing = [Estimate(math.nan)] * 3
    if not units:
        return nothing, "no image has all its rate weights yet"
    # all pairs in a row: the measures of points by rate weight, ours and the anchor's
    mine, theirs = (np.array([pair[side] for seeds in units for pair in seeds])
                    for side in (0, 1))
    *values, error = _measure(mine, theirs, np.ones(len(mine)))
    if len(mine) == 1:
        return [Estimate(v) for v in values], error or "no interval: one image, one seed"
    intervals = _bootstrap(mine, theirs, list(map(len, units)), resamples)
    # a value that only draws have is none
    estimates = [Estimate(v, *(() if math.isnan(v) else i))
                 for v, i in zip(values, intervals, strict=True)]
    return estimates, error or ("within noise" if estimates[0].within_noise else "")


def _measure(
    mine: Float[np.ndarray, "pairs 4 points"], theirs: Float[np.ndarray, "pairs 4 anchor_points"],
    counts: Float[np.ndarray, " pairs"],
) -> tuple[float, float, float, str]:
    """BD-rate of the mean curves, of the latents', and the change of RD loss, in percent.

    Last, why there is no BD-rate: the loss needs neither four points nor a common range of PSNR.
    counts: how often each pair counts.
    """
    mine, theirs = (np.tensordot(counts / counts.sum(), x, 1) for x in (mine, theirs))
    outside = np.isnan(theirs[1]).all()  # another codec: neither latents nor a loss
    loss = math.nan if outside else 100 * math.expm1(float(np.mean(mine[3] - theirs[3])))
    try:
        whole = bd_rate(mine[0], mine[2], theirs[0], theirs[2])
        latents = math.nan if outside else bd_rate(mine[1], mine[2], theirs[1], theirs[2])
    except ValueError as error:
        return math.nan, math.nan, loss, str(error)
    return whole, latents, loss, ""


def _bootstrap(mine, theirs, seeds: Sequence[int], resamples: int):
    """(low, high) for each of `_measure`'s values. seeds: of each image, in the pairs' order."""
    rng = np.random.default_rng(0)  # the same table every time
    firsts = np.cumsum([0, *seeds[:-1]])
    seen: dict[bytes, tuple[float, float, float]] = {}
    samples = []
    for _ in range(resamples):
        counts = np.zeros(len(mine))
        for image in rng.integers(len(seeds), size=len(seeds)):
            drawn = firsts[image] + rng.integers(seeds[image], size=seeds[image])
            np.add.at(counts, drawn, 1)
        draw = counts.tobytes()
        if draw not in seen:
            seen[draw] = _measure(mine, theirs, counts)[:3]
        samples.append(seen[draw])
    tail = 50 * (1 - COVERAGE)
    columns = np.array(samples).T
    return [tuple(np.nanpercentile(c, [tail, 100 - tail]).tolist()) if not np.isnan(c).all()
            else () for c in columns]
