"""Pictures of ablations: RD curves of a table's rows, and BD-rates measured beside published."""

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from c3lite.ablation.jobs import Result
from c3lite.ablation.table import Table, mean_curve
from c3lite.evaluation import reference
from c3lite.plots import styles
from c3lite.plots.styles import finished, name_rows, new_axes, number_cells, signed_picture, style

PUBLISHED = ("C3 (paper)", "COOL-CHICv2", "VTM", "BPG", "JPEG")
"""Codecs that are drawn beside a table's rows."""


def row_curves(results: Iterable[Result], dataset: str | None = None) -> Axes:
    """The mean RD curve of each row (whole rate, all images), and in gray codecs published for a
    `dataset` of `reference`: means over whole images, so they lie elsewhere than those of crops.
    Rows without a complete image are left out. Raises `ValueError` when no row has one."""
    results = list(results)
    ax, names = new_axes(None, figsize=(8, 5)), []
    looks = (plt.cycler(linestyle="-:") * plt.cycler(color=plt.get_cmap("tab20").colors[2:]))()
    for row in dict.fromkeys(r.row for r in results):
        with contextlib.suppress(ValueError):
            bpp, _, psnr_db = mean_curve(results, row)
            ax.plot(bpp, psnr_db, **(style("C3") if not ax.lines else {
                "marker": ".", "linewidth": 1.2, **next(looks)}))
            names.append(row)
    if not ax.lines:
        raise ValueError("no row has an image with all its rate weights yet")
    if dataset is not None:
        high, known = ax.get_xlim()[1], reference.codecs(dataset)
        for codec, line in zip(PUBLISHED, ("-", "--", ":", "-.", (0, (1, 3))), strict=True):
            if codec in known:
                points = reference.rd_points(dataset, codec)
                ax.plot(points.bpp, points.psnr_db, color="#A6A6A6", linestyle=line, linewidth=1,
                        zorder=1)
                names.append(f"{codec}, published")
        ax.set_xlim(0, 1.1 * high)
    # a legend: dozens of rows lie too close together to be named at their lines
    finished(ax, xlabel="rate (bits per pixel)", ylabel="PSNR (dB)").legend(
        ax.lines, names, **styles.BESIDE)
    ax.figure.set_size_inches(max(8, 5 + 0.08 * max(map(len, names))), max(5, 0.22 * len(names)))
    return ax


def bars(table: Table) -> Axes:
    """BD-rates of a table: of the whole rate and of the latents alone, the paper's as black lines;
    whiskers are the bootstrap intervals. A logarithmic axis beyond 1 % where bars differ by more
    than a factor of 20. Raises `ValueError` without any rate."""
    lines = [line for line in table.lines if line.note.partition(";")[0] != "anchor"]
    numbers = [x for line in lines for x in (line.bd_rate.value, line.latents_bd_rate.value,
                                             line.paper) if x is not None and not math.isnan(x)]
    if not numbers:
        raise ValueError("the table has no BD-rate to draw")
    ax = new_axes(None, figsize=(8, 1.2 + 0.55 * len(lines)))
    kinds = (("whole rate", "bd_rate", style("C3")["color"], -0.2),
             ("latents alone", "latents_bd_rate", style("COOL-CHICv2")["color"], 0.2))
    for name, field, color, shift in kinds:
        values, low, high = np.array([getattr(line, field) for line in lines]).T
        # a mean can lie outside the percentiles of few draws
        whiskers = np.maximum([values - low, high - values], 0)
        if not np.isnan(values).all():
            rows = np.arange(len(lines)) + shift
            ax.barh(rows, values, 0.36, color=color, label=f"measured, {name}")
            ax.errorbar(values, rows, xerr=whiskers, fmt="none", ecolor="#404040", capsize=3,
                        linewidth=1)
    papers = [(row, line.paper) for row, line in enumerate(lines) if line.paper is not None]
    if papers:
        rows, values = np.array(papers).T
        ax.vlines(values, rows - 0.42, rows + 0.42, color="black", linewidth=2,
                  label=table.paper_title)
    if max(map(abs, numbers)) > 20 * np.median(np.abs(numbers)):
        ax.set_xscale("symlog", linthresh=1)
        styles.plain_numbers(ax.xaxis)
    return name_rows(ax, [line.row for line in lines],
                     f"BD-rate over {table.anchor} (%), more is worse")


def effects_by_rate(changes: Mapping[str, Mapping[float, float]], largest: float = 20) -> Axes:
    """A map of `loss_changes`: the first row's are zero and left out. Colors end at `largest`."""
    anchor, *rows = changes
    weights = list(changes[anchor])
    numbers = np.array([[changes[row].get(w, np.nan) for w in weights] for row in rows])
    ax = new_axes(None, figsize=(7, 1 + 0.45 * len(rows)))
    signed_picture(ax, numbers, largest, aspect="auto")
    number_cells(ax, numbers, lambda size: size > 0.7 * largest, rows,
                 [f"{weight:g}" for weight in weights])
    ax.set(xlabel="rate weight λ", ylabel="row")
    ax.set_title(f"loss of the latents over {anchor} (%), more is worse", fontsize=10)
    return ax


