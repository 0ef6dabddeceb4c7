"""What another distribution than Laplace's could win: by how much the latents of a fit would take
fewer bits if those that have about the same scale had the best of a family's.

The fit's own mu and scales stay. Latents are sorted by scale into groups of equal size; in each the
family has the multiple of the scale (and of a mixture the share and width of its second part) that
takes the fewest bits there, for nothing. So a number here is a bound but for one thing: a network
that had been fitted to the other family would give it other scales.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
from scipy.stats import laplace, norm

import c3lite as c3
from c3lite import plots
from c3lite.model.entropy import MAX_BITS

CROPS = {"kodim03": (3, 1.5e-3), "kodim05": (5, 6e-4)}
"""The middle 256x384 of a photo, and its rate weight."""
GROUPS = 24
FACTORS = np.exp(np.linspace(-0.8, 0.8, 17))
SHARES, WIDTHS = (0.05, 0.1, 0.2, 0.4), (0.7, 1.4, 2.0, 3.0, 5.0)


def bits(k, mu, cdf) -> float:
    """Of the integers k, by a distribution function of the distance to mu; `MAX_BITS` at most."""
    probability = cdf(k + 0.5 - mu) - cdf(k - 0.5 - mu)
    return float(-np.log2(np.maximum(probability, 2.0**-MAX_BITS)).sum())


def least_bits(k, mu, scale) -> dict[str, float]:
    """Of one group, by the best member of each family; "as fitted" is Laplace's own scale."""
    def mixture(first, second, share, s, width):
        return lambda t: (1 - share) * first(t / s) + share * second(t / (s * width))

    def least(first, second, shares=(0.0,), widths=(1.0,)):
        return min(bits(k, mu, mixture(first, second, share, scale * f, width))
                   for f, share, width in itertools.product(FACTORS, shares, widths))

    return {"as fitted": bits(k, mu, lambda t: laplace.cdf(t / scale)),
            "Laplace": least(laplace.cdf, laplace.cdf),
            "Gaussian": least(norm.cdf, norm.cdf),
            "two Laplaces": least(laplace.cdf, laplace.cdf, SHARES, WIDTHS),
            "Laplace and Gaussian": least(laplace.cdf, norm.cdf, SHARES, WIDTHS)}


def main(steps: int = 1500) -> None:
    """Print a table, in percent of the latents' bits as fitted."""
    for name, (number, rd_weight) in CROPS.items():
        x = c3.data.crop(c3.data.kodak(number), 128, 192, 256, 384)
        config = c3.edit(c3.BEYOND, rd_weight=rd_weight, steps=steps, stage2_steps=steps // 10)
        fit = c3.fit(x, config)
        k = fit.coded.symbols
        mu, scale = (np.concatenate([grid.ravel() for grid in part])
                     for part in plots.predicted(fit))
        groups = np.array_split(np.argsort(scale, kind="stable"), GROUPS)
        found = [least_bits(k[g], mu[g], scale[g]) for g in groups]
        total = {family: sum(each[family] for each in found) for family in found[0]}
        print(f"{name}, rate weight {rd_weight:g}, {steps} + {steps // 10} steps, latents "
              f"{total['as fitted'] / x[0].size:.4f} bpp: " + ", ".join(
                  f"{family} {100 * (b / total['as fitted'] - 1):+.2f} %"
                  for family, b in total.items() if family != "as fitted"), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
