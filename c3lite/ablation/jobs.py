"""One fit of a sweep as a job that can be sent to another process, and how a batch of jobs runs."""

import dataclasses
import importlib.metadata
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from c3lite.ablation import devices, images
from c3lite.ablation.images import Pictures
from c3lite.ablation.store import NUMERICS, Record, Store
from c3lite.coding import encode
from c3lite.config import Config
from c3lite.fitting.batch import fit_many
from c3lite.fitting.checkpoint import remove, steps_done
from c3lite.fitting.fit import Fit, fit
from c3lite.fitting.loop import FitError
from c3lite.fitting.training import History
from c3lite.video.masks import with_masks

SECONDS_BETWEEN_LINES = 60.0  # a long fit prints a line about this often
HISTORY_POINTS = 200  # a stored history keeps about this many entries, evenly spread
MASK_STEPS = 1000  # at most, of learning a video's mask (App. A.3)


@dataclasses.dataclass(frozen=True)
class Job:
    """One fit."""

    key: str  # the fit's name in the store
    row: str  # the (first) row that wants it, for messages
    config: Config  # rate weight included
    image: str  # a name for `images.load`, or of an array that was given to the sweep
    image_sha256: str
    shape: tuple[int, ...]
    seed: int
    program: str  # jobs of one program (and shape) have configs of one structure, and equal steps

    @property
    def steps(self) -> int:
        """Of both stages."""
        return int(self.config.steps) + int(self.config.stage2_steps)

    @property
    def cost(self) -> float:
        """Its work, in steps times pixels."""
        return float(self.steps * math.prod(self.shape))


class Part(NamedTuple):
    """Which part of a clip a fit is of: one of `count`, in the order of `split_patches`."""

    number: int = 0
    count: int = 1
    first_frame: int = 0


class Result(NamedTuple):
    """A finished fit in its place in a table."""

    row: str
    image: str
    rd_weight: float
    seed: int
    record: Record | None  # None in a plan, where the fit is yet to come
    patch: Part = Part()
    """Of the clip `image`, where that was fitted in several (`table.joined_clips` joins them)."""


Group = Sequence[Job]
"""Jobs that run as one batch."""


def grouped(jobs: Iterable[Job], size: int) -> list[list[Job]]:
    """Groups of up to `size` jobs that can run as one batch, lying pictures with standing ones; of
    the same jobs always the same, so that a batch that was killed finds its checkpoint."""
    groups: list[list[Job]] = []
    last: dict[tuple, list[Job]] = {}
    for job in jobs:
        kind = job.program, job.shape if len(job.shape) == 3 else tuple(sorted(job.shape))
        if len(last.get(kind, ())) in (0, size):
            last[kind] = []
            groups.append(last[kind])
        last[kind].append(job)
    return groups


def run_group(jobs: Group, store: Store, arrays: Pictures | None = None, callback=None,
              each: Callable = map) -> list[Record]:
    """Fit a group of jobs as one batch and write the results to the store (`fit_group`, `keep`)."""
    return keep(fit_group(jobs, store, arrays, callback), store, each)


class Outcome(NamedTuple):
    """A job that has run."""

    job: Job  # with the masks of its config, where they were learned
    fit: Fit | FitError
    seconds: float  # the job's share of its batch
    batch: int


def fit_group(jobs: Group, store: Store, arrays: Pictures | None = None,
              callback=None) -> list[Outcome]:
    """Fit a group of jobs as one batch; killed, the next call goes on from its checkpoint. Images
    that are not among `arrays` are loaded. A fit whose loss stops being finite is an error among
    the outcomes. Raises `ValueError` for an image that was not planned with."""
    xs = [_image(job, arrays or {}) for job in jobs]
    keys = [jax.random.key(job.seed) for job in jobs]
    # masks that a video's config leaves to be learned
    configs = [with_masks(x, [job.config], key=k, steps=min(MASK_STEPS, int(job.config.steps)),
                          progress=False,
                          checkpoint=store.mask(job.key) if x.ndim == 4 else None)[0]
               for x, k, job in zip(xs, keys, jobs, strict=True)]
    checkpoint = store.checkpoint(job.key for job in jobs)
    began = time.perf_counter()
    options = {"progress": False, "callback": callback, "checkpoint": checkpoint}
    if len(jobs) == 1:
        fits = [attempt(lambda: fit(xs[0], configs[0], key=keys[0], on_collapse="warn", **options))]
        remove(checkpoint)  # which a fit that failed leaves
    else:
        # a batch fits portraits lying, so that they are no program of their own
        xs = [x.swapaxes(1, 2) if x.ndim == 3 and x.shape[1] > x.shape[2] else x for x in xs]
        fits = fit_many(xs, configs, keys=keys, **options)
    seconds = (time.perf_counter() - began) / len(jobs)
    return [Outcome(dataclasses.replace(job, config=config), result, seconds, len(jobs))
            for job, config, result in zip(jobs, configs, fits, strict=True)]


def keep(outcomes: Sequence[Outcome], store: Store, each: Callable = map) -> list[Record]:
    """Write the results of a group to the store, each with the length of its file. `each` is a
    `map` that may encode several at once."""
    lengths = each(file_bytes, [outcome.fit for outcome in outcomes])
    records = []
    for outcome, length in zip(outcomes, lengths, strict=True):
        records.append(record(outcome, length))
        store.add(records[-1])
        if len(outcome.job.shape) == 3:
            store.mask(outcome.job.key).unlink(missing_ok=True)
    return records


