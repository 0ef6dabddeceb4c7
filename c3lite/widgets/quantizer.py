"""Soft-rounding and its noise, by sliders (Eqs. 5, 19-23; Figs. 3 and 12)."""

import math

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from c3lite import plots
from c3lite.config import C3, Anneal, Config
from c3lite.ingredients.noise import kumaraswamy_b
from c3lite.model import quantize
from c3lite.widgets.base import Explorer, question, script


class QuantizerExplorer(Explorer):
    """What the decoder sees of a latent during stage 1, its gradient, and the noise.

    Sliders for the temperature T and the noise shape a, and one for the position in stage 1 that
    sets both as `config` schedules them. Raises `ValueError` for noise of another kind.
    """

    _esm = script("quantizer.js")
    title = question("What does the decoder see of a latent in stage 1?")

    def __init__(self, config: Config = C3):
        if config.noise != "kumaraswamy":
            raise ValueError(f"QuantizerExplorer shows Kumaraswamy noise, and this config has "
                             f"{config.noise} noise: give it one with noise='kumaraswamy'")
        self._config = config
        super().__init__(data={
            "temperature": _ends(config.temperature), "noise_shape": _ends(config.noise_shape),
            "second_is_s": config.second_rounding_is_s})

    def describe(self) -> str:
        start, end = self._config.temperature, self._config.noise_shape
        return (f"Soft-rounding with noise over stage 1: T from {start.start:g} to {start.end:g}, "
                f"a from {end.start:g} to {end.end:g}. Above rounding's staircase the mean of the "
                "noisy value and its 95 % band, at the start and at the end.")

    def figure(self) -> Figure:
        figure = Figure(figsize=(8.5, 3), layout="constrained")
        z = np.linspace(-1.5, 1.5, 241)
        config = self._config
        for name, progress, ax in zip(
                ("start", "end"), (0, 1), figure.subplots(1, 2, sharey=True), strict=True):
            T = float(config.temperature.linear(progress))
            a = float(config.noise_shape.linear(progress))
            band = noisy_value(z, T, a, config.second_rounding_is_s)
            plots.rounding_bands(z, {"mean, and 95 % of all draws": band}, ax)
            ax.set_title(f"{name} of stage 1: T = {T:g}, a = {a:g}")
        return figure


def noisy_value(z: np.ndarray, T: float, a: float,
                second_is_s: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, 2.5 % and 97.5 % quantile of stage 1's noisy rounding of each z, without sampling. Both
    roundings rise, so that quantiles of the noise give quantiles of the value."""
    p = np.append((np.arange(128) + 0.5) / 128, (0.025, 0.975))
    u = (1 - (1 - p) ** (1 / kumaraswamy_b(a))) ** (1 / a) - 0.5  # quantiles of Eqs. 22, 23
    outer = quantize.soft_round if second_is_s else quantize.soft_round_conditional_mean
    values = np.asarray(outer(quantize.soft_round(jnp.asarray(z), T)[:, None] + u, T))
    return values[:, :-2].mean(1), values[:, -2], values[:, -1]


def _ends(anneal: Anneal):
    # JSON has no infinity
    return [float(end) if math.isfinite(end) else None for end in (anneal.start, anneal.end)]
