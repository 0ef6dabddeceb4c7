"""Which pictures stay of one color, by picture, rate weight and clip: a table for a results page.

`python -m tests.benchmarks.reliability` prints it as Markdown: pages of text, a screenshot, a night
sky, reds, line art, white, black, and a clip; by C3, whose clip has no gradient outside of [0, 1],
by C3 with the straight-through one, by C3_FAST, and by C3_FAST that begins again where it has
collapsed, as `c3lite encode` does. `... reliability 96 128 400` are the height,
width and steps of stage 1: these take some ten minutes on 2 cores.
"""

from __future__ import annotations

import sys
import warnings

import jax

import c3lite as c3
from tests import hard

RD_WEIGHTS = (1e-4, 6e-4, 1e-3, 4e-3)


def recipes(ndim: int) -> dict[str, c3.Config]:
    """The columns: for images, or for clips."""
    slow, fast = (c3.C3, c3.C3_FAST) if ndim == 2 else (c3.UVG, c3.UVG_FAST)
    through = c3.edit(slow, clip_gradient="straight_through")
    return {"C3": slow, "C3, straight-through clip": through, "C3_FAST": fast}


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
    columns = [*recipes(2), "C3_FAST, begun again"]
    counts, judged = dict.fromkeys(columns, 0), 0
    print(f"{height}x{width}, {steps:,} + {steps // 10:,} steps, seed {seed}. PSNR in dB at bits "
          "per pixel (estimate, networks included); **collapsed**: less than 5 dB above the best "
          "constant color.\n")
    print(f"| picture | mean | λ | {' | '.join(columns)} |\n|---|---|---|{'---|' * len(columns)}")
    for name, x in subjects(height, width).items():
        for rd_weight in RD_WEIGHTS:
            cells, configs = [], list(recipes(x.ndim - 1).values())
            for column, config in zip(columns, [*configs, configs[-1]], strict=True):
                config = c3.edit(config, rd_weight=rd_weight, steps=steps, stage2_steps=steps // 10)
                if column != columns[-1] or fit.collapsed:
                    fit = c3.fit(x, config, key=jax.random.key(seed), progress=False,
                                 on_collapse="restart" if column == columns[-1] else "warn")
                counts[column] += bool(fit.collapsed)
                judged += column == "C3" and fit.collapsed is not None
                word = {True: ", **collapsed**", None: ", not judged"}.get(fit.collapsed, "")
                cells.append(f"{fit.psnr:.1f} at {fit.bpp_estimate:.3f}{word}")
            print(f"| {name} | {255 * x.mean():.0f} | {rd_weight:g} | {' | '.join(cells)} |",
                  flush=True)
    print(f"\nCollapsed of {judged}: " + ", ".join(f"{n} by {c}" for c, n in counts.items()) + ".")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
