"""Latent grids, and what each adds to the picture (Fig. 26)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from c3lite import plots
from c3lite.fitting.fit import Fit
from c3lite.widgets.base import ClipExplorer, lossless, middle_frame, question, script
from c3lite.widgets.fitted import fitted


class LatentExplorer(ClipExplorer):
    """The latent grids of a fit as pictures and bit maps, to switch on and off.

    The browser decodes every combination itself, of a video one frame at a time. Raises
    `ValueError` for a video with a learned upsampling kernel.
    """

    _esm = script("codec.js", "latents.js")
    title = question("Which grid holds the edges?")

    def __init__(self, fit: Fit):
        self._fit = fit
        codec = fitted(fit)
        video = np.reshape(fit.image, (3, *codec["shape"]))  # an image: one frame
        clip = self.send_frames(video, lossless, first=video.shape[1] // 2)
        super().__init__(data={"codec": codec, "clip": clip})

    def describe(self) -> str:
        fit = self._fit
        shares = ", ".join(f"{bits.sum() / fit.pixels:.3f}" for bits in plots.latent_bits(fit))
        return (f"The picture as the decoder gives it back ({fit.psnr:.2f} dB) and its "
                f"{fit.config.num_grids} latent grids, finest first, which take {shares} bits per "
                "pixel.")

    def figure(self) -> Figure:
        fit = self._fit
        height, width = fit.shape[-2:]
        aspect = float(np.clip(height / width, 0.2, 2))
        figure = Figure(figsize=(9, 1.3 + 9 * 0.4 * aspect), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(2, 3))
        plots.image(middle_frame(fit.reconstruction), left).set_title("reconstruction")
        plots.latent_grids(fit, right, frame=0 if len(fit.shape) == 2 else fit.shape[0] // 2)
        return figure
