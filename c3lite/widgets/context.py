"""One latent at a time, as the decoder meets it (Eqs. 1, 2; Figs. 2, 4 and 10)."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Int
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from c3lite import plots
from c3lite.coding.order import Plan
from c3lite.fitting.fit import Fit
from c3lite.model import context as ctx
from c3lite.model import latents
from c3lite.widgets.base import Explorer, pack, script
from c3lite.widgets.fitted import fitted


class ContextExplorer(Explorer):
    """Step through a fit's latents in the decoder's order.

    Shows the causal context, the predicted Laplace distribution with the actual value in it, and
    what that costs. Raises `ValueError` for a video with a learned upsampling kernel.
    """

    _esm = script("codec.js", "context.js")

    def __init__(self, fit: Fit):
        self._fit = fit
        steps = decoding_steps(fit)
        self._count = int(steps.max()) + 1
        ends = np.cumsum([math.prod(s) for s in latents.grid_shapes(fit.config, fit.shape)])[:-1]
        super().__init__(data={"codec": fitted(fit), "step_count": self._count,
                               "steps": [pack(part) for part in np.split(steps, ends)]})

    def _middle(self):
        """The finest grid (of a video, a frame of it), its bits, and the place that is shown."""
        shape = latents.grid_shapes(self._fit.config, self._fit.shape)[0]
        grid = self._fit.coded.symbols[: math.prod(shape)].reshape(shape)
        bits = plots.latent_bits(self._fit)[0]
        if grid.ndim == 3:
            grid, bits = grid[len(grid) // 2], bits[len(bits) // 2]
        return grid, bits, (grid.shape[0] // 2, grid.shape[1] // 2)

    def describe(self) -> str:
        grid, bits, (y, x) = self._middle()
        return (f"The finest grid, decoded in {self._count:,} steps, and around its middle latent "
                f"({grid[y, x]}, {bits[y, x]:.2f} bits) the context it is predicted from.")

    def figure(self) -> Figure:
        grid, bits, (y, x) = self._middle()
        figure = Figure(figsize=(8.5, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        limit = max(int(np.abs(grid).max()), 1)
        for ax in (left, right):
            ax.imshow(grid, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
            ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, color="#D55E00", lw=2))
            ax.set_xticks([])
            ax.set_yticks([])
        left.set_title("the finest grid")
        offsets = [o[-2:] for o in ctx.causal_offsets(self._fit.config.context_size, 2)]
        for dy, dx in offsets:
            right.add_patch(Rectangle((x + dx - 0.5, y + dy - 0.5), 1, 1, fill=False,
                                      color="#0072B2"))
            if 0 <= y + dy < grid.shape[0] and 0 <= x + dx < grid.shape[1]:
                right.text(x + dx, y + dy, grid[y + dy, x + dx], ha="center", va="center",
                           fontsize=8)
        reach = 2 + max((max(map(abs, o)) for o in offsets), default=1)
        right.set_xlim(x - reach, x + reach)
        right.set_ylim(y + reach, y - reach)
        right.set_title(f"context (blue) of a latent of {bits[y, x]:.2f} bits", fontsize=10)
        return figure


def decoding_steps(fit: Fit) -> Int[np.ndarray, " latents"]:
    """In which step of the wavefront each latent is decoded, in the order of `Coded.symbols`."""
    plan = Plan(fit.config, fit.shape)
    steps = np.empty(len(plan.order), np.int32)
    for k, (part, _) in enumerate(plan.steps()):
        steps[plan.order[part]] = k
    return steps
