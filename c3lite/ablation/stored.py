"""A table's results from its store alone: nothing is fitted, and no picture is read."""

import contextlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from c3lite.ablation.grid import plan
from c3lite.ablation.images import Images
from c3lite.ablation.jobs import Job, Result
from c3lite.ablation.notebook import Study
from c3lite.ablation.store import NUMERICS, Record, Store


class Stored(NamedTuple):
    """What the store of a study has."""

    results: list[Result]
    study: Study
    wanted: dict[str, str]  # the image of each fit, by key, of rows and images that have any
    command: str  # that makes it

    @property
    def records(self) -> list[Record]:
        """The fits, each once."""
        return list({r.record.key: r.record for r in self.results}.values())

    @property
    def images(self) -> tuple[int, int]:
        """How many images have all fits, and how many are wanted."""
        there = {record.key for record in self.records}
        lacking = {image for key, image in self.wanted.items() if key not in there}
        return len(set(self.wanted.values()) - lacking), len(self.study.image_names)


class _Images(Images):
    """The images that a store has fits of: their shapes and digests, as recorded."""

    def __init__(self, fits: Iterable[Record], names: Iterable[str]):
        super().__init__({})
        self._fits = {fit.image: fit for fit in fits}
        self._images = {name: None for name in names if name in self._fits}
        self.digest = lambda name: self._fits[name].image_sha256

    def shape(self, name: str) -> tuple[int, ...]:
        return self._fits[name].shape


def stored(name: str, ablations: Path) -> Stored:
    """A study by its folder of results, "table03/laptop", or a notebook in it, "table11/short/x".

    Its rows are those of its template in `ablations`, whose cells are run up to the last sweep. The
    parameters are the executed notebook's, or without one the preset's. Raises `ValueError` where
    there is neither, and for a store without a fit of this numerics version.
    """
    table, preset, *_ = parts = name.split("/")
    notebook = ablations / "results" / (name if parts[2:] else f"{name}/{table}")
    template = ablations / f"{notebook.name}.ipynb"
    if not template.exists():
        template = ablations / f"{table}.ipynb"
    presets = ablations / "presets"
    values = next((yaml.safe_load(path.read_text("utf-8")) for path in (
        presets / table / f"{preset}.yaml", presets / f"{preset}.yaml") if path.exists()), None)
    given, executed = values, notebook.with_suffix(".ipynb")
    if executed.exists():
        given = json.loads(executed.read_text("utf-8"))["metadata"]["papermill"]["parameters"]
    if not (given and template.exists()):
        raise ValueError(f"there is no study {name!r}: no notebook or preset has its name")
    store = Store(ablations / given.get("store", f"results/{table}/{preset}/store"))
    study, planned = _planned(template, given, store)
    results = [place._replace(record=record) for job, places in planned
               if (record := store.get(job.key)) is not None for place in places]
    there = {r.row for r in results}  # the template may have got others since
    changed = [key for key, value in given.items() if values and values.get(key, value) != value]
    command = f"`make ablation TABLE={template.stem.removeprefix('table')} PRESET={preset}`" + (
        f" with {', '.join(changed)} as in its notebook" if changed else "")
    return Stored(results, study, {job.key: place.image for job, places in planned
                                   for place in places if place.row in there}, command)


def _planned(template: Path, parameters: dict[str, Any],
             store: Store) -> tuple[Study, list[tuple[Job, list[Result]]]]:
    """The study of a template, and the plans of all its sweeps over images that the store has."""
    fits = list(store.records())
    if all(fit.numerics != NUMERICS for fit in fits):
        raise ValueError(
            f"{store.folder} has {len(fits)} fits, none of numerics version {NUMERICS}")
    runs: list[tuple[Study, list]] = []

    class FromStore(Study):
        def _image_names(self) -> list[str]:
            if self.about.dataset == "clic2020" and any(f.image.startswith("kodim") for f in fits):
                self.dataset = "kodak"  # stood in, whatever is at hand here
            return super()._image_names()

        def run(self, rows, seeds: Sequence[int] | None = None, always: int = 1) -> list[Result]:
            p, images = self.parameters, _Images(fits, self.image_names)
            rows = self.choose(rows, always)
            runs.append((self, plan(rows, images, p.rd_weights, seeds or p.seeds)))
            return []

        def table(self, *_, **__):
            """None here."""

    cells = ["".join(cell["source"]).replace("ablation.Study(", "FromStore(")
             for cell in json.loads(template.read_text("utf-8"))["cells"]
             if cell["cell_type"] == "code"]
    last = max(i for i, cell in enumerate(cells) if ".run(" in cell)
    names: dict[str, Any] = {"FromStore": FromStore}
    exec(cells[0], names)  # the defaults
    names |= parameters | {"store": str(store.folder.resolve())}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.chdir(template.parent):
        for cell in cells[1:last + 1]:
            exec(cell, names)
    return runs[0][0], [job for _, jobs in runs for job in jobs]
