"""The figures that pages may quote, by name: from committed stores and reference tables."""

import functools
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from c3lite import config
from c3lite.ablation.jobs import Result
from c3lite.ablation.plots import Worth, steps_worth
from c3lite.ablation.store import NUMERICS
from c3lite.ablation.stored import stored
from c3lite.ablation.studies import cool_chic, stand_ins
from c3lite.ablation.table import Estimate, Line, TextTable, bd_table, loss_changes, networks_over
from c3lite.evaluation import complexity, reference
from c3lite.evaluation.metrics import bd_rate

KODAK = 512, 768  # rows and columns of its photos

NAMES = {"kumaraswamy-noise": "Kumaraswamy noise", "gelu": "GELU",
         "shifted-log-scale": "shifted log-scale",
         "adaptive-lr-stage2": "adaptive learning rate in stage 2",
         "quantization-step<1": "quantization step below 1"}
"""Rows in words, where that is not their name."""

HEADS = {"whole": "whole rate", "latents": "latents alone", "loss": "RD loss at equal λ",
         "file": "real files", "photo": "whole rate, as on a whole photo",
         "photo loss": "RD loss, as on a whole photo"}
"""What is measured of a row, and the heads of its columns."""


def shown(value: float | int | str | Estimate, form: str = "+.1f", interval: bool = False) -> str:
    """As on a page: "−1.0", "0.0", "−1.0 [−2.0, +0.5]"; text as it is, and "-" for NaN."""
    if isinstance(value, str):
        return value
    if isinstance(value, Estimate):
        ends = f" [{shown(value.low, form)}, {shown(value.high, form)}]"
        return shown(value.value, form) + ends * (interval and not math.isnan(value.low))
    text = format(value, form)
    return "-" if math.isnan(value) else (
        text.lstrip("+-") if not any(c in "123456789" for c in text) else text.replace("-", "−"))


def markdown(table: TextTable) -> str:
    """A table in Markdown."""
    head, *rows = (f"| {' | '.join(cells)} |" for cells in (table.head, *table.rows))
    text = "\n".join([head, "|---" * len(table.head) + "|", *rows])
    return re.sub(r"(?<=[| ])-(?=\d)", "−", text)


