"""BD-rates of a table's rows, with intervals, beside the paper's."""

import dataclasses
import functools
import html
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from c3lite.ablation.jobs import Result
from c3lite.ablation.store import Record
from c3lite.evaluation.metrics import bd_rate

PERCENTILES = 2.5, 97.5  # of the bootstrap, the ends of an interval

Curve = Float[np.ndarray, "4 _"]
"""bpp, latents' bpp, PSNR and ln(RD loss) of an image from one seed, in order of rate weight."""

Anchor = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Rates and PSNRs of another codec, by image."""


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
    # not "-0.00", which the sum makes 0
    return "-" if math.isnan(value) else (
        f"{round(value, places) + 0.0:{'+' if sign else ''},.{places}f}")


class Estimate(NamedTuple):
    """A value with its bootstrap interval; NaN where it cannot be had."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        interval = "" if math.isnan(self.low) else f" [{self.low:+.2f}, {self.high:+.2f}]"
        return f"{self.value:+.2f}{interval}"


class Line(NamedTuple):
    """A row of the finished table. Rates in percent over the anchor's; positive is worse."""

    row: str
    bd_rate: Estimate  # of the whole rate, networks included
    latents_bd_rate: Estimate
    """Of the latents alone: on small crops the networks are most of the whole rate."""
    loss: Estimate  # RD loss at equal rate weight: geometric mean of the ratios, in percent
    paper: float | None
    images: int
    seeds: int
    steps: int  # most steps of a fit, both stages
    note: str  # what the reader has to know: within noise, failed fits, curves without overlap


class Table(NamedTuple):
    """The finished table; prints as text and shows as HTML in a notebook."""

    lines: list[Line]
    anchor: str
    paper_title: str
    collapses: str  # how many fits collapsed, in words (`collapses`)

    def __str__(self) -> str:
        return str(self._text())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self._text()._repr_html_()

    def _text(self) -> TextTable:
        head = ["row", f"BD-rate % vs {self.anchor}", "latents alone %", "RD loss %",
                self.paper_title, "images", "seeds", "steps", "note"]
        return TextTable(head, [
            [line.row, str(line.bd_rate), str(line.latents_bd_rate), str(line.loss),
             "-" if line.paper is None else f"{line.paper:+.2f}", str(line.images),
             str(line.seeds), str(line.steps), line.note] for line in self.lines], self.collapses)


def bd_table(results: Iterable[Result], reference: Mapping[str, float] | None = None, *,
             anchor: str | Anchor | None = None, anchor_name: str = "anchor",
             paper_title: str = "paper %", resamples: int = 300) -> Table:
    """BD-rate of every row with a bootstrap interval over images and seeds.

    As in the paper, the BD-rate is that of curves of mean bpp and PSNR over images at each rate
    weight. Only images count that have all rate weights for the row and for the anchor. For the
    interval, images are drawn with replacement, then seeds of each, the same for row and anchor.

    Args:
        results: of `sweep`; of a row's several configs the one of least RD loss counts.
        reference: the paper's BD-rates by row, in percent; `paper_title` is their column's.
        anchor: the row to compare with (the first, without), or curves of another codec by image,
            called `anchor_name`.
        resamples: bootstrap samples.

    Raises `ValueError` without results, and for an anchor that has none.
    """
    results = list(results)
    rows = _curves(results)
    if not rows:
        raise ValueError("there are no results to tabulate")
    if isinstance(anchor, Mapping):
        places = {place for curves in rows.values() for place in curves if place[0] in anchor}
        # another codec has neither latents nor a loss
        theirs = {place: np.array(np.broadcast_arrays(bpp, math.nan, psnr_db, math.nan))
                  for place in places for bpp, psnr_db in [anchor[place[0]]]}
    else:
        anchor = anchor_name = next(iter(rows)) if anchor is None else anchor
        if anchor not in rows:
            raise ValueError(f"the anchor {anchor!r} is not among the rows: {', '.join(rows)}")
        theirs = rows[anchor]
    lines = []
    for name, curves in rows.items():
        fits = [r.record for r in results if r.row == name]
        pairs: dict[str, list[tuple[Curve, Curve]]] = {}  # by image, of each seed
        for place in (place for place in curves if place in theirs):
            pairs.setdefault(place[0], []).append((curves[place], theirs[place]))
        if name == anchor:
            values, note = [Estimate(0.0)] * 3, "anchor"
        else:
            values, note = _values(list(pairs.values()), resamples)
        counts = {"failed": sum(fit.error is not None for fit in fits),
                  "collapsed": sum(fit.collapsed is True for fit in fits)}
        notes = [note, *(f"{n} fits {what}" for what, n in counts.items() if n)]
        lines.append(Line(
            name, *values, (reference or {}).get(name), len(pairs),
            max(map(len, pairs.values()), default=0), max(fit.steps for fit in fits),
            "; ".join(filter(None, notes))))
    return Table(lines, anchor_name, paper_title, collapses(r.record for r in results))