def file_bytes(result: Fit | FitError) -> int | None:
    """The length of a fit's file."""
    return None if isinstance(result, FitError) else len(encode(result))


def attempt(make: Callable[[], Fit]) -> Fit | FitError:
    """The fit, or why it failed. Raises `KeyboardInterrupt` if it was stopped."""
    try:
        result = make()
    except FitError as error:
        return error
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def record(outcome: Outcome, length: int | None) -> Record:
    """What is stored of a finished, or failed, fit; `length` is that of its file in bytes."""
    job, result, seconds, batch = outcome
    own = importlib.metadata.distributions(name="c3lite")
    about = {
        "key": job.key, "numerics": NUMERICS, "config": json.loads(job.config.to_json()),
        "image": job.image, "image_sha256": job.image_sha256, "shape": job.shape,
        "seed": int(job.seed), "seconds": round(seconds, 3), "batch": batch,
        "device": devices.name(),
        "versions": {"c3lite": next((found.version for found in own), "not installed"),
                     "jax": jax.__version__, "python": platform.python_version()},
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    if isinstance(result, FitError):
        return Record(**about, bits={}, psnr_db=math.nan, loss=math.nan, steps=0, history={},
                      error=str(result))
    if len(job.shape) == 3:
        errors = np.square(result.reconstruction.astype(np.float64) - result.image).mean((0, 2, 3))
        about["frame_mse"] = [float(f"{error:.7g}") for error in errors]
    return Record(**about, bits=result.bits, psnr_db=result.psnr, loss=result.loss,
                  steps=len(result.history.loss), history=thinned(result.history),
                  file_bytes=length, collapsed=result.collapsed)


def thinned(history: History) -> dict[str, list[float | int]]:
    """About `HISTORY_POINTS` entries of a history, the first and the last among them."""
    n = len(history.loss)
    steps = np.unique(np.linspace(0, n - 1, min(n, HISTORY_POINTS)).round().astype(int))
    return {"step": steps.tolist()} | {name: [float(f"{v:.5g}") for v in values[steps]]
                                       for name, values in history._asdict().items()}


def run_missing(jobs: Group, folder: str | os.PathLike, arrays: Pictures,
                each: Callable = map) -> list[Record]:
    """The records of a group, of which only those that no other sweep has stored are fitted."""
    store = Store(folder)
    if missing := [job for job in jobs if store.get(job.key) is None]:
        run_group(missing, store, arrays, each=each)
    return [store.get(job.key) for job in jobs]


def _image(job: Job, arrays: Pictures) -> Float[np.ndarray, "3 *shape"]:
    if (x := arrays.get(job.image)) is not None:
        return x
    x = images.load(job.image)
    if images.digest(x) != job.image_sha256:
        raise ValueError(f"{job.image} is not the image that this fit was planned with: its "
                         "pixels differ")
    return x


class Progress:
    """Plain text lines with the time left: readable in a notebook, under papermill and in a log.
    `cost` is of the fits to come: `fits` less those `finished`, found in the store."""

    def __init__(self, cost: float, fits: int, enabled: bool = True, finished: int = 0):
        self.cost, self.fits, self.enabled, self.finished = cost, fits, enabled, finished
        self.cost_done = 0.0
        self.began = self.last_line_at = time.monotonic()
        if finished:
            self.line(f"{finished} of {fits} fits were in the store")

    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.began

    def left(self, more: float = 0.0) -> str:
        """Time left at the speed so far, as text. more: work done of fits under way."""
        done = self.cost_done + more
        return (f"{duration(self.seconds() / done * (self.cost - done))} left" if done
                else "time left unknown")

    def _silent_for_long(self) -> bool:
        return self.enabled and time.monotonic() - self.last_line_at > SECONDS_BETWEEN_LINES

    def during(self, group: Group):
        """A callback for the group's fits, which speaks up when they take long."""
        def callback(state):
            if self._silent_for_long():
                done = int(state.step) / max(group[0].steps, 1) * sum(job.cost for job in group)
                self.line(f"  {group[0].row}, {group[0].image}: step {int(state.step)} of "
                          f"{group[0].steps}; {self.left(done)}")
        return callback

    def elsewhere(self, workers: str, groups: Iterable[Group], store: Store) -> None:
        """Speak up when fits in other processes take long; checkpoints say how far they are."""
        if self._silent_for_long():
            done = float(sum(steps_done(store.checkpoint(job.key for job in group))
                             * math.prod(job.shape) for group in groups for job in group))
            self.line(f"  {workers}, {self.finished} of {self.fits} fits done; {self.left(done)}")

    def done(self, group: Group, records: Sequence[Record]) -> None:
        """The fits of a group have finished."""
        for job, found in zip(group, records, strict=True):
            self.finished += 1
            self.cost_done += job.cost
            outcome = found.error or f"{found.bpp:.4f} bpp, {found.psnr_db:.2f} dB"
            self.line(f"[{self.finished}/{self.fits}] {job.row}, {job.image}, lambda "
                      f"{found.config['rd_weight']:g}, seed {job.seed}: {outcome}, "
                      f"{found.seconds:.1f} s; {self.left()}")

    def line(self, line: str) -> None:
        """Print a line."""
        if self.enabled:
            print(line, flush=True)
        self.last_line_at = time.monotonic()


def duration(seconds: float) -> str:
    """For people: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
