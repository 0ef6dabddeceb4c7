"""All fits of a table: `sweep` plans them, runs what the store lacks, and yields them all."""

import contextlib
import functools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from c3lite.ablation import devices, executors
from c3lite.ablation.executors import Executor, executor_of
from c3lite.ablation.images import Images
from c3lite.ablation.jobs import Job, Part, Progress, Result, grouped
from c3lite.ablation.rows import Row
from c3lite.ablation.store import Record, Store, fit_key, short_hash
from c3lite.config import edit
from c3lite.data.patches import patch_size
from c3lite.data.progress import with_bar
from c3lite.fitting.batch import COMMON


def plan(rows: Sequence[Row], images: Images | Mapping | Sequence, rd_weights: Sequence[float],
         seeds: Sequence[int], progress: bool = False) -> list[tuple[Job, list[Result]]]:
    """Every different fit, with the places it has in the table; large clips patch by patch. All
    rows of the first image come first, so that a sweep that is cut off leaves whole tables of fewer
    images. Raises `ValueError` for an empty or impossible grid."""
    images = Images.of(images)
    for what, values in (("row", rows), ("image", images), ("rate weight", rd_weights),
                         ("seed", seeds)):
        if not len(values):
            raise ValueError(f"a sweep needs at least one {what}")
    if len({row.name for row in rows}) < len(rows):
        raise ValueError(f"two rows have one name: {', '.join(row.name for row in rows)}")
    variants = [(row.name, config, short_hash(repr((
                    jax.tree.structure(config), [getattr(config, name) for name in COMMON]))))
                for row in rows for rd_weight in rd_weights
                for config in (edit(config, rd_weight=rd_weight) for config in row.configs)]
    jobs: dict[str, tuple[Job, list[Result]]] = {}
    for name in images:
        parts = {w: _parts(images, name, w) for w in map(float, rd_weights)}
        distinct = {part: None for each in parts.values() for part, _ in each}
        for part in with_bar(distinct, "reading", "patch", show=progress):
            images.digest(part)  # which reads those that are not held
        for seed in seeds:
            for row, config, program in variants:
                weight = float(config.rd_weight)
                for part, patch in parts[weight]:
                    digest = images.digest(part)
                    key = fit_key(config, digest, seed)
                    job = Job(key, row, config, part, digest, images.shape(part), seed, program)
                    jobs.setdefault(key, (job, []))[1].append(
                        Result(row, name, weight, seed, None, patch))
    return list(jobs.values())


def _parts(images: Images, name: str, rd_weight: float) -> list[tuple[str, Part]]:
    """The name of the image, or those of a clip's patches, with their places."""
    shape = images.shape(name)
    size = patch_size(rd_weight, shape) if len(shape) == 3 else shape
    if size == shape:
        return [(name, Part())]
    names = images.patches(name, size)
    across = math.prod(-(-side // step) for side, step in zip(shape[1:], size[1:], strict=True))
    return [(part, Part(n, len(names), n // across * size[0])) for n, part in enumerate(names)]


def sweep(rows: Sequence[Row], images: Mapping[str, Float[np.ndarray, "3 *shape"]] | Sequence,
          rd_weights: Sequence[float], seeds: Sequence[int] = (0,), *,
          store: Store | str | os.PathLike, batch: int = 0, minutes: float = math.inf,
          executor: str | Mapping[str, Mapping[str, Any]] | Executor = "local",
          label: str = "sweep", progress: bool = True) -> Iterator[Result]:
    """Run a grid of fits; finished ones come from the store, and all are yielded as they finish.

    Args:
        rows: of `rows.py`; steps are in their configs.
        images: names for `images.load`, arrays, or arrays by name.
        rd_weights, seeds: lambdas, and seeds of initialization and noise, for every row.
        batch: fits at once in a process, where they share structure and shape; 0: what the device
            holds, on Slurm that of each node, on a CPU one.
        minutes: start no batch after this time; a later sweep goes on.
        executor: where the fits run: a name for `executor_of`, {name: options}, or an `Executor`.
        label: of the plan that is written to the store for `status`.
        progress: print a line a fit, with the time left.

    Raises, before any is run, `ValueError` for impossible grids, `MemoryError` for too large a fit.
    """
    store = store if isinstance(store, Store) else Store(store)
    run = executor_of(executor)
    images = Images.of(images)
    planned = plan(rows, images, rd_weights, seeds, progress)
    jobs = [job for job, _ in planned]
    largest = max(jobs, key=lambda job: math.prod(job.shape))
    if getattr(run, "func", run) is executors.slurm:  # whose memory is not this machine's
        run, batch = functools.partial(run, by_node=not batch), batch or 1
    else:
        batch = batch or devices.batch_size(largest.shape)
        devices.check_memory(largest.shape, largest.image)
    store.keep_plan(label, {job.key: job.cost for job in jobs})
    return _run(planned, grouped(jobs, batch), store, images, run, minutes, progress)


def _run(planned, groups, store, images, run, minutes, enabled) -> Iterator[Result]:
    places = {job.key: where for job, where in planned}

    def results(found: Record) -> Iterator[Result]:
        for place in places[found.key]:
            yield place._replace(record=found)

    known = {job.key: found for job, _ in planned if (found := store.get(job.key)) is not None}
    for found in known.values():
        yield from results(found)
    pending = [missing for group in groups
               if (missing := [job for job in group if job.key not in known])]
    progress = Progress(math.fsum(job.cost for group in pending for job in group), len(planned),
                        enabled, len(known))
    if not pending:
        return
    with contextlib.closing(run(pending, store, images, progress)) as finished:
        while progress.seconds() < 60 * minutes:
            group, records = next(finished, (None, None))
            if group is None:
                return
            progress.done(group, records)
            for found in records:
                yield from results(found)
        progress.line(f"stopped after {progress.seconds() / 60:.1f} minutes with "
                      f"{progress.finished} of {progress.fits} fits done; run it again to go on")
