"""What the notebooks of `ablations/` share: the plan, the sweep, and a strict check of parameters,
as papermill only warns of an unknown one, and YAML reads `1e-3` as text."""

import functools
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fastjsonschema
import jax
import yaml

from c3lite import data
from c3lite.ablation import devices, paper, plots
from c3lite.ablation.executors import EXECUTORS, executor_of
from c3lite.ablation.grid import plan, sweep
from c3lite.ablation.images import Images
from c3lite.ablation.jobs import Result, duration
from c3lite.ablation.rows import Row, check_name
from c3lite.ablation.store import Store
from c3lite.ablation.table import Anchor, Estimate, Table, bd_table
from c3lite.config import Config, edit
from c3lite.evaluation import anchors as codecs
from c3lite.plots.styles import show

Schema = Mapping[str, Any]
"""A JSON Schema of `DRAFT`; its description says what it wants."""

DRAFT = "http://json-schema.org/draft-04/schema#"  # where 1.0 is no integer


def list_of(items: Schema, wish: str, least: int = 0) -> Schema:
    """The schema of a list of so many items, or more."""
    return {"description": wish, "type": "array", "items": items, "minItems": least}


TEXT: Schema = {"description": "a text", "type": "string"}
COUNT: Schema = {"description": "a whole number, 0 or more", "type": "integer", "minimum": 0}
POSITIVE_COUNT: Schema = {"description": "a whole number above 0", "type": "integer", "minimum": 1}
NOT_TEXT = "(YAML reads 1e-3 as text, and 1.0e-3 as a number)"
POSITIVE_NUMBER: Schema = {"description": f"a number above 0 {NOT_TEXT}", "type": "number",
                           "minimum": 0, "exclusiveMinimum": True}

PARAMETERS: dict[str, Schema] = {
    "preset": {"description": "a name", "type": "string", "minLength": 1},
    "images": {
        "description": "a mapping from data sets (kodak, clic2020, video) to lists of names",
        "type": "object", "additionalProperties": False, "properties": dict.fromkeys(
            ("kodak", "clic2020", "video"), list_of(TEXT, "a list of names"))},
    "rd_weights": list_of(POSITIVE_NUMBER, f"a list of numbers above 0 {NOT_TEXT}", 1),
    "steps": COUNT, "stage2_steps": COUNT,
    "seeds": list_of(COUNT, "a list of whole numbers, 0 or more", 1),
    "rows": list_of(TEXT, "a list of names of rows (empty: all)"),
    "batch": COUNT,
    "minutes": {"description": "a number, 0 or more", "type": "number", "minimum": 0},
    "executor": {
        "description": "local, process or slurm, or one of them with options, as in "
        "{slurm: {partition: gpu}}",
        "anyOf": [{"enum": list(EXECUTORS)}, {
            "type": "object", "minProperties": 1, "maxProperties": 1,
            "additionalProperties": {"type": "object"}}]},
    "store": TEXT,
    "is_result": {"description": "True or False", "type": "boolean"},
}
"""What a notebook may set, by name. The templates say what each is for."""


