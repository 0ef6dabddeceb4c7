"""Fits that reach a rate or a quality: the lambda that leads there is found on the way."""

import dataclasses
import math
import time
import warnings

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from c3lite.config import C3_FAST, Config, edit
from c3lite.fitting.collapse import restarted
from c3lite.fitting.fit import Fit, check_image, finish, fit
from c3lite.fitting.parameters import networks_of, with_networks
from c3lite.fitting.training import begin, plain_jax
from c3lite.ingredients.noise import NOISES

SHORT = 5
"""The fits that look for lambda take this part of the steps, and a correction takes as many."""
FEWEST_SHORT = 300
"""Of a short fit: fewer could not be told from a collapsed one."""
TRIES, CORRECTIONS = 4, 6
"""Most fits that look for lambda, and most corrections of the long one."""
GENTLE, RESPONSE = 1 / 20, 0.4
"""Of the learning rate, where a correction starts, as Adam has forgotten which latents are still
and would move all of them; and of the slope over ln lambda, how far a correction then follows."""
NEAR = 0.5
"""In ln lambda: fits nearer to each other differ too much by their noise to tell the slope."""
LOWEST, HIGHEST = 1e-6, 1.0
"""The rate weights among which the goal is looked for."""


@plain_jax()
def fit_to(x: Float[ArrayLike, "3 *shape"], config: Config = C3_FAST, *,
           bpp: float | int | None = None, psnr: float | int | None = None,
           key: PRNGKeyArray | None = None, progress: bool = True) -> Fit:
    """The fit of an image or video whose file has `bpp` bits a pixel, or that has `psnr` dB.

    Some short fits look for the rate weight: ln bpp and PSNR are nearly straight lines over
    ln lambda, so that the secant through two of them leads close. A fit of all steps follows, from
    the networks of the last one; where it misses by more than 1 % or 0.05 dB it is led there by
    some more steps at another lambda. `config.rd_weight` is where the search begins, the result's
    config has the one that was found. `seconds` is of all fits together.

    Fits that collapse (`Fit.collapsed`) begin again as in `fit`; with the release's clip, all does,
    with `clip_gradient="straight_through"`.

    Raises `ValueError` unless exactly one of `bpp` and `psnr` is given, and for fewer bits than
    the networks alone have. A goal out of reach is a warning, and the nearest fit comes back.
    """
    if (bpp is None) == (psnr is None):
        raise ValueError("fit_to needs a goal: either bpp or psnr")
    name, wish = ("bpp", bpp) if psnr is None else ("psnr", psnr)
    if not 0 < wish < math.inf:
        raise ValueError(f"{name} must be above 0, got {wish!r}")
    goal = math.log(wish) if psnr is None else float(wish)
    tolerance = 0.01 if psnr is None else 0.05
    x, began = check_image(x), time.perf_counter()
    key = jax.random.key(0) if key is None else key

    def value(found):
        return math.log(found.bpp) if psnr is None else min(found.psnr, 100.0)

    def fitted(base, codec, **how):
        return fit(x, edit(base, rd_weight=weight), start=codec, key=key, progress=progress, **how)

    steps = max(int(config.steps) // SHORT, FEWEST_SHORT)
    short = edit(config, steps=steps, stage2_steps=steps // 10)
    line = _Line(slope=-0.5 if psnr is None else -2.5)
    weight, codec = float(config.rd_weight), None
    for _ in range(TRIES):
        found = fitted(short, codec)
        floor = found.bpp - found.bits["latents"] / found.pixels
        if bpp is not None and bpp <= floor:
            raise ValueError(f"{bpp:g} bpp cannot be reached: the networks alone take "
                             f"{floor:.3g} bpp of a picture of this size")
        if found.collapsed and config.clip_gradient == "zero":
            return fit_to(x, restarted(config), bpp=bpp, psnr=psnr, key=key, progress=progress)
        if found.interrupted:
            return found
        config, short = (edit(c, rate_warmup=found.config.rate_warmup) for c in (config, short))
        codec = with_networks(begin(x, config, key).codec, networks_of(found.codec))
        line.add(weight, value(found))
        weight = line.weight_at(goal)
        if abs(value(found) - goal) < 5 * tolerance:
            break
    fits = [fitted(config, codec)]
    line = _Line(line.slope * RESPONSE, near=0.0)
    rate = config.learning_rate.start * GENTLE
    nearer = edit(short, learning_rate=(rate, min(rate, config.learning_rate.end)),
                  frozen_networks=True, rate_warmup=0.0, temperature=config.temperature.end,
                  **{n.parameter: getattr(config, n.parameter).end for n in NOISES.values()})
    codec = with_networks(fits[0].codec, fits[0].networks)  # so that lambda alone makes a change
    for _ in range(CORRECTIONS):
        line.add(weight, value(fits[-1]))
        if fits[-1].interrupted or abs(value(fits[-1]) - goal) < tolerance:
            break
        if weight == (weight := line.weight_at(goal)):  # it is at a limit
            break
        found = fitted(nearer, codec, on_collapse="warn")
        fits.append(finish(x, found.config, found.codec, found.history, began, found.interrupted,
                           source=fits[0]))
    best = min(fits, key=lambda found: abs(value(found) - goal))
    if abs(value(best) - goal) > 2 * tolerance and not fits[-1].interrupted:
        warnings.warn(f"{wish:g} {'bpp' if psnr is None else 'dB'} was not reached: the nearest "
                      f"fit has {best.bpp:.4g} bpp and {best.psnr:.2f} dB", stacklevel=2)
    config = edit(config, rd_weight=best.config.rd_weight,
                  rate_warmup=fits[0].config.rate_warmup)  # which may have begun again
    return dataclasses.replace(best, config=config, seconds=time.perf_counter() - began,
                               interrupted=fits[-1].interrupted)


class _Line:
    """The goal's value over ln lambda: the secant of the two nearest points, or a usual slope."""

    def __init__(self, slope: float, near: float = NEAR):
        self.slope, self.usual, self.near, self.points = slope, slope, near, []

    def add(self, weight: float, value: float) -> None:
        self.points.append((math.log(weight), value))
        if len(self.points) > 1:
            (x0, y0), (x1, y1) = self.points[-2:]
            if abs(x1 - x0) > self.near:
                # a short fit may be off; no slope of a real curve is
                secant = (y1 - y0) / (x1 - x0)
                self.slope = float(np.clip(secant, 3 * self.usual, self.usual / 3))

    def weight_at(self, goal: float) -> float:
        x, y = self.points[-1]
        return float(np.clip(math.exp(x + (goal - y) / self.slope), LOWEST, HIGHEST))
