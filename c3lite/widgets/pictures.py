"""Pictures of one scene over each other (Fig. 25)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from c3lite import plots
from c3lite.evaluation import metrics
from c3lite.widgets.base import Explorer, lossless, question, script


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
