"""Which pictures stay of one color, by picture, rate weight and clip: a table for a results page.

`python -m tests.benchmarks.reliability` prints it as Markdown: pages of text, a screenshot, a night
sky, reds, line art, one gray, and a clip, with C3's clip (no gradient outside of [0, 1]) and with
the straight-through one. Some three minutes a fit on 2 cores, a quarter of an hour a picture.
"""

from __future__ import annotations

import sys
import warnings

import jax

import c3lite as c3
from tests import hard

RD_WEIGHTS = (1e-4, 6e-4, 1e-3, 4e-3)
CLIPS = ("zero", "straight_through")


def subjects(height: int, width: int) -> dict:
    """Pictures and a clip by name; three pages, as the page is the case that matters most."""
    pages = {f"page of text {seed}": hard.page(height, width, seed) for seed in range(3)}
    others = {name: make(height, width) for name, make in hard.PICTURES.items() if name not in
              ("page of text",)}
    flat = {"all white": hard.flat(1.0, height, width), "all black": hard.flat(0.0, height, width)}
    moving = {"page of text, 4 frames": hard.clip(hard.page(height // 2, width // 2))}
    return pages | others | flat | moving


def main(height: int = 128, width: int = 192, steps: int = 1000, seed: int = 0) -> None:
    """Print a row for each picture and rate weight, then how many have collapsed."""
    warnings.simplefilter("ignore")  # each collapse is a warning, and in the table
    counts = dict.fromkeys(CLIPS, 0)
    judged = 0
    print(f"{height}x{width}, {steps:,} + {steps // 10:,} steps, seed {seed}. PSNR in dB at bits "
          "per pixel (estimate, networks included); **collapsed**: less than 5 dB above the best "
          "constant color.\n")
    print("| picture | mean | λ | C3 | C3, straight-through clip |\n|---|---|---|---|---|")
    for name, x in subjects(height, width).items():
        base = c3.C3 if x.ndim == 3 else c3.UVG
        for rd_weight in RD_WEIGHTS:
            cells = []
            for clip in CLIPS:
                config = c3.edit(base, rd_weight=rd_weight, steps=steps, stage2_steps=steps // 10,
                                 clip_gradient=clip)
                fit = c3.fit(x, config, key=jax.random.key(seed), progress=False)
                counts[clip] += bool(fit.collapsed)
                judged += clip == "zero" and fit.collapsed is not None
                word = {True: ", **collapsed**", None: ", not judged"}.get(fit.collapsed, "")
                cells.append(f"{fit.psnr:.1f} at {fit.bpp_estimate:.3f}{word}")
            print(f"| {name} | {255 * x.mean():.0f} | {rd_weight:g} | {' | '.join(cells)} |",
                  flush=True)
    print(f"\nCollapsed: {counts['zero']} of {judged} with C3's clip, "
          f"{counts['straight_through']} with the straight-through one.")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
