"""What shortening COOL-CHICv2's schedule costs: phases of constant rate against one cosine.

COOL-CHICv2's "slow" recipe trains at L, L/2, ... L/16 (L = 1e-2) with noise, then straight-through
at L/32 ... L/256, a fresh Adam each. `COOL_CHIC` and `COOL_CHIC_V2` have one cosine with noise and
c3lite's stage 2 instead. Both get the same number of steps here, by the same compiled program; each
phase is a fit of constant learning rate that starts from the codec of the one before.
"""

from __future__ import annotations

import math
import time

import jax
import numpy as np

import c3lite as c3
from c3lite.fitting import training
from c3lite.fitting.fit import finish
from c3lite.fitting.loop import chunks
from c3lite.fitting.training import begin, best_codec

HIGHEST = 1e-2
CROPS = {"kodim19": (19, 200, 96), "kodim23": (23, 192, 288)}
"""Crops of 128x192: picture, y, x."""


def phases(config: c3.Config, steps: int, stage2_steps: int) -> list[c3.Config]:
    """The published recipe in `steps` + `stage2_steps` steps, a config a phase."""
    noisy = [c3.edit(config, learning_rate=HIGHEST / 2**k, steps=steps // 5, stage2_steps=0)
             for k in range(5)]
    hard = [c3.edit(config, stage2_learning_rate=HIGHEST / 2**k, stage2_patience=10**9,
                    steps=0, stage2_steps=stage2_steps // 4) for k in range(5, 9)]
    return noisy + hard


def fit_in_phases(x, config: c3.Config, steps: int, stage2_steps: int, key) -> c3.Fit:
    """Fit in phases; each keeps the codec of the one before, and nothing else."""
    began, codec = time.perf_counter(), None
    for i, phase in enumerate(phases(config, steps, stage2_steps)):
        state = begin(x, phase, jax.random.fold_in(key, i))
        if codec is not None:
            state = state._replace(codec=codec, best=state.best._replace(codec=codec))
        for state, _ in chunks(x, phase, state):  # noqa: B007, B020 - goes on from it
            pass
        codec = best_codec(state)
    empty = training.History(*(np.zeros(0, np.float32) for _ in training.History._fields))
    return finish(x, config, codec, empty, began)


def main(steps: int = 2000, stage2_steps: int = 200) -> None:
    """Print a row for each baseline, crop and rate weight."""
    print(f"  {steps} + {stage2_steps} steps, crops of 128x192, RD loss with all bits")
    ratios: dict[str, list[float]] = {"COOL_CHIC": [], "COOL_CHIC_V2": []}
    for name in ratios:
        for image, (number, y, x) in CROPS.items():
            crop = c3.data.crop(c3.data.kodak(number), y, x, 128, 192)
            for rd_weight in (4e-4, 4e-3):
                config = c3.edit(getattr(c3, name), rd_weight=rd_weight, warmup_starts=1)
                cosine = c3.fit(crop, c3.edit(config, steps=steps, stage2_steps=stage2_steps),
                                key=jax.random.key(0), progress=False)
                phased = fit_in_phases(crop, config, steps, stage2_steps, jax.random.key(0))
                ratios[name].append(cosine.loss / phased.loss)
                print(f"  {name}, {image}, lambda {rd_weight:g}: cosine {cosine.loss:.4g} "
                      f"({cosine.bpp_estimate:.3f} bpp, {cosine.psnr:.2f} dB), phases "
                      f"{phased.loss:.4g} ({phased.bpp_estimate:.3f} bpp, {phased.psnr:.2f} dB)",
                      flush=True)
    for name, values in ratios.items():
        mean = math.exp(np.mean(np.log(values)))
        print(f"  {name}: loss with one cosine over loss in phases, geometric mean {mean:.4f}")


if __name__ == "__main__":
    main()
