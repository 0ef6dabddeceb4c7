"""All fits of a table: `sweep` plans them, runs what the store lacks, and yields them all.

A *job* is one fit, described by what JSON can hold, so that it can be sent to another process or
machine; a *group* is jobs that run as one batch. `run_group` is all that a worker has to call.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from c3lite.ablation import devices, pictures
from c3lite.ablation.rows import Row
from c3lite.ablation.store import Record, Store, canonical, image_digest, key_of, record
from c3lite.config import Config, edit, nearest
from c3lite.data.patches import patch_size
from c3lite.data.progress import with_bar
from c3lite.fitting.batch import COMMON, fit_many
from c3lite.fitting.fit import fit
from c3lite.fitting.loop import FitError
from c3lite.video.masks import with_masks

SECONDS_BETWEEN_LINES = 60.0
"""A long fit prints a line about this often."""

MASK_STEPS = 1000
"""Of learning a video's mask (App. A.3); a fit of fewer steps takes as many as it has."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One fit, in text and numbers: `dataclasses.asdict` makes it ready for JSON."""

    key: str
    """The fit's name in the store."""
    row: str
    """The (first) row that wants it, for messages."""
    config: str
    """`Config.to_json`, rate weight included."""
    image: str
    """A name for `pictures.load`."""
    image_sha256: str
    shape: tuple[int, ...]
    seed: int
    steps: int
    """Of both stages."""
    program: str
    """Jobs of one program (and shape) have configs of one structure, and equal steps."""

    @property
    def cost(self) -> float:
        """Its work, in steps times pixels."""
        return float(self.steps * math.prod(self.shape))


class Patch(NamedTuple):
    """Which part of a clip a fit is of: one of `count`, in the order of `split_patches`."""

    number: int = 0
    count: int = 1
    first_frame: int = 0


WHOLE = Patch()


class Place(NamedTuple):
    """Where a fit belongs in a table."""

    row: str
    image: str
    rd_weight: float
    seed: int
    patch: Patch


class Result(NamedTuple):
    """A finished fit in its place in a table."""

    row: str
    image: str
    rd_weight: float
    seed: int
    record: Record
    patch: Patch = WHOLE
    """Of the clip `image`, where that was fitted in several (`clips.whole` joins them)."""


Images = Mapping[str, Float[np.ndarray, "3 *shape"]]


def plan(
    rows: Sequence[Row], images: Images, rd_weights: Sequence[float], seeds: Sequence[int],
    progress: bool = False,
) -> list[tuple[Job, list[Place]]]:
    """Every different fit, with the places it has in the table.

    A clip larger than the paper's patches for a rate weight (`patch_size`) is fitted patch by
    patch. All rows of the first image come first, so that a sweep that is cut off leaves whole
    tables of fewer images. Raises `ValueError` for an empty or impossible grid.
    """
    images = pictures.named(images)
    for what, values in (("row", rows), ("image", images), ("rate weight", rd_weights),
                         ("seed", seeds)):
        if not len(values):
            raise ValueError(f"a sweep needs at least one {what}")
    if len({row.name for row in rows}) < len(rows):
        raise ValueError(f"two rows have one name: {', '.join(row.name for row in rows)}")
    # what depends on the config alone, once and not for every image and seed
    cells = [_cell(row.name, edit(config, rd_weight=rd_weight))
             for row in rows for rd_weight in rd_weights for config in row.configs]
    jobs: dict[str, tuple[Job, list[Place]]] = {}
    for name in images:
        parts = {w: _parts(images, name, w) for w in map(float, rd_weights)}
        _read(images, [part for each in parts.values() for part, _ in each], progress)
        for seed in seeds:
            for row, rd_weight, text, identity, steps, program in cells:
                for part, patch in parts[rd_weight]:
                    digest = images.digest(part)
                    key = key_of(identity, digest, seed)
                    job = Job(key, row, text, part, digest, images.shape(part), seed, steps,
                              program)
                    place = Place(row, name, rd_weight, seed, patch)
                    jobs.setdefault(key, (job, []))[1].append(place)
    return list(jobs.values())


