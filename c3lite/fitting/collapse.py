"""Fits that stay of one color, and what helps.

Synthesis clips pixels to [0, 1]. On bright pictures (a page of text) every pixel may soon lie above
1; then the clip, whose gradient is zero there, lets no error through, and the fit goes on to save
bits: a white page. Fits of dark pictures and of networks with ReLU can die likewise.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from c3lite.config import Config

MARGIN_DB = 5.0
"""A reconstruction that is less than this above the best constant color has collapsed."""
FEWEST_STEPS = 300
"""Shorter fits are not judged."""
FLATTEST = 2 / 255
"""Pictures of a smaller standard deviation are not judged: one color is all they are."""


def color_mse(x: Float[np.ndarray, "3 *shape"]) -> float:
    """Mean squared error of the best constant color, over all frames."""
    return float(x.reshape(3, -1).var(1, dtype=np.float64).mean())


def judge(x: Float[np.ndarray, "3 *shape"], mse: float, steps: int) -> bool | None:
    """Whether a reconstruction of this MSE has collapsed; None where that cannot be said."""
    constant = color_mse(x)
    if steps < FEWEST_STEPS or math.sqrt(constant) < FLATTEST:
        return None
    return mse > constant * 10 ** (-MARGIN_DB / 10)


def message(x: Float[np.ndarray, "3 *shape"], mse: float, config: Config) -> str:
    """The warning of a fit that has collapsed, with the remedy."""
    db, color_db = (-10 * math.log10(error) for error in (mse, color_mse(x)))
    remedy = ('more steps or a smaller rd_weight may help'
              if config.clip_gradient == "straight_through" else
              'c3.edit(config, clip_gradient="straight_through") helps')
    return (f"the fit has collapsed: {db:.1f} dB, where the best picture of one color has "
            f"{color_db:.1f} dB; {remedy}")


class Watch:
    """Looks for a collapse while a fit runs, so that it can begin again."""

    def __init__(self, x: Float[np.ndarray, "3 *shape"], config: Config, on_collapse: str):
        if on_collapse not in ("warn", "restart"):
            raise ValueError(f'on_collapse is "warn" or "restart", not {on_collapse!r}')
        self.config = config
        self.collapsed = False

    def has_collapsed(self, past) -> bool:
        return False
