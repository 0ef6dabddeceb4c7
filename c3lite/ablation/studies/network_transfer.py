"""How well the networks of one picture serve another: every pair of pictures, frozen and warm.

A fit with the networks of another is named in the store by both. Networks are not stored: a source
is fitted again, unless all its pairs are done.
"""

import functools
import itertools
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from c3lite.ablation import notebook
from c3lite.ablation.images import Images
from c3lite.ablation.jobs import Job, Outcome, Progress, attempt, keep
from c3lite.ablation.notebook import POSITIVE_COUNT, list_of
from c3lite.ablation.store import Record, Store, fit_key, short_hash
from c3lite.ablation.studies.stand_ins import loss_curve
from c3lite.ablation.table import TextTable, collapses, number
from c3lite.config import Config, edit
from c3lite.fitting.fit import Fit, fit, refit

KINDS = {"own": "its own, from scratch", "frozen": "another's, frozen",
         "warm": "another's, as a start"}
"""Fitted from scratch; latents alone with the source's networks; everything, starting from them."""

PARAMETERS = {name: notebook.PARAMETERS[name] for name in (
    "preset", "steps", "stage2_steps", "store", "is_result")} | {
    "images": list_of(notebook.TEXT, "a list of two or more names", 2),
    "rd_weight": notebook.POSITIVE_NUMBER, "seed": notebook.COUNT,
    "short_steps": list_of(POSITIVE_COUNT, "a list of whole numbers above 0")}
"""What `transfer.ipynb` may set."""


class Transfer(NamedTuple):
    """One fit of a notebook."""

    kind: str  # of `KINDS`
    source: str
    """Whose networks; for "own" the target itself."""
    target: str  # the picture that is coded
    steps: int  # of stage 1
    record: Record


def transfers(images: Mapping[str, Float[np.ndarray, "3 *shape"]] | Sequence, base: Config, *,
              store: Store | str, steps: Sequence[int] = (), seed: int = 0,
              progress: bool = True) -> Iterator[Transfer]:
    """Every picture (`images` as for `sweep`) on its own, and from the networks of every other, as
    they finish. The sources are fitted by `base`; targets also by other schedules, `steps` of
    stage 1, stage 2 in proportion. Raises `ValueError` for fewer than two pictures."""
    images = Images.of(images)
    if len(images) < 2:
        raise ValueError("transfer needs at least two pictures")
    store = store if isinstance(store, Store) else Store(store)
    schedules = {n: edit(base, steps=n, stage2_steps=round(base.stage2_steps * n / base.steps))
                 for n in dict.fromkeys([base.steps, *steps])}
    own_keys = {(name, n): fit_key(config, images.digest(name), seed)
                for name in images for n, config in schedules.items()}
    options = {"key": jax.random.key(seed), "progress": False}

    @functools.lru_cache(len(schedules))
    def own(source: str, n: int) -> Fit:
        return fit(images[source], schedules[n], on_collapse="warn", **options)

    def make(kind: str, source: str, target: str, n: int) -> Fit:
        if kind == "own":
            return own(source, n)
        return refit(images[target], own(source, base.steps), schedules[n],
                     frozen=kind == "frozen", **options)

    jobs = {}
    for source in images:
        others = [name for name in images if name != source]
        for target, kind, n in (*itertools.product([source], ["own"], schedules),
                                *itertools.product(others, ["frozen", "warm"], schedules)):
            key = own_keys[target, n]
            if kind != "own":
                key = short_hash(json.dumps([kind, key, own_keys[source, base.steps]]))
            jobs[kind, source, target, n] = Job(
                key, f"{kind} networks of {source}", schedules[n], target, images.digest(target),
                images.shape(target), seed, program="")
    lines = Progress(math.fsum(job.cost for job in jobs.values()), len(jobs), progress)
    for (kind, source, target, n), job in jobs.items():
        if kind != "own" and store.get(own_keys[source, base.steps]).error is not None:
            continue  # no networks to take
        if (found := store.get(job.key)) is None:
            began = time.perf_counter()
            result = attempt(functools.partial(make, kind, source, target, n))
            (found,) = keep([Outcome(job, result, time.perf_counter() - began, batch=1)], store)
        lines.done([job], [found])
        yield Transfer(kind, source, target, n, found)


def rises(results: Iterable[Transfer], kind: str, steps: int,
          sent: bool = False) -> dict[tuple[str, str], float]:
    """By (source, target): the RD loss against that of the target's own fit of most steps, in
    percent; without networks' bits, or with those that are `sent` to a decoder that has the
    source's. Fits that failed are left out."""
    def loss(r):
        return r.record.loss if sent and r.kind != "frozen" else r.record.latents_loss

    results = [r for r in results if r.record.error is None]
    own = {r.target: r for r in sorted(results, key=lambda r: r.steps) if r.kind == "own"}
    return {(r.source, r.target): 100 * (loss(r) / loss(own[r.target]) - 1)
            for r in results if (r.kind, r.steps) == (kind, steps) and r.target in own}


def summary(results: Iterable[Transfer]) -> TextTable:
    """Each kind and schedule over all pairs, against own fits of the longest schedule."""
    results = list(results)
    rows = []
    for kind, steps in sorted({(r.kind, r.steps) for r in results},
                              key=lambda pair: (list(KINDS).index(pair[0]), -pair[1])):
        latents = np.array(list(rises(results, kind, steps).values()))
        sent = np.array(list(rises(results, kind, steps, sent=True).values()))
        if latents.size:
            rows.append((KINDS[kind], str(steps), str(latents.size), *(
                number(v, 1, sign=True) for v in
                (latents.mean(), latents.min(), latents.max(), sent.mean()))))
    return TextTable(("networks", "steps", "fits", "RD loss of the latents %", "least", "most",
                  "RD loss of all that is sent %"), rows,
                 collapses(r.record for r in results))


def curves(results: Iterable[Transfer], source: str, target: str) -> dict[str, list]:
    """Stored (steps, losses) of one target: its own fits, and those from one source's networks."""
    found = {}
    for r in results:
        mine = r.kind == "own" or r.source == source
        if r.target == target and mine and r.record.error is None:
            found[f"{KINDS[r.kind]}, {r.steps} steps"] = [loss_curve(r.record)]
    return found
