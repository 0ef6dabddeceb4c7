"""Pictures of one scene over each other (Fig. 25), where the entropy model looks in the previous
frame (App. A.3; Figs. 14 and 15), and soft-rounding by sliders (Eqs. 5, 19-23; Figs. 3 and 12)."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float
from matplotlib.figure import Figure

from c3lite import plots
from c3lite.config import C3
from c3lite.evaluation import metrics
from c3lite.fitting.fit import check_image
from c3lite.ingredients.noise import kumaraswamy_b
from c3lite.model import context as ctx
from c3lite.model import latents, quantize
from c3lite.video.masks import LearnedOffsets
from c3lite.widgets.base import Explorer, clip, jpeg, lossless, pack, question, script


class Compare(Explorer):
    """A viewer to wipe or flip between pictures of one scene, all at one zoom.

    images: names and pictures: arrays (3, height, width) in [0, 1], fits of images, or what
    `c3lite.codecs` gives back, whose rates are of real files; PSNR is against the first. Raises
    `ValueError` for fewer than two pictures, of different shapes, or not pictures.
    """

    _esm = script("pictures.js")
    title = question("Can you see the difference?")

    def __init__(self, images: Mapping[str, Any]):
        if len(images) < 2:
            raise ValueError(f"compare needs two pictures or more, not {len(images)}")
        self._images = {name: np.asarray(getattr(x, "reconstruction", x))
                        for name, x in images.items()}
        sizes = {x.shape for x in self._images.values()}
        if len(sizes) > 1:
            raise ValueError(f"compare needs pictures of one shape, got {sorted(sizes)}")
        first = next(iter(self._images.values()))
        self._words = {}
        for name, x in self._images.items():
            parts = [name]
            if (bpp := getattr(images[name], "bpp", None)) is not None:
                parts.append(f"{bpp:.3f} bits per pixel")
            if x is not first:
                parts.append(f"{metrics.psnr(x, first):.2f} dB")
            self._words[name] = ", ".join(parts)
        super().__init__(data={"pictures": [
            {"name": name, "words": self._words[name], **lossless(x)}
            for name, x in self._images.items()]})

    def describe(self) -> str:
        return "Side by side: " + "; ".join(self._words.values())

    def figure(self) -> Figure:
        count = len(self._images)
        height, width = next(iter(self._images.values())).shape[1:]
        columns = 2 if count in (2, 4) else 3
        rows = -(-count // columns)
        figure = Figure(figsize=(9, rows * (0.4 + 9 / columns * min(height / width, 2))),
                        layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax in axes:
            ax.axis("off")
        for ax, (name, x) in zip(axes, self._images.items(), strict=False):
            plots.image(x, ax).set_title(self._words[name].replace(" bits per pixel", " bpp"),
                                         fontsize=9)
        return figure


compare = Compare


class MaskExplorer(Explorer):
    """The heat maps of `learn_offsets`, their boxes, and the clip with both drawn on.

    displacement: (dy, dx), where known: how far the same content was away in the previous frame,
    in pixels, which is the same number of latents on every grid.
    """

    _esm = script("mask.js")
    title = question("Where does the codec look in the frame before?")

    def __init__(self, result: LearnedOffsets, video: Float[ArrayLike, "3 frames height width"],
                 displacement: tuple[float | int, float | int] | None = None):
        self._result, self._displacement = result, displacement
        config = result.config
        super().__init__(data={
            "heat_maps": [pack(heat) for heat in result.heat_maps],
            "boxes": [[box.dy, box.dx] for box in result.boxes],
            "size": list(config.mask_shape),
            "exponents": list(latents.exponents(config)[: len(result.boxes)]),
            "truth": None if displacement is None else [float(d) for d in displacement],
            "offsets": [list(o[-2:]) for o in ctx.own_offsets(config, 2)],
            "clip": clip(check_image(video), lambda x: jpeg(x, 88))})

    def describe(self) -> str:
        boxes = "; ".join(
            f"grid {n}: dy {b.dy} to {b.dy + b.height - 1}, dx {b.dx} to {b.dx + b.width - 1}"
            for n, b in enumerate(self._result.boxes))
        known = "" if self._displacement is None else (
            " The true displacement is dy {:g}, dx {:g}.".format(*self._displacement))
        return f"Heat maps of first-layer weights and the learned masks: {boxes}.{known}"

    def figure(self) -> Figure:
        maps = self._result.heat_maps
        figure = Figure(figsize=(3 * len(maps), 3.2), layout="constrained")
        axes = figure.subplots(1, len(maps), squeeze=False)[0]
        motion = None if self._displacement is None else self._displacement[::-1]
        for n, ax in enumerate(axes):
            plots.mask_heat_map(self._result, n, ax, motion=motion).set_title(f"grid {n}")
        return figure


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
        figure = Figure(figsize=(11, 3.6), layout="constrained")
        z = np.linspace(-1.5, 1.5, 241)
        for name, progress, ax in zip(
                ("start", "end"), (0, 1), figure.subplots(1, 2, sharey=True), strict=True):
            T, a = (float(x.linear(progress)) for x in (C3.temperature, C3.noise_shape))
            plots.rounding_bands(z, {"mean, and 95 % of all draws": noisy_value(z, T, a)}, ax)
            ax.set_title(f"{name} of stage 1: T = {T:g}, a = {a:g}")
            ax.label_outer()
        return figure


def noisy_value(z: np.ndarray, T: float, a: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, 2.5 % and 97.5 % quantile of stage 1's noisy rounding of each z, without sampling. Both
    roundings rise, so that quantiles of the noise give quantiles of the value."""
    p = np.append((np.arange(128) + 0.5) / 128, (0.025, 0.975))
    u = (1 - (1 - p) ** (1 / kumaraswamy_b(a))) ** (1 / a) - 0.5  # quantiles of Eqs. 22, 23
    values = np.asarray(quantize.soft_round_conditional_mean(
        quantize.soft_round(jnp.asarray(z), T)[:, None] + u, T))
    return values[:, :-2].mean(1), values[:, -2], values[:, -1]