class Worth(NamedTuple):
    """How far a short fit gets, in steps of another method's. ln(loss) is against the shortest of
    the other's fits, the mean over images."""

    row: str
    steps: Float[np.ndarray, " lengths"]  # of the other's fits, stage 1
    curve: Float[np.ndarray, "lengths weights"]  # their ln(loss)
    short: Float[np.ndarray, "seeds weights"]  # that of the short fits
    rd_weights: list[float]

    def in_steps(self, losses: Float[np.ndarray, " any"], curve: Float[np.ndarray, " lengths"]):
        """Where the curve has these losses, straight between points in ln(steps); NaN beyond."""
        order = np.argsort(curve)
        return np.exp(np.interp(losses, curve[order], np.log(self.steps)[order],
                                left=np.nan, right=np.nan))

    def __str__(self) -> str:
        rows = [(f"lambda {w:g}", self.curve[:, i], self.short[:, i])
                for i, w in enumerate(self.rd_weights)]
        rows.append(("all", self.curve.mean(1), self.short.mean(1)))

        def worth(losses, curve):
            few, many = f"under {self.steps.min():,.0f}", f"over {self.steps.max():,.0f}"
            return [f"{n:,.0f}" if n > 0 else many if loss < curve.min() else few
                    for n, loss in zip(self.in_steps(losses, curve), losses, strict=True)]

        return "\n".join(
            f"{name:14} {100 * np.expm1(mine.mean()):+6.1f} % of the loss, worth "
            f"{worth(mine.mean(keepdims=True), curve)[0]} steps; by seed "
            + ", ".join(worth(mine, curve)) for name, curve, mine in rows)

    def show(self) -> Axes:
        """Print the table, and draw it."""
        print(self)
        ax = new_axes(None, figsize=(7, 4))
        curve, mine = self.curve.mean(1), self.short.mean(1)
        ax.plot(self.steps, 100 * np.expm1(curve), **style("C3"), label="C3")
        level = 100 * np.expm1(mine)
        ax.plot(np.full(len(mine), self.steps[0]), level, "x", color=style(self.row)["color"],
                label=f"{self.row}, {len(mine)} seeds")
        ax.axhline(level.mean(), color=style(self.row)["color"], linestyle="--", linewidth=1)
        ax.set_xscale("log")
        ax.set_xticks(self.steps, [f"{n:,.0f}" for n in self.steps])
        ax.minorticks_off()
        return finished(ax, xlabel="steps of stage 1",
                        ylabel=f"loss over C3's at {self.steps[0]:,.0f} steps (%)")


def steps_worth(curve: Iterable[Result], short: Iterable[Result], row: str) -> Worth:
    """How many steps the fits of `short`, a row, are worth on another method's `curve`, whose rows
    are of several lengths. Losses are with every byte of the file."""
    def losses(results: Iterable[Result], of: Callable[[Result], float]):
        found: dict = {}
        for r in results:
            loss = 10 ** (-r.record.psnr_db / 10) + r.rd_weight * r.record.file_bpp
            found.setdefault(of(r), {}).setdefault(r.rd_weight, {})[r.image] = math.log(loss)
        return found

    by_length = losses(curve, lambda r: float(r.record.config["steps"]))
    by_seed = losses(short, lambda r: float(r.seed))
    first = by_length[min(by_length)]

    def change(part, weight):
        return np.mean([part[weight][image] - first[weight][image] for image in first[weight]])

    table, mine = ([[change(part[key], weight) for weight in sorted(first)] for key in sorted(part)]
                   for part in (by_length, by_seed))
    return Worth(row, np.array(sorted(by_length)), np.array(table), np.array(mine), sorted(first))


def loss_by_length(results: Iterable[Result], methods: Iterable[str],
                   anchor: str) -> tuple[Axes, Axes]:
    """RD loss relative to the row `anchor`, against steps and against seconds, log axes: for each
    of `methods` a line through its rows, "METHOD, LENGTH", and one at its longest. A point is the
    geometric mean over what all rows have, its seconds those of the fit that compiled nothing."""
    results = [r for r in results if r.record.error is None]
    by_place = {(r.row, r.image, r.rd_weight, r.seed): r.record for r in results}
    by_steps, by_seconds = plt.subplots(1, 2, figsize=(10, 4), sharey=True)[1]
    for method in methods:
        rows = [row for row in dict.fromkeys(r.row for r in results)
                if row.startswith(f"{method}, ")]
        places = [place for _, *place in (key for key in by_place if key[0] == anchor)
                  if all((row, *place) in by_place for row in rows)]
        if rows and places:
            mine, (its,) = (np.array([[(r.loss, r.steps, r.seconds) for r in (
                by_place[(row, *place)] for place in places)] for row in some])
                for some in (rows, [anchor]))  # rows, places, figures
            change = 100 * np.expm1(np.log(mine[..., 0] / its[:, 0]).mean(1))
            order, (_, steps, seconds) = np.argsort(mine[:, 0, 1]), mine.min(1).T
            for ax, x in ((by_steps, steps), (by_seconds, seconds)):
                ax.plot(x[order], change[order], label=method, **style(method))
                ax.axhline(change[order][-1], linestyle=":", color=style(method)["color"])
    for ax, what in ((by_steps, "steps"), (by_seconds, "seconds of a fit")):
        finished(ax, xscale="log", xlabel=what)
        styles.plain_numbers(ax.xaxis)
    by_steps.set_ylabel(f"RD loss over {anchor} (%)")
    return by_steps, by_seconds