class Figures:
    """The figures are the public methods, of the stores below a folder `ablations`.

    Each raises `ValueError`, in a sentence, for an unknown name, a store of another numerics
    version, or a table that is half finished. `study` is a name for `stored.stored`, read once.
    Where steps (of stage 1), image (or how it begins), seed and weight (λ) may be given, all that
    there are count without.
    """

    def __init__(self, ablations: Path):
        self._ablations = ablations
        self._stored = functools.cache(lambda name: stored(name, ablations))
        self._lines = functools.cache(self._measured)

    def bd(self, study: str, row: str, of: str = "whole", over: str = "", image: str = "",
           steps: int = 0) -> float:
        """A row's BD-rate in percent, of a key of `HEADS`, over the row `over` or else the first;
        of "loss" its RD loss at equal λ instead, the geometric mean."""
        return self._estimate(study, row, of, over, image, steps).value

    def interval(self, study: str, row: str, of: str = "whole", steps: int = 0) -> str:
        """The 95 % bootstrap interval of `bd`, as "[−1.0, +2.0]"."""
        estimate = self._estimate(study, row, of, "", "", steps)
        return shown(estimate, interval=True).partition(" ")[2]

    def change(self, study: str, row: str, weight: float = 0.0, image: str = "", seed: int = -1,
               steps: int = 0) -> float:
        """A row's RD loss over the first row's at equal λ in percent, the geometric mean."""
        results = self._results(study, steps, image)
        chosen = [r for r in results if weight in (0, r.rd_weight) and seed in (-1, r.seed)
                  and r.row in (row, results[0].row)]
        changes = loss_changes(sorted(chosen, key=lambda r: r.row == row)).get(row)
        if not changes:
            raise ValueError(f"{study} has no fits of {row} with others beside them")
        return 100 * math.expm1(np.mean(np.log1p(np.array(list(changes.values())) / 100)))

    def fit(self, study: str, row: str, what: str, weight: float = 0.0, image: str = "",
            seed: int = -1) -> float:
        """The mean over a row's fits of "bpp", "file_bpp", "psnr_db", "seconds", or of "loss" times
        10⁴."""
        found = [getattr(r.record, what) for r in self._results(study, 0, image)
                 if r.row == row and weight in (0, r.rd_weight) and seed in (-1, r.seed)]
        if not found:
            raise ValueError(f"{study} has no fit of {row}")
        return float(np.mean(found)) * (1e4 if what == "loss" else 1)

    def count(self, study: str, what: str) -> int:
        """How many "fits" there are, are "wanted", "collapsed"; "images", "weights", "seeds" of
        them; or a whole number of the study's parameters, as "steps"."""
        found = self._stored(study)
        records = found.records
        counts = {
            "fits": len(records), "wanted": len(found.wanted),
            "collapsed": sum(r.collapsed is True for r in records),
            "images": len({r.image for r in records}), "seeds": len({r.seed for r in records}),
            "weights": len({r.config["rd_weight"] for r in records})}
        return counts[what] if what in counts else int(getattr(found.study.parameters, what))

    def paper(self, study: str, row: str) -> float:
        """What the paper has for a row of a study, in percent (`paper.TABLES`)."""
        return self._stored(study).study.paper()[row]

    def rank(self, study: str, without: Sequence[str] = ()) -> float:
        """Spearman's correlation of a study's BD-rates with the paper's."""
        rows = [row for row in self._stored(study).study.paper() if row not in without]
        ranks = [np.argsort(np.argsort([value(study, row) for row in rows]))
                 for value in (self.bd, self.paper)]
        return float(np.corrcoef(*ranks)[0, 1])

    def worth(self, study: str, weight: float = 0.0, seed: int = -1) -> float:
        """How many steps of C3 the short fits with `C3_FAST` are worth (`plots.steps_worth`)."""
        worth = self._worth(study)
        which = [weight in (0, w) for w in worth.rd_weights]
        losses = worth.short[:, which].mean(1)
        losses = losses[[seed]] if seed >= 0 else losses.mean(keepdims=True)
        return float(worth.in_steps(losses, worth.curve[:, which].mean(1))[0])

    def worth_loss(self, study: str, steps: int = 0, weight: float = 0.0) -> float:
        """RD loss over C3's shortest fits in percent, of C3 after `steps`, or else of `C3_FAST`; at
        all rate weights or one."""
        worth = self._worth(study)
        logs = worth.curve[worth.steps == steps] if steps else worth.short
        return 100 * math.expm1(logs[:, [weight in (0, w) for w in worth.rd_weights]].mean())

    def against(self, study: str, row: str, version: str, image: str) -> float:
        """BD-rate of real files over a published version of Cool-Chic in percent, on a photo."""
        ours = [r.record for r in self._results(study, 0, image) if r.row == row]
        theirs = reference.cool_chic(version, image)
        return bd_rate([r.file_bpp for r in ours], [r.psnr_db for r in ours], theirs.bpp,
                       theirs.psnr_db)

    def published(self, dataset: str, codec: str, anchor: str) -> float:
        """BD-rate of a codec's published points over another's in percent (`reference`)."""
        points, known = (reference.rd_points(dataset, name) for name in (codec, anchor))
        return bd_rate(points.bpp, points.psnr_db, known.bpp, known.psnr_db)

    def file_excess(self, study: str) -> str:
        """By how much real files exceed their estimates, in percent: "0.2 to 2.7"."""
        excess = [100 * (r.file_bpp / r.bpp - 1) for r in self._stored(study).records]
        return f"{shown(min(excess), '.1f')} to {shown(max(excess), '.1f')}"

    def macs(self, preset: str) -> int:
        """Multiply-accumulates a pixel of the decoder of a preset, however fitted, on a photo of
        Kodak."""
        decoder = getattr(config, preset.partition(" fitted as ")[0])
        return round(complexity.macs_per_pixel(decoder, KODAK).total)

    def score(self, lesson_row: str) -> float:
        """The loss times 10⁴ of a row of the course's scoreboard, the mean over its seeds."""
        path = self._ablations.parent / "notebooks" / "results" / "scoreboard.json"
        points = json.loads(path.read_text("utf-8"))[lesson_row]["bpp_psnr_db"]
        return float(np.mean([1e4 * (10 ** (-psnr / 10) + 1e-3 * bpp) for bpp, psnr in points]))

    def table(self, study: str, columns: str, rows: Sequence[str] = (),
              steps: Sequence[int] = (0,)) -> str:
        """A table of rows (without, all but the first) and under it what it was made from.

        columns: keys of `HEADS`, with " []" their intervals too; "steps"; "paper"; "weight",
        "image" and "seed" are the RD loss at equal λ by each.
        """
        found = self._stored(study)
        rows = rows or list(dict.fromkeys(r.row for r in found.results))[1:]
        places = list(itertools.product(rows, steps))
        cells = {"": [NAMES.get(row, row) for row, _ in places]}
        for column in columns.split(", "):
            of = column.removesuffix(" []")
            if of in HEADS:
                cells[HEADS[of]] = [shown(self._estimate(study, row, of, "", "", n),
                                          interval=of != column) for row, n in places]
            elif of == "paper":
                cells[of] = [shown(found.study.paper().get(row, ""), "+.2f") for row, _ in places]
            elif of == "steps":
                cells[of] = [f"{n:,}" for _, n in places]
            else:
                key, name = {"weight": ("rd_weight", "λ = {:g}"), "image": (of, "{}"),
                             "seed": (of, "seed {}")}[of]
                for value in sorted({getattr(r, key) for r in found.results}):
                    cells[name.format(value)] = [
                        shown(self.change(study, row, steps=n, **{of: value}))
                        for row, n in places]
        return self._made_table(study, cells)

    def photos(self, study: str, over: Mapping[str, str]) -> str:
        """A table of presets on photos: BD-rates of real files in percent over other presets and
        published versions of Cool-Chic, by what they are called here, and the mean of a line."""
        results = self._results(study)
        rows, images = (list(dict.fromkeys(names)) for names in zip(
            *((r.row, r.image) for r in results), strict=True))
        lines = [(row, called, [self._on_photo(study, row, over[called], i) for i in images])
                 for row, called in itertools.product(rows, over) if row != over[called]]
        cells = [[row, f"{self.macs(row):,}", called, *map(shown, each), shown(np.nanmean(each))]
                 for row, called, each in lines if not np.isnan(each).all()]
        head = ["", "MACs a pixel", "over", *images, "mean"]
        return f"{markdown(TextTable(head, cells))}\n\n{self.made(study)}"

    def photo_mean(self, study: str, row: str, over: str, images: Sequence[str] = ()) -> float:
        """The mean of a line of `photos`, or of its `images`; `over` is a row or a version."""
        images = images or dict.fromkeys(r.image for r in self._results(study))
        return float(np.nanmean([self._on_photo(study, row, over, image) for image in images]))

    def _on_photo(self, study: str, row: str, over: str, image: str) -> float:
        """BD-rate of real files; NaN where not all rate weights are there."""
        results = self._results(study, 0, image)
        there = [sum(r.row == name for r in results) for name in (row, over)]
        if there[0] < self.count(study, "weights"):
            return math.nan
        if over not in (r.row for r in self._results(study)):
            return self.against(study, row, over, image)
        return self.bd(study, row, "file", over, image) if there[0] == there[1] else math.nan

    def image_by_image(self, study: str) -> str:
        """Every real file beside what versions of Cool-Chic published, and BD-rates over them."""
        results, versions = self._stored(study).results, cool_chic.VERSIONS[:3]
        return "\n\n".join([markdown(cool_chic.image_by_image(results, versions)),
                            markdown(cool_chic.versions_table(results, versions)),
                            self.made(study)])

    def stability(self, study: str) -> str:
        """A table of what stands in for rounding (`stand_ins.stability_table`)."""
        table = stand_ins.stability_table(stand_ins.stability(self._results(study)))
        return f"{markdown(table)}\n\n{self.made(study)}"

    def made(self, study: str) -> str:
        """From what a study was made: command, fits, days and machines."""
        found = self._stored(study)
        records, (whole, images) = found.records, found.images
        days = sorted({record.date[:10] for record in records})
        days = " to ".join(dict.fromkeys((days[0], days[-1])))
        part = f"{whole} of " * (whole < images)
        counts = ", ".join(f"{n} {what}{'s' * (n > 1)}" for what, n in (
            ("image", images), ("rate weight", self.count(study, "weights")),
            ("seed", self.count(study, "seeds"))))
        machines = dict.fromkeys(f"{r.device}, JAX {r.versions['jax']}" for r in records)
        steps = max(r.steps for r in records)
        return (f"<sub>{found.command}: {len(records)} of {len(found.wanted)} fits, "
                f"{part}{counts}, up to {steps:,} steps; {days}, numerics version {NUMERICS}; "
                f"{' and '.join(machines)}</sub>")

    def _made_table(self, study: str, columns: Mapping[str, Sequence[str]]) -> str:
        rows = list(zip(*columns.values(), strict=True))
        return f"{markdown(TextTable(list(columns), rows))}\n\n{self.made(study)}"

    def _results(self, study: str, steps: int = 0, image: str = "") -> list[Result]:
        return [r for r in self._stored(study).results
                if steps in (0, r.record.config["steps"]) and r.image.startswith(image)]

    def _worth(self, study: str) -> Worth:
        results = self._results(study)
        return steps_worth((r for r in results if r.row != "C3_FAST"),
                           (r for r in results if r.row == "C3_FAST"), "C3_FAST")

    def _measured(self, study, bits, over, image, steps) -> dict[str, Line]:
        results = self._results(study, steps, image)
        if bits == "photo":
            results = networks_over(results, math.prod(KODAK))
        if bits == "file":  # which has no parts
            results = [r._replace(record=replace(
                r.record, bits={"latents": 8.0 * r.record.file_bytes})) for r in results]
        return {line.row: line for line in bd_table(results, anchor=over or None).lines}

    def _estimate(self, study, row, of, over, image, steps) -> Estimate:
        if of not in HEADS:
            raise ValueError(f"nothing is called {of!r}; there are {', '.join(HEADS)}")
        bits = "photo" if of.startswith("photo") else "file" if of == "file" else "all"
        lines = self._lines(study, bits, over, image, steps)
        if row not in lines:
            raise ValueError(f"{study} has no fits of {row!r}, only of {', '.join(lines)}")
        line = lines[row]
        most = max((other.images for other in lines.values() if other.note != "anchor"), default=0)
        if line.images < max(most, 1):
            raise ValueError(
                f"{study} is half finished, {self.count(study, 'fits')} of "
                f"{self.count(study, 'wanted')} fits: of {row} {line.images} images have all rate "
                f"weights, of other rows {most}")
        return line.loss if of.endswith("loss") else (
            line.latents_bd_rate if of == "latents" else line.bd_rate)
