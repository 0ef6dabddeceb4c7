"""Soft-rounding and its noise, by sliders (Eqs. 5, 19-23; Figs. 3 and 12)."""

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from c3lite import plots
from c3lite.config import C3
from c3lite.ingredients.noise import kumaraswamy_b
from c3lite.model import quantize
from c3lite.widgets.base import Explorer, question, script


class QuantizerExplorer(Explorer):
    """What the decoder sees of a latent during stage 1, its gradient, and the noise, by sliders for
    the temperature T, the noise shape a, and the position in C3's stage 1, which sets both."""

    _esm = script("quantizer.js")
    title = question("What does the decoder see of a latent in stage 1?")

    def __init__(self):
        super().__init__(data={
            name: [anneal.start, anneal.end]
            for name, anneal in (("temperature", C3.temperature), ("noise_shape", C3.noise_shape))})

    def describe(self) -> str:
        T, a = C3.temperature, C3.noise_shape
        return (f"Soft-rounding with noise over stage 1: T from {T.start:g} to {T.end:g}, "
                f"a from {a.start:g} to {a.end:g}. Above rounding's staircase the mean of the "
                "noisy value and its 95 % band, at the start and at the end.")

    def figure(self) -> Figure:
        figure = Figure(figsize=(8.5, 3), layout="constrained")
        z = np.linspace(-1.5, 1.5, 241)
        for name, progress, ax in zip(
                ("start", "end"), (0, 1), figure.subplots(1, 2, sharey=True), strict=True):
            T, a = (float(x.linear(progress)) for x in (C3.temperature, C3.noise_shape))
            plots.rounding_bands(z, {"mean, and 95 % of all draws": noisy_value(z, T, a)}, ax)
            ax.set_title(f"{name} of stage 1: T = {T:g}, a = {a:g}")
        return figure


def noisy_value(z: np.ndarray, T: float, a: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, 2.5 % and 97.5 % quantile of stage 1's noisy rounding of each z, without sampling. Both
    roundings rise, so that quantiles of the noise give quantiles of the value."""
    p = np.append((np.arange(128) + 0.5) / 128, (0.025, 0.975))
    u = (1 - (1 - p) ** (1 / kumaraswamy_b(a))) ** (1 / a) - 0.5  # quantiles of Eqs. 22, 23
    values = np.asarray(quantize.soft_round_conditional_mean(
        quantize.soft_round(jnp.asarray(z), T)[:, None] + u, T))
    return values[:, :-2].mean(1), values[:, -2], values[:, -1]