def collapses(records: Iterable[Record]) -> str:
    """In words, of how many fits, and how many were not judged (`Record.collapsed`)."""
    fits = {fit.key: fit.collapsed for fit in records if fit.error is None}
    known = [collapsed for collapsed in fits.values() if collapsed is not None]
    unknown = len(fits) - len(known)
    return "; ".join([f"{sum(known)} of {len(known)} fits collapsed"] * bool(known)
                     + [f"{unknown} fits were not checked for a collapse"] * bool(unknown))


def networks_over(results: Iterable[Result], pixels: int) -> list[Result]:
    """The results as if the bits of their networks, on a small crop most of the rate, were spread
    over so many pixels. The best of a row's several configs may become another."""
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
    rows = _curves(results)
    if row not in rows:
        raise ValueError(f"no results of a row {row!r}; there are {', '.join(rows)}")
    if not rows[row]:
        raise ValueError(f"no image of the row {row!r} has all its rate weights yet")
    return tuple(np.mean(list(rows[row].values()), axis=0)[:3])


def loss_changes(results: Iterable[Result], *,
                 latents_alone: bool = False) -> dict[str, dict[float, float]]:
    """By row and rate weight, how much the RD loss, or that of the latents alone, differs from the
    first row's, in percent: the geometric mean over the images and seeds that both have."""
    results = list(results)
    logs: dict[tuple[str, float], dict[tuple[str, int], float]] = {}
    for r in best_results(results):
        loss = r.record.latents_loss if latents_alone else r.record.loss
        logs.setdefault((r.row, r.rd_weight), {})[r.image, r.seed] = math.log(loss)
    changes: dict[str, dict[float, float]] = {r.row: {} for r in results}
    for (row, weight), mine in sorted(logs.items()):
        first = logs.get((results[0].row, weight), {})
        if both := [loss - first[place] for place, loss in mine.items() if place in first]:
            changes[row][weight] = 100 * math.expm1(float(np.mean(both)))
    return {row: by_weight for row, by_weight in changes.items() if by_weight}


def best_results(results: Iterable[Result]) -> list[Result]:
    """Of a row's configs the fit of least RD loss, clips joined, failed ones left out, in order of
    row, image, seed and rate weight."""
    best: dict[tuple, Result] = {}
    for r in joined_clips(results):
        place = r.row, r.image, r.seed, r.rd_weight
        best[place] = min(best.get(place, r), r, key=_loss)
    return [best[place] for place in sorted(best) if best[place].record.error is None]


def _curves(results: Iterable[Result]) -> dict[str, dict[tuple[str, int], Curve]]:
    """For each row, by image and seed, the curves that have all rate weights."""
    results = list(results)
    best = best_results(results)  # in order, not as they came: the bootstrap draws by number
    points: dict[str, dict[tuple[str, int], list]] = {r.row: {} for r in results}
    for row, image, _, seed, record, _ in best:
        points[row].setdefault((image, seed), []).append(
            (record.bpp, record.latents_bpp, record.psnr_db, math.log(record.loss)))
    weights = {r.rd_weight for r in best}
    return {row: {place: np.array(curve).T for place, curve in curves.items()
                  if len(curve) == len(weights)} for row, curves in points.items()}


def _values(units: Sequence[Sequence[tuple[Curve, Curve]]], resamples: int):
    """The three estimates of a row from its pairs of curves by image, and what to note."""
    if not units:
        return [Estimate(math.nan)] * 3, "no image has all its rate weights yet"
    # all pairs in a row: the measures of points by rate weight, ours and the anchor's
    mine, theirs = (np.array([pair[side] for seeds in units for pair in seeds]) for side in (0, 1))
    with warnings.catch_warnings(record=True, action="ignore") as caught:
        warnings.simplefilter("always", UserWarning)
        *values, note = _measure(mine, theirs, np.ones(len(mine)))
    note = note or "; ".join(dict.fromkeys(str(w.message).partition(",")[0] for w in caught))
    if len(mine) == 1:
        return [Estimate(v) for v in values], note or "no interval: one image, one seed"
    draws = _draws(tuple(map(len, units)), resamples)
    different, which = np.unique(draws, axis=0, return_inverse=True)
    with warnings.catch_warnings(action="ignore"):  # the intervals say it
        samples = np.array([_measure(mine, theirs, draw)[:3] for draw in different])[which.ravel()]
    # a value that only draws have is none
    estimates = [Estimate(v) if math.isnan(v) or np.isnan(drawn).all() else
                 Estimate(v, *np.nanpercentile(drawn, PERCENTILES).tolist())
                 for v, drawn in zip(values, samples.T, strict=True)]
    _, low, high = estimates[0]
    return estimates, "; ".join(filter(None, [note, "within noise" * (low <= 0 <= high)]))


