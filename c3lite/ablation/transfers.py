"""How well the networks of one picture serve another: every pair of pictures, frozen and warm.

A fit that takes its networks from another is named in the store by both, so that a study goes on
where it was. Networks themselves are not stored: a source whose pairs are all done is not fitted
again, any other is, which gives the same networks.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from c3lite.ablation import pictures
from c3lite.ablation.quantizers import latents_loss
from c3lite.ablation.store import Record, Store, fit_key, image_digest, record
from c3lite.ablation.sweep import duration
from c3lite.config import Config, edit
from c3lite.fit import Fit, FitError, fit
from c3lite.transfer import refit

KINDS = ("own", "frozen", "warm")
"""Fitted from scratch; latents alone with the source's networks; everything, starting from them."""


class Transfer(NamedTuple):
    """One fit of a study."""

    kind: str
    """Of `KINDS`."""
    source: str
    """Whose networks; for "own" the target itself."""
    target: str
    """The picture that is coded."""
    steps: int
    """Of stage 1."""
    record: Record


def transfer_key(target_key: str, source_key: str, kind: str) -> str:
    """The name in the store of a fit that takes its networks from another."""
    text = json.dumps([kind, target_key, source_key])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def transfers(
    images: Mapping[str, Float[np.ndarray, "3 *shape"]] | Sequence,
    base: Config,
    *,
    store: Store | str,
    steps: Sequence[int] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Iterator[Transfer]:
    """Every picture on its own, and from the networks of every other, as they finish.

    images: as for `sweep`. base: its structure must do for all of them. The sources are fitted by
    `base`; targets also by shorter schedules, `steps` of stage 1, stage 2 in proportion.

    Raises `ValueError` for fewer than two pictures.
    """
    images = pictures.named(images)
    if len(images) < 2:
        raise ValueError("transfer needs at least two pictures")
    store = store if isinstance(store, Store) else Store(store)
    return _run(images, base, store, list(steps or [base.steps]), seed, progress)


def shortened(base: Config, steps: int) -> Config:
    """`base` with another stage 1, and stage 2 in proportion."""
    return edit(base, steps=steps, stage2_steps=round(base.stage2_steps * steps / base.steps))


def _run(images, base, store, steps, seed, progress) -> Iterator[Transfer]:
    digests = {name: image_digest(x) for name, x in images.items()}
    schedules = {n: shortened(base, n) for n in dict.fromkeys([base.steps, *steps])}
    total = len(images) * (len(schedules) + 2 * len(steps) * (len(images) - 1))
    say = _Lines(total, progress)

    def run(key, config, target, make) -> Record:
        """From the store, or made and stored."""
        if (found := store.get(key)) is None:
            began = time.perf_counter()
            try:
                result = make()
            except FitError as error:
                result = error
            if getattr(result, "interrupted", False):
                raise KeyboardInterrupt
            found = record(result, key, config, target, digests[target], images[target].shape[1:],
                           seed, time.perf_counter() - began, 1)
            store.add(found)
        return found

    def of_source(source: str) -> Iterator[Transfer]:
        @functools.cache
        def own(n: int) -> Fit:
            return fit(images[source], schedules[n], key=jax.random.key(seed), progress=False)

        for n, config in schedules.items():
            key = fit_key(config, digests[source], seed)
            found = run(key, config, source, functools.partial(own, n))
            yield Transfer("own", source, source, n, found)
        source_key = fit_key(base, digests[source], seed)
        if store.get(source_key).error is not None:
            return  # no networks to take

        def moved(target: str, kind: str, config: Config) -> Fit:
            return refit(images[target], own(base.steps), config, frozen=kind == "frozen",
                         key=jax.random.key(seed), progress=False)

        others = [name for name in images if name != source]
        for target, kind, n in itertools.product(others, KINDS[1:], steps):
            config = schedules[n]
            key = transfer_key(fit_key(config, digests[target], seed), source_key, kind)
            found = run(key, config, target, functools.partial(moved, target, kind, config))
            yield Transfer(kind, source, target, n, found)

    for source in images:
        yield from map(say.done, of_source(source))


class _Lines:
    """A plain line a fit, with the time left."""

    def __init__(self, total: int, enabled: bool):
        self.total, self.enabled, self.finished = total, enabled, 0
        self.began = time.monotonic()

    def done(self, transfer: Transfer) -> Transfer:
        self.finished += 1
        if self.enabled:
            kind, source, target, steps, found = transfer
            origin = "its own networks" if kind == "own" else f"{kind} networks of {source}"
            outcome = found.error or (f"{found.latents_bpp:.4f} bpp of latents, "
                                      f"{found.psnr_db:.2f} dB")
            left = (time.monotonic() - self.began) / self.finished * (self.total - self.finished)
            print(f"[{self.finished}/{self.total}] {target}, {origin}, {steps} steps: {outcome}; "
                  f"{duration(left)} left", flush=True)
        return transfer


def rises(results: Iterable[Transfer], kind: str, steps: int) -> dict[tuple[str, str], float]:
    """By (source, target): the latents' RD loss against the target's own fit, in percent.

    The own fit is the one of most steps, so that "own" at fewer steps is a rise too. Without the
    networks' bits on both sides: with frozen networks a decoder that has them needs no others.
    Fits that failed are left out.
    """
    results = [r for r in results if r.record.error is None]
    own: dict[str, tuple[int, float]] = {}
    for r in results:
        if r.kind == "own":
            own[r.target] = max(own.get(r.target, (0, math.nan)),
                                (r.steps, latents_loss(r.record)))
    return {(r.source, r.target): 100 * (latents_loss(r.record) / own[r.target][1] - 1)
            for r in results if (r.kind, r.steps) == (kind, steps) and r.target in own}
