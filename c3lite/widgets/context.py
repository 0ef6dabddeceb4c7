"""One latent at a time, as the decoder meets it (Eqs. 1, 2; Figs. 2, 4 and 10)."""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from c3lite import plots
from c3lite.fitting.fit import Fit
from c3lite.model import context as ctx
from c3lite.plots.styles import bare, signed_picture
from c3lite.widgets.base import Explorer, pack, question, script
from c3lite.widgets.fitted import fitted


class ContextExplorer(Explorer):
    """Step through a fit's latents in the decoder's order.

    Shows the causal context, the predicted Laplace distribution with the actual value in it, and
    what that costs. Raises `ValueError` for a video with a learned upsampling kernel.
    """

    _esm = script("codec.js", "context.js")

    title = question("What does this latent cost, and why?")

    def __init__(self, fit: Fit):
        self._fit = fit
        self._steps = plots.decoding_steps(fit.config, fit.shape)
        self._count = 1 + max(int(steps.max()) for steps in self._steps)
        bits = plots.latent_bits(fit)
        self._grid = int(np.argmax([b.sum() for b in bits]))
        self._bits, self._symbols = bits[self._grid], fit.grids[self._grid]
        self._at = _telling(self._symbols, self._bits)
        super().__init__(data={
            "codec": fitted(fit), "step_count": self._count,
            "steps": [pack(steps) for steps in self._steps],
            "start": [self._grid, *[0] * (3 - len(self._at)), *self._at]})

    def describe(self) -> str:
        return (f"Grid {self._grid} in the decoder's order of {self._count:,} steps, and a latent "
                f"({self._symbols[self._at]}, {self._bits[self._at]:.2f} bits) with the context "
                "and the distribution that it is predicted from.")

    def figure(self) -> Figure:
        *t, y, x = self._at
        grid, steps = (values[t[0]] if t else values
                       for values in (self._symbols, self._steps[self._grid]))
        figure = Figure(figsize=(9, 3), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(4, 3, 3))
        left.set_facecolor("#484850")
        known = np.ma.masked_where(steps >= steps[y, x], grid)  # the future stays unknown
        signed_picture(bare(left), known, max(int(np.abs(self._symbols).max()), 1))
        left.plot(x, y, "o", mfc="none", mec="#E69F00", mew=2)
        left.set_title(f"grid {self._grid}; dark: not decoded yet", fontsize=9)
        offsets = [o[-2:] for o in ctx.own_offsets(self._fit.config, 2)]
        reach = max(map(abs, itertools.chain((1,), *offsets)))
        around = np.pad(grid, reach)[y : y + 2 * reach + 1, x : x + 2 * reach + 1]
        plots.context_window(offsets, middle, values=around)
        middle.set_title("a latent (orange) and its context", fontsize=9)
        mu, scale = (float(part[self._grid][self._at]) for part in plots.predicted(self._fit))
        plots.prediction(mu, scale, int(self._symbols[self._at]), right)
        right.set_title("predicted; orange:\n"
                        + right.get_title().partition("; ")[2], fontsize=9)
        return figure


def _telling(symbols: np.ndarray, bits: np.ndarray) -> tuple[int, ...]:
    """Where a latent that costs something has neighbors that are not all zero."""
    busy = ndimage.uniform_filter((symbols != 0).astype(float), 5, mode="constant")
    return tuple(map(int, np.unravel_index(np.argmax(np.minimum(bits, 4) * busy), bits.shape)))