def _parameters(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """A notebook's public variables, but modules, callables and what later cells made before."""
    values = {name: v for name, v in namespace.items()
              if not name.startswith("_") and name not in ("In", "Out")
              and not isinstance(v, types.ModuleType) and not callable(v)}
    if isinstance(namespace, dict):
        first = namespace.setdefault("_c3lite_parameters", frozenset(values))
        values = {name: v for name, v in values.items() if name in first}
    return values


def check_parameters(given: Mapping[str, Any], known: Mapping[str, Schema] = PARAMETERS) -> None:
    """Raise `ValueError` for an unknown or missing parameter, `TypeError` for a wrong value."""
    for name, value in given.items():
        check_name("no parameter", name, known)
        try:
            fastjsonschema.validate({"$schema": DRAFT} | known[name], value)
        except fastjsonschema.JsonSchemaValueException:
            raise TypeError(f"{name} must be {known[name]['description']}, got {value!r}") from None
    if missing := [name for name in known if name not in given]:
        raise ValueError(f"the parameters {', '.join(missing)} are missing")


def read_parameters(notebook: str, namespace: Mapping[str, Any],
                    known: Mapping[str, Schema] = PARAMETERS) -> types.SimpleNamespace:
    """The parameters of a notebook, checked, with a `Store` as `store` where that is one; prints
    what the preset does not have. Errors as of `Study`."""
    values = _parameters(namespace)
    check_parameters(values, known)
    if changed := _changed(values, notebook):
        print("other than in the preset: " + ", ".join(changed))
    if "store" in values:
        values["store"] = Store(
            values["store"] or _of_ablations("results") / notebook / values["preset"] / "store")
    return types.SimpleNamespace(**values)


class Study:
    """One run of a table's notebook: `Study("table03", globals())` reads its parameters. Raises
    `ValueError` for an unknown table, and as `check_parameters`."""

    def __init__(self, table: str, namespace: Mapping[str, Any]):
        check_name("no table", table, paper.TABLES)
        self.name, self.about = table, paper.TABLES[table]
        self.parameters = read_parameters(table, namespace)
        executor_of(self.parameters.executor)  # refuses unknown options before JAX is asked
        self.store = self.parameters.store
        self.dataset = self.about.dataset
        folder = data.images.user_folder("clic2020")
        if self.dataset == "clic2020" and not (folder and folder.is_dir()):
            self.dataset = "kodak"  # stands in
        self.image_names = self._image_names()
        # whether the paper's numbers are of other images, or clips, than this run's
        self.other_images = self.dataset != self.about.dataset or (
            self.dataset == "video" and not all(n.startswith("uvg/") for n in self.image_names))

    def _image_names(self) -> list[str]:
        names = self.parameters.images.get(self.dataset, [])
        if not names:
            raise ValueError(f"images has no {self.dataset!r}, which {self.name} needs")
        whole = {"kodak": lambda: [f"kodim{n:02d}" for n in range(1, 25)],
                 "clic2020": lambda: [f"clic2020/{name}" for name in data.clic2020_names()]}
        return [n for name in names for n in (whole[name]() if name in whole else [name])]

    def config(self, base: Config) -> Config:
        """`base` with this run's numbers of steps."""
        p = self.parameters
        return edit(base, steps=p.steps, stage2_steps=p.stage2_steps)

    def choose(self, rows: Iterable[Row], always: int = 1) -> list[Row]:
        """The rows asked for, the first `always`: 1, as the others are compared with it, or 0."""
        rows, wanted = list(rows), self.parameters.rows
        for name in wanted:
            check_name(f"{self.name} has no row", name, [row.name for row in rows])
        return [row for i, row in enumerate(rows) if not wanted or row.name in wanted or i < always]

    def run(self, rows: Iterable[Row], seeds: Sequence[int] | None = None,
            always: int = 1) -> list[Result]:
        """Print the plan, then run the sweep of `choose`'s rows, with other `seeds` if given."""
        rows, p = self.choose(rows, always), self.parameters
        images = Images.of(self.image_names)
        print(self.describe(rows, images, seeds), flush=True)
        return list(sweep(rows, images, p.rd_weights, p.seeds if seeds is None else seeds,
                          store=self.store, batch=p.batch,
                          minutes=p.minutes or math.inf, executor=p.executor,
                          label=f"{self.name} {p.preset}"))

    def describe(self, rows: list[Row], images: Images, seeds: Sequence[int] | None = None) -> str:
        """What will be run, and about how long it takes."""
        p = self.parameters
        seeds = p.seeds if seeds is None else seeds
        planned = plan(rows, images, p.rd_weights, seeds, progress=True)
        jobs = [job for job, _ in planned]
        missing = [job for job in jobs if not self.store.path(job.key).exists()]
        seconds = devices.expected_seconds(math.fsum(job.cost for job in missing))
        largest = max((job.shape for job in jobs), key=math.prod)
        batch = p.batch or devices.batch_size(largest)
        on_cpu = p.executor == "local" and jax.default_backend() == "cpu"
        processes = devices.cpu_workers(largest, batch) if on_cpu else 1
        memory = processes * devices.process_bytes(largest, batch) / 1e9
        lines = [
            f"{self.name}, preset {p.preset}: {len(rows)} rows, {len(images)} images, "
            f"{len(p.rd_weights)} rate weights ({', '.join(f'{w:g}' for w in p.rd_weights)}), "
            f"{len(seeds)} seeds, up to {max(job.steps for job in jobs):,} steps",
            "images: " + ", ".join(_size(name, images.shape(name), {
                place.patch.count for _, places in planned for place in places
                if place.image == name}) for name in images),
            f"{len(jobs)} different fits, {len(jobs) - len(missing)} of them in the store; the "
            "others take about " + (duration(seconds) if seconds is not None
                                    else "a time not measured on this device")
            + f" and {memory:.1f} GB of memory ({processes * batch} at once)"]
        if self.dataset != self.about.dataset:
            lines.append(f"{self.about.dataset} is not in C3LITE_DATA: {self.dataset} stands in, "
                         "so the paper's numbers are of other images")
        elif self.other_images:
            lines.append("these clips are not UVG's: the paper's numbers are of other clips")
        return "\n".join(lines)

    def paper(self) -> dict[str, float]:
        """The paper's BD-rates by row, in percent."""
        return dict(self.about.numbers)

    def table(self, results: Iterable[Result], anchor: str | Anchor | None = None,
              anchor_name: str = "anchor") -> Table:
        """The finished table. A run that is no result shows which fits there are, and no rates."""
        what = "clips" if self.dataset == "video" else "images"
        other = f", other {what}" if self.other_images else ""
        table = bd_table(results, self.paper(), anchor=anchor, anchor_name=anchor_name,
                         paper_title=f"paper % ({paper.DATASETS[self.about.dataset][0]}{other})")
        if self.parameters.is_result:
            return table
        none = Estimate(math.nan)
        return table._replace(lines=[line._replace(
            bd_rate=none, latents_bd_rate=none, loss=none,
            note="a test of the program: no result") for line in table.lines])

    def hevc(self) -> Anchor:
        """The anchor of Table 12: HEVC's curve on each clip of this run, from its real streams."""
        images, qps = Images.of(self.image_names), range(17, 43, 5)
        return {name: codecs.hevc_curve(functools.partial(images.frames, name), qps)
                for name in images}

    def show(self, results: Iterable[Result], table: Table) -> None:
        """Put the RD curves and the bars of BD-rates into the notebook."""
        is_result = self.parameters.is_result
        ax = plots.row_curves(results, paper.DATASETS[self.dataset][1] if is_result else None)
        ax.set_title(self.about.title if is_result else "a test of the program: no result")
        show(ax, f"Rate-distortion curves of the rows of {self.about.title}.")
        if is_result and any(line.row != table.anchor and not math.isnan(line.bd_rate.value)
                             for line in table.lines):
            show(plots.bars(table), f"The BD-rates of this table as bars:\n{table}")


def _size(name: str, shape: tuple[int, ...], patches: set[int]) -> str:
    count = f" (in {' or '.join(map(str, sorted(patches)))} patches, by rate weight)"
    return f"{name} {'x'.join(map(str, shape))}" + count * (patches != {1})


def _changed(values: Mapping[str, Any], notebook: str) -> list[str]:
    """What differs from the preset of that name; `ValueError` where there is no such preset."""
    folder = _of_ablations("presets")
    presets = {path.stem: path for place in (folder, folder / notebook)  # its own before others
               for path in place.glob("*.yaml")}
    if presets:  # none beside a notebook that was moved away
        check_name("no preset", values["preset"], sorted(presets))
    preset = yaml.safe_load(presets[values["preset"]].read_text("utf-8")) if presets else {}
    return [f"{key} {values[key]}" for key, value in preset.items() if values.get(key) != value]


def _of_ablations(folder: str) -> Path:
    """A folder of ablations/, from the repository's root or from ablations/ itself."""
    return Path("ablations" if Path("ablations").is_dir() else ".") / folder