def _parts(images: pictures.Pictures, name: str, rd_weight: float) -> list[tuple[str, Patch]]:
    """The name of the image, or those of a clip's patches, with their places in it."""
    shape = images.shape(name)
    size = patch_size(rd_weight, shape) if len(shape) == 3 else shape
    if size == shape:
        return [(name, WHOLE)]
    names = images.patches(name, size)
    across = math.prod(-(-side // step) for side, step in zip(shape[1:], size[1:], strict=True))
    return [(part, Patch(n, len(names), n // across * size[0])) for n, part in enumerate(names)]


def _read(images: pictures.Pictures, names: Iterable[str], progress: bool) -> None:
    """Compute the digests of images, which reads those that are not held."""
    for name in with_bar(dict.fromkeys(names), "reading", "patch", show=progress):
        images.digest(name)


def _cell(row: str, config: Config) -> tuple[str, float, str, str, int, str]:
    structure = repr((jax.tree.structure(config),
                      *(getattr(config, name) for name in COMMON)))
    return (row, float(config.rd_weight), config.to_json(), canonical(config),
            int(config.steps) + int(config.stage2_steps),
            hashlib.sha256(structure.encode()).hexdigest()[:16])


def grouped(jobs: Iterable[Job], size: int) -> list[list[Job]]:
    """Groups of up to `size` jobs that can run as one batch: same structure, steps and shape.

    In the order of the jobs, and of the same jobs always the same groups, so that a batch that was
    killed finds its checkpoint.
    """
    open_groups: dict[tuple, list[Job]] = {}
    groups: list[list[Job]] = []
    for job in jobs:
        kind = job.program, job.shape
        group = open_groups.get(kind)
        if group is None or len(group) == size:
            group = open_groups[kind] = []
            groups.append(group)
        group.append(job)
    return groups


Executor = Callable[[list[list[Job]], Store, Images, "Progress"],
                    Iterator[tuple[list[Job], list[Record]]]]
"""Runs groups of jobs and yields each group with its records once they are in the store.

Closed early (`minutes` are over), it starts no further group. It may use `run_group` anywhere that
sees the store's folder: images that have no name are kept there."""


def in_process(groups, store, images, say):
    """The executor that runs one group after another here."""
    for group in groups:
        yield group, run_group(group, store, images, say.during(group))


def executor_of(executor: str | Mapping[str, Mapping[str, Any]] | Executor) -> Executor:
    """An executor by name: "process" (here), "local" (worker processes) or "slurm" (a cluster).

    With options as a mapping, {"slurm": {"partition": "gpu"}}: they are those of the function of
    that name in `executors`. Raises `ValueError` for an unknown name or option.
    """
    if callable(executor):
        return executor
    from c3lite.ablation import executors  # which imports this module

    if isinstance(executor, Mapping) and len(executor) != 1:
        raise ValueError(f"one executor with its options, not {dict(executor)!r}")
    (name, options), = executor.items() if isinstance(executor, Mapping) else [(executor, {})]
    known = {"process": in_process, "local": executors.local, "slurm": executors.slurm}
    if name not in known:
        raise ValueError(f"no executor {name!r}; there are process, local and slurm")
    has = [p.name for p in inspect.signature(known[name]).parameters.values()
           if p.kind is p.KEYWORD_ONLY]
    for option in options or {}:
        if option not in has:
            raise ValueError(f"the executor {name} has no option {option!r}"
                             f"{nearest(option, has)}; it has {', '.join(has) or 'none'}")
    if name == "local":
        # What this process asks its GPU must not cost its workers most of the GPU's memory
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    return functools.partial(known[name], **options) if options else known[name]


def sweep(
    rows: Sequence[Row],
    images: Mapping[str, Float[np.ndarray, "3 *shape"]] | Sequence,
    rd_weights: Sequence[float],
    seeds: Sequence[int] = (0,),
    *,
    store: Store | str | os.PathLike,
    batch: int = 0,
    minutes: float = math.inf,
    executor: str | Mapping[str, Mapping[str, Any]] | Executor = "process",
    label: str = "sweep",
    progress: bool = True,
) -> Iterator[Result]:
    """Run a grid of fits; finished ones come from the store, and all are yielded as they finish.

    Args:
        rows: of `rows.py`; steps are in their configs.
        images: names for `pictures.load`, arrays, or arrays by name.
        rd_weights: lambda, for every row.
        seeds: of initialization and noise; the same for every row.
        store: a `Store` or its folder.
        batch: fits at once, where they share structure and shape; 0: what the device holds.
        minutes: start no batch after this time; a later sweep goes on.
        executor: where the fits run: a name for `executor_of`, with options {name: options}, or
            an `Executor`.
        label: of the plan that is written to the store for `status`.
        progress: print a line a fit, with the time left.

    Raises `ValueError` for a grid that cannot be run and `MemoryError` when one fit does not fit,
    both before anything is run.
    """
    store = store if isinstance(store, Store) else Store(store)
    run = executor_of(executor)
    images = pictures.named(images)
    planned = plan(rows, images, rd_weights, seeds, progress)
    largest = max((job for job, _ in planned), key=lambda job: math.prod(job.shape))
    batch = batch or devices.batch_size(largest.shape)
    devices.check_memory(largest.shape, largest.image)
    jobs = [job for job, _ in planned]
    store.keep_plan(label, {job.key: job.cost for job in jobs})
    if run is not in_process:
        for job in jobs:
            if images.held(job.image):
                store.keep_image(job.image_sha256, images[job.image])
    return _run(planned, grouped(jobs, batch), store, images, run, minutes, progress)


def _run(planned, groups, store, images, run, minutes, progress) -> Iterator[Result]:
    say = Progress(sum(job.cost for job, _ in planned), len(planned), progress)
    places = {job.key: where for job, where in planned}

    def results(found: Record) -> Iterator[Result]:
        for row, image, rd_weight, seed, patch in places[found.key]:
            yield Result(row, image, rd_weight, seed, found, patch)

    pending = []
    for group in groups:
        missing = []
        for job in group:
            found = store.get(job.key)
            if found is None:
                missing.append(job)
            else:
                say.skip(job.cost)
                yield from results(found)
        if missing:
            pending.append(missing)
    say.start()
    if not pending:
        return
    with contextlib.closing(run(pending, store, images, say)) as finished:
        while True:
            if say.minutes() >= minutes:
                return say.stop()
            try:
                group, records = next(finished)
            except StopIteration:
                return None
            say.done(group, records)
            for found in records:
                yield from results(found)


def run_group(
    jobs: Sequence[Job], store: Store, images: Images | None = None, callback=None
) -> list[Record]:
    """Fit a group of jobs as one batch and write the results to the store.

    `images` saves loading them. A fit whose loss stops being finite is stored as failed. Killed,
    the next call goes on from the batch's checkpoint. Raises `ValueError` when an image is not the
    one that was planned with.
    """
    xs = [_image(job, store, images or {}) for job in jobs]
    configs = [Config.from_json(job.config) for job in jobs]
    keys = [jax.random.key(job.seed) for job in jobs]
    # masks that a video's config leaves to be learned; the same ones every time
    configs = [with_masks(x, [c], key=k, steps=min(MASK_STEPS, int(c.steps)), progress=False,
                          checkpoint=store.mask(job.key) if x.ndim == 4 else None)[0]
               for x, c, k, job in zip(xs, configs, keys, jobs, strict=True)]
    checkpoint = store.checkpoint(job.key for job in jobs)
    began = time.perf_counter()
    options = {"progress": False, "callback": callback, "checkpoint": checkpoint}
    if len(jobs) == 1:
        try:
            fits = [fit(xs[0], configs[0], key=keys[0], **options)]
        except FitError as error:
            fits = [error]
            checkpoint.unlink(missing_ok=True)
        if getattr(fits[0], "interrupted", False):
            raise KeyboardInterrupt
    else:
        fits = fit_many(xs, configs, keys=keys, **options)
    seconds = (time.perf_counter() - began) / len(jobs)
    records = []
    for job, config, result in zip(jobs, configs, fits, strict=True):
        records.append(record(result, job.key, config, job.image, job.image_sha256, job.shape,
                              job.seed, seconds, len(jobs)))
        store.add(records[-1])
        store.forget_mask(job.key)
    return records


def _image(job: Job, store: Store, images: Images) -> Float[np.ndarray, "3 *shape"]:
    with contextlib.suppress(KeyError):
        return images[job.image]
    x = store.image(job.image_sha256)
    x = pictures.load(job.image) if x is None else x
    if image_digest(x) != job.image_sha256:
        raise ValueError(f"{job.image} is not the image that this fit was planned with: its "
                         "pixels differ")
    return x


class Progress:
    """Plain text lines with the time left: readable in a notebook, under papermill and in a log."""

    def __init__(self, cost: float, fits: int, enabled: bool):
        self.cost, self.fits, self.enabled = cost, fits, enabled
        self.finished, self.cost_done, self.cost_skipped = 0, 0.0, 0.0
        self.began = self.spoke = time.monotonic()

    def skip(self, cost: float) -> None:
        """A fit was in the store."""
        self.finished += 1
        self.cost_skipped += cost

    def start(self) -> None:
        """All skips are known."""
        self.began = self.spoke = time.monotonic()
        if self.enabled and self.finished:
            print(f"{self.finished} of {self.fits} fits were in the store", flush=True)

    def minutes(self) -> float:
        """Since the start."""
        return (time.monotonic() - self.began) / 60

    def left(self, more: float = 0.0) -> str:
        """Time left at the speed so far, as text."""
        done = self.cost_done + more
        if not done:
            return "time left unknown"
        seconds = (time.monotonic() - self.began) / done * (
            self.cost - self.cost_skipped - done)
        return f"{duration(seconds)} left"

    def during(self, group: Sequence[Job]):
        """A callback for the group's fits, which speaks up when they take long."""
        def callback(state):
            if self.enabled and time.monotonic() - self.spoke > SECONDS_BETWEEN_LINES:
                done = int(state.step) / max(group[0].steps, 1) * sum(job.cost for job in group)
                self.line(f"  {group[0].row}, {group[0].image}: step {int(state.step)} of "
                          f"{group[0].steps}; {self.left(done)}")
        return callback

    def done(self, group: Sequence[Job], records: Sequence[Record]) -> None:
        """A group has finished."""
        self.finished += len(group)
        self.cost_done += sum(job.cost for job in group)
        for job, found in zip(group, records, strict=True):
            weight = found.config["rd_weight"]
            outcome = found.error or f"{found.bpp:.4f} bpp, {found.psnr_db:.2f} dB"
            self.line(f"[{self.finished}/{self.fits}] {job.row}, {job.image}, lambda {weight:g}, "
                      f"seed {job.seed}: {outcome}, {found.seconds:.1f} s; {self.left()}")

    def stop(self) -> None:
        """The time is used up."""
        self.line(f"stopped after {self.minutes():.1f} minutes with {self.finished} of "
                  f"{self.fits} fits done; run it again to go on")

    def line(self, line: str) -> None:
        """Print a line."""
        if self.enabled:
            print(line, flush=True)
        self.spoke = time.monotonic()


def duration(seconds: float) -> str:
    """For people: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
