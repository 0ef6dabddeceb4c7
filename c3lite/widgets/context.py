"""One latent at a time, as the decoder meets it (Eqs. 1, 2; Figs. 2, 4 and 10)."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import ndimage

from c3lite import plots
from c3lite.coding.order import Plan
from c3lite.fitting import parameters
from c3lite.fitting.fit import Fit
from c3lite.model import context as ctx
from c3lite.model import latents
from c3lite.widgets.base import Explorer, pack, question, script
from c3lite.widgets.fitted import BITS_UNIT, fitted


class ContextExplorer(Explorer):
    """Step through a fit's latents in the decoder's order.

    Shows the causal context, the predicted Laplace distribution with the actual value in it, and
    what that costs. Raises `ValueError` for a video with a learned upsampling kernel.
    """

    _esm = script("codec.js", "context.js")

    title = question("What does this latent cost, and why?")

    def __init__(self, fit: Fit):
        self._fit = fit
        steps = decoding_steps(fit)
        self._count = int(steps.max()) + 1
        shapes = latents.grid_shapes(fit.config, fit.shape)
        ends = np.cumsum([math.prod(s) for s in shapes])[:-1]
        self._steps = np.split(steps, ends)
        bits = plots.latent_bits(fit)
        grid = int(np.argmax([b.sum() for b in bits]))
        self._grid, self._bits = grid, bits[grid]
        self._symbols = np.split(fit.coded.symbols, ends)[grid].reshape(shapes[grid])
        self._at = _telling(self._symbols, self._bits)
        super().__init__(data={
            "codec": fitted(fit), "step_count": self._count, "bits_unit": BITS_UNIT,
            "steps": [pack(part) for part in self._steps],
            "start": [grid, *[0] * (3 - len(self._at)), *map(int, self._at)]})

    def describe(self) -> str:
        return (f"Grid {self._grid} in the decoder's order of {self._count:,} steps, and a latent "
                f"({self._symbols[self._at]}, {self._bits[self._at]:.2f} bits) with the context "
                "and the distribution that it is predicted from.")

    def figure(self) -> Figure:
        config, (*t, y, x) = self._fit.config, self._at
        grid = self._symbols[t[0]] if t else self._symbols
        steps = self._steps[self._grid].reshape(self._symbols.shape)
        ahead = steps[t[0]] if t else steps
        limit = max(int(np.abs(self._symbols).max()), 1)
        shown = np.ma.masked_where(ahead >= ahead[y, x], grid)  # the future stays unknown
        figure = Figure(figsize=(9, 3), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(4, 3, 3))
        for ax in (left, middle):
            ax.set_facecolor("#484850")
            ax.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
            ax.set_xticks([])
            ax.set_yticks([])
        left.plot(x, y, "o", mfc="none", mec="#E69F00", mew=2)
        left.set_title(f"grid {self._grid}; dark: not decoded yet", fontsize=9)
        middle.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, color="#E69F00"))
        middle.text(x, y, "?", ha="center", va="center", fontsize=9)
        offsets = [o[-2:] for o in ctx.causal_offsets(config.context_size, 2)]
        for dy, dx in offsets:
            middle.add_patch(Rectangle((x + dx - 0.5, y + dy - 0.5), 1, 1, fill=False,
                                       color="#0072B2"))
            if 0 <= y + dy < grid.shape[0] and 0 <= x + dx < grid.shape[1]:
                middle.text(x + dx, y + dy, grid[y + dy, x + dx], ha="center", va="center",
                            fontsize=8)
        reach = 2 + max((max(map(abs, o)) for o in offsets), default=1)
        middle.set_xlim(x - reach, x + reach)
        middle.set_ylim(y + reach, y - reach)
        middle.set_title("the context (blue) of a latent (?)", fontsize=9)
        plots.prediction(*self._predicted(), int(self._symbols[self._at]), right)
        right.set_title("predicted; orange:\n"
                        + right.get_title().partition("; ")[2], fontsize=9)
        return figure

    def _predicted(self) -> tuple[float, float]:
        """mu and scale of the latent that is shown first, in steps."""
        config, coded = self._fit.config, self._fit.coded
        shapes = latents.grid_shapes(config, self._fit.shape)
        networks = parameters.from_integers(coded.networks, coded.weight_step, coded.bias_step)
        q = float(config.quantization_step)
        found = networks.entropy(config, latents.split(
            jnp.asarray(coded.symbols * q, jnp.float32), shapes))
        place = (sum(map(math.prod, shapes[: self._grid]))
                 + np.ravel_multi_index(self._at, self._symbols.shape))
        return tuple(float(part[place]) / q for part in found)


def _telling(symbols: np.ndarray, bits: np.ndarray) -> tuple[int, ...]:
    """Where a latent that costs something has neighbors that are not all zero."""
    busy = ndimage.uniform_filter((symbols != 0).astype(float), 5, mode="constant")
    return tuple(map(int, np.unravel_index(np.argmax(np.minimum(bits, 4) * busy), bits.shape)))


def decoding_steps(fit: Fit) -> Int[np.ndarray, " latents"]:
    """In which step of the wavefront each latent is decoded, in the order of `Coded.symbols`."""
    plan = Plan(fit.config, fit.shape)
    steps = np.empty(len(plan.order), np.int32)
    for k, (part, _) in enumerate(plan.steps()):
        steps[plan.order[part]] = k
    return steps
