"""Where the entropy model looks in the previous frame (App. A.3; Figs. 14 and 15)."""

from jaxtyping import ArrayLike, Float
from matplotlib.figure import Figure

from c3lite import plots
from c3lite.fitting.fit import check_image
from c3lite.model import context as ctx
from c3lite.model import latents
from c3lite.video.masks import LearnedOffsets
from c3lite.widgets.base import Explorer, clip, jpeg, pack, question, script


class MaskExplorer(Explorer):
    """The heat maps of `learn_offsets`, their boxes, and the clip with both drawn on.

    displacement: (dy, dx), where known: how far the same content was away in the previous frame,
    in pixels, which is the same number of latents on every grid.
    """

    _esm = script("mask.js")
    title = question("Where does the codec look in the frame before?")

    def __init__(self, result: LearnedOffsets,
                 video: Float[ArrayLike, "3 frames height width"],
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
            f" The true displacement is dy {self._displacement[0]:g}, "
            f"dx {self._displacement[1]:g}.")
        return f"Heat maps of first-layer weights and the learned masks: {boxes}.{known}"

    def figure(self) -> Figure:
        maps = self._result.heat_maps
        figure = Figure(figsize=(3 * len(maps), 3.2), layout="constrained")
        axes = figure.subplots(1, len(maps), squeeze=False)[0]
        motion = None if self._displacement is None else self._displacement[::-1]
        for n, ax in enumerate(axes):
            plots.mask_heat_map(self._result, n, ax, motion=motion).set_title(f"grid {n}")
        return figure
