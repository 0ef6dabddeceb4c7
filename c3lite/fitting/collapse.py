"""Fits that stay of one color, and what helps.

Synthesis clips pixels to [0, 1]. On bright pictures (a page of text) every pixel may soon lie above
1; then the clip, whose gradient is zero there, lets no error through, and the fit goes on to save
bits: a white page. Fits of dark pictures and of networks with ReLU can die likewise.
"""

import json
import math
import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from c3lite.config import Config, edit
from c3lite.fitting.training import History, joined

MARGIN_DB = 5.0
"""A reconstruction that is less than this above the best constant color has collapsed."""
FEWEST_STEPS = 300
"""Shorter fits are not judged."""
EARLY_MARGIN_DB = 2.0
"""The same while a fit runs."""
EARLIEST = 100
"""Steps before which a running fit is not judged."""
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


def remedy(config: Config) -> dict[str, object]:
    """What to change in a config whose fit has collapsed: the clip, or else, as bright points of a
    night sky are paid for before they are worth it, the price of bits at first; or nothing more."""
    if config.clip_gradient == "zero":
        return {"clip_gradient": "straight_through"}
    return {} if config.rate_warmup else {"rate_warmup": 0.6}


def message(x: Float[np.ndarray, "3 *shape"], mse: float, config: Config) -> str:
    """The warning of a fit that has collapsed, with the remedy."""
    db, color_db = (-10 * math.log10(error) for error in (mse, color_mse(x)))
    advice = "more steps or a smaller rd_weight may help"
    for name, value in remedy(config).items():
        advice = f"c3.edit(config, {name}={json.dumps(value)}) helps"
    return (f"the fit has collapsed: {db:.1f} dB, where the best picture of one color has "
            f"{color_db:.1f} dB; {advice}")


class Watch:
    """Looks for a collapse while a fit runs, where it is to begin again.

    A dead fit shows it at once. On small pages of text, screenshots, reds and a night sky, C3's
    were at most 1.1 dB above one color at any of 20 to 600 steps; live fits of photos and line art
    were 2.3 dB or more above it after 100 steps. Without `on_collapse` a fit begins again where the
    clip of pixels is not at fault. Raises `ValueError` for an unknown one.
    """

    def __init__(self, x: Float[np.ndarray, "3 *shape"], config: Config, on_collapse: str | None):
        self._early = config.clip_gradient == "zero"  # what dies otherwise may be late, not dead
        on_collapse = on_collapse or ("warn" if self._early else "restart")
        if on_collapse not in ("warn", "restart"):
            raise ValueError(f'on_collapse is "warn" or "restart", not {on_collapse!r}')
        self._color_mse = color_mse(x) if on_collapse == "restart" and remedy(config) else 0.0
        self._first = max(int(config.steps) // 10, EARLIEST)

    def sees_collapse(self, past: Sequence[History], ended: bool = False) -> bool:
        """Whether the fit should begin again: asked after each chunk, where from a tenth of stage 1
        on it has to be as bad as only dead fits are, and more strictly when it has `ended`."""
        steps = sum(len(part.loss) for part in past)
        if math.sqrt(self._color_mse) < FLATTEST or steps < self._first:
            return False
        judged = ended and steps >= FEWEST_STEPS
        margin = MARGIN_DB if judged else EARLY_MARGIN_DB
        mse = np.mean(joined(past[-10:]).mse[-10:])  # of one step it has the noise's luck in it
        return (judged or self._early) and bool(mse > self._color_mse * 10 ** (-margin / 10))


def restarted(config: Config) -> Config:
    """The config of a fit that begins again, and a warning that it does."""
    (name, value), = remedy(config).items()
    warnings.warn("the fit has collapsed to one color: it begins again with "
                  f"{name}={json.dumps(value)}", stacklevel=3)
    return edit(config, **remedy(config))