def _measure(mine: Float[np.ndarray, "pairs 4 points"],
             theirs: Float[np.ndarray, "pairs 4 anchor_points"],
             counts: Float[np.ndarray, " pairs"]) -> tuple[float, float, float, str]:
    """BD-rate of the mean curves, of the latents', and the change of RD loss, in percent; last, why
    there is no BD-rate. counts: how often each pair counts."""
    mine, theirs = (np.tensordot(counts / counts.sum(), x, 1) for x in (mine, theirs))
    outside = np.isnan(theirs[1]).all()  # another codec: neither latents nor a loss
    loss = math.nan if outside else 100 * math.expm1(float(np.mean(mine[3] - theirs[3])))
    try:
        whole = bd_rate(mine[0], mine[2], theirs[0], theirs[2])
        latents = math.nan if outside else bd_rate(mine[1], mine[2], theirs[1], theirs[2])
    except ValueError as error:
        return math.nan, math.nan, loss, str(error)
    return whole, latents, loss, ""


@functools.cache
def _draws(seeds: tuple[int, ...], resamples: int) -> Float[np.ndarray, "resamples pairs"]:
    """How often each pair is drawn: images, then of each as many seeds as it has (`seeds`)."""
    rng = np.random.default_rng(0)  # the same table every time
    firsts = np.cumsum([0, *seeds[:-1]])
    draws = np.zeros((resamples, sum(seeds)))
    for counts in draws:
        for image in rng.integers(len(seeds), size=len(seeds)):
            np.add.at(counts, firsts[image] + rng.integers(seeds[image], size=seeds[image]), 1)
    return draws


def joined_clips(results: Iterable[Result]) -> list[Result]:
    """Results of patches, of each the row's config of least RD loss, joined to those of their
    clips. Without one of its patches a clip is left out; it failed where all fits of one did."""
    whole: list[Result] = []
    clips: dict[tuple, dict[int, Result]] = {}
    for r in results:
        if r.patch.count == 1:
            whole.append(r)
        else:
            patches = clips.setdefault(r[:4], {})
            patches[r.patch.number] = min(patches.get(r.patch.number, r), r, key=_loss)
    return whole + [Result(*place, _joined(place[1], patches)) for place, patches in clips.items()
                    if len(patches) == next(iter(patches.values())).patch.count]


def _loss(result: Result) -> float:
    return math.inf if result.record.error is not None else result.record.loss


def _joined(clip: str, patches: Mapping[int, Result]) -> Record:
    """The record of a clip as one patch would have it; `config` and `key` are a patch's."""
    records = [patches[n].record for n in sorted(patches)]
    for record in records:
        if record.error is not None:
            return dataclasses.replace(record, image=clip)
    frames = max(r.patch.first_frame + r.record.shape[0] for r in patches.values())
    error, area = np.zeros(frames), np.zeros(frames)
    for _, _, _, _, record, patch in patches.values():
        span = slice(patch.first_frame, patch.first_frame + record.shape[0])
        # in a fit stored before each frame's error was, all frames are alike
        mse = record.frame_mse or record.loss - record.config["rd_weight"] * record.bpp
        error[span] += math.prod(record.shape[1:]) * np.array(mse)
        area[span] += math.prod(record.shape[1:])
    with np.errstate(divide="ignore"):  # a frame without an error
        psnr_db = float(np.mean(-10 * np.log10(error / area)))
    pixels, sizes = sum(r.pixels for r in records), [r.file_bytes for r in records]
    return dataclasses.replace(
        records[0], image=clip, shape=(frames, pixels // frames), psnr_db=psnr_db,
        bits={part: sum(r.bits[part] for r in records) for part in records[0].bits},
        loss=sum(r.loss * r.pixels for r in records) / pixels,
        steps=max(r.steps for r in records), seconds=sum(r.seconds for r in records),
        history={}, frame_mse=None, file_bytes=None if None in sizes else sum(sizes))
