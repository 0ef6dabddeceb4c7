"""A fit to look into: its latent grids, one latent at a time, and what codec.js decodes."""

import itertools
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy import ndimage

from c3lite import plots
from c3lite.coding import payload
from c3lite.fitting.fit import Fit
from c3lite.ingredients.distributions import DISTRIBUTIONS
from c3lite.ingredients.upsampling import UPSAMPLINGS
from c3lite.model import context as ctx
from c3lite.model import latents
from c3lite.model.networks import is_residual
from c3lite.plots.styles import TARGET, bare, signed_picture
from c3lite.widgets.base import Explorer, clip, lossless, middle_frame, pack, question, script

TAIL_STEPS, TAIL_END = 128, 20  # entries a scale of ln P(|x| > t), up to t = 20: then it is nothing
BITS_UNIT = 15  # a latent costs at most 16 bits: this many parts of a bit fit into a byte


class LatentExplorer(Explorer):
    """The latent grids of a fit as pictures and bit maps, to switch on and off (Fig. 26), decoded
    in the browser. Raises `ValueError` for a video with a learned upsampling kernel."""

    _esm = script("codec.js", "latents.js")
    title = question("Which grid holds the edges?")

    def __init__(self, fit: Fit):
        self._fit = fit
        codec = fitted(fit)
        video = np.reshape(fit.image, (3, *codec["shape"]))  # an image: one frame
        super().__init__(data={"codec": codec, "clip": clip(video, lossless)})

    def describe(self) -> str:
        fit = self._fit
        shares = ", ".join(f"{bits.sum() / fit.pixels:.3f}" for bits in plots.latent_bits(fit))
        return (f"The picture as the decoder gives it back ({fit.psnr:.2f} dB) and its "
                f"{len(fit.grids)} latent grids, finest first, which take {shares} bits per "
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


class ContextExplorer(Explorer):
    """Step through a fit's latents in the decoder's order (Eqs. 1, 2; Figs. 2, 4, 10): context,
    prediction, and cost. Raises `ValueError` for a video with a learned upsampling kernel."""

    _esm = script("codec.js", "context.js")
    title = question("What does this latent cost, and why?")

    def __init__(self, fit: Fit):
        self._fit = fit
        self._steps = plots.decoding_steps(fit.config, fit.shape)
        self._count = 1 + max(int(steps.max()) for steps in self._steps)
        bits = plots.latent_bits(fit)
        self._grid = int(np.argmax([b.sum() for b in bits]))
        self._bits, self._symbols = bits[self._grid], fit.grids[self._grid]
        # a latent that costs something, with neighbors that are not all zero
        busy = ndimage.uniform_filter((self._symbols != 0).astype(float), 5, mode="constant")
        there = np.argmax(np.minimum(self._bits, 4) * busy)
        self._at = tuple(map(int, np.unravel_index(there, busy.shape)))
        super().__init__(data={
            "codec": fitted(fit), "step_count": self._count,
            "steps": [pack(steps) for steps in self._steps],
            "start": [self._grid, *[0] * (3 - len(self._at)), *self._at]})

    def describe(self) -> str:
        return (f"Grid {self._grid} in the decoder's order of {self._count:,} steps, and a latent "
                f"({self._symbols[self._at]}, {self._bits[self._at]:.2f} bits) with the context "
                "and the distribution that it is predicted from.")

    def figure(self) -> Figure:
        *t, y, x = self._at
        grid, steps = (values[t[0]] if t else values
                       for values in (self._symbols, self._steps[self._grid]))
        figure = Figure(figsize=(9, 3), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(4, 3, 3))
        left.set_facecolor("#484850")
        known = np.ma.masked_where(steps >= steps[y, x], grid)  # the future stays unknown
        signed_picture(bare(left), known, max(int(np.abs(self._symbols).max()), 1))
        left.plot(x, y, "o", mfc="none", mec=TARGET, mew=2)
        left.set_title(f"grid {self._grid}; dark: not decoded yet", fontsize=9)
        offsets = [o[-2:] for o in ctx.own_offsets(self._fit.config, 2)]
        reach = max(map(abs, itertools.chain((1,), *offsets)))
        around = np.pad(grid, reach)[y : y + 2 * reach + 1, x : x + 2 * reach + 1]
        plots.context_window(offsets, middle, values=around)
        middle.set_title("a latent (orange) and its context", fontsize=9)
        mu, scale = (float(part[self._grid][self._at]) for part in plots.predicted(self._fit))
        plots.prediction(mu, scale, int(self._symbols[self._at]), right,
                         distribution=self._fit.config.latent_distribution)
        right.set_title("predicted; orange:\n" + right.get_title().partition("; ")[2], fontsize=9)
        return figure


def fitted(fit: Fit) -> dict[str, Any]:
    """Everything that the decoder and the entropy model are, for `FittedCodec` in codec.js. Images
    become videos of one frame: all shapes and offsets have three axes."""
    config, networks = fit.config, fit.networks
    kernel = UPSAMPLINGS[config.upsampling]
    learned = kernel.is_learned
    if learned and len(fit.shape) == 3:
        raise ValueError("a video with a learned upsampling kernel cannot be explored; "
                         "fit it with upsampling='bicubic'")
    one_each = config.entropy_per_grid or config.entropy_film or config.grid_features > 0
    branch = networks.synthesis.branch
    t = np.arange(TAIL_END * TAIL_STEPS + 1) / TAIL_STEPS
    return {
        "shape": _three(fit.shape, 1),
        "grids": _grids(fit, one_each, learned), "bits_unit": BITS_UNIT,
        "q": float(config.quantization_step),
        "log_scale_shift": float(config.log_scale_shift),
        "scale_min": float(config.scale_min), "scale_max": float(config.scale_max),
        "tail_steps": TAIL_STEPS,
        "log_tails": pack(np.log(DISTRIBUTIONS[config.latent_distribution].tails(t, 1.0))),
        "activation": config.activation, "rgb_activation": config.rgb_activation,
        "kernel": pack(networks.upsampling) if learned else None,
        "separable": kernel.is_separable,
        "layers": _layers(config, networks.synthesis.layers),
        "branch": None if branch is None else _layer(*_arrays(branch)),
        "convs": [{"weight": pack(np.reshape(c.weight, (3, 3, *_three(c.weight.shape[2:], 1)))),
                   "bias": pack(c.bias)} for c in networks.synthesis.convs],
        "networks": [_network(config, networks.entropy, n)
                     for n in range(len(fit.grids) if one_each else 1)]}


def _grids(fit, one_each, learned):
    config, ndim = fit.config, len(fit.shape)
    return [{
        "shape": _three(grid.shape, 1), "exponent": exponent, "symbols": pack(grid),
        "bits": pack(np.rint(BITS_UNIT * bits).astype(int)), "total_bits": float(bits.sum()),
        "offsets": [_three(o, 0) for o in ctx.grid_offsets(config, ndim, n)],
        "previous": [_three(o, 0) for o in ctx.previous_offsets(config, ndim)],
        "network": n if one_each else 0, "above": ctx.ancestors(config, n),
        # along each axis, time first
        "up": None if learned else [
            band(latents.path_matrix(path, config.upsampling)) for path in
            ((1,),) * (3 - ndim) + latents.resize_paths(config, fit.shape, n)],
    } for n, (grid, bits, exponent) in enumerate(zip(
        fit.grids, plots.latent_bits(fit), latents.exponents(config), strict=True))]


def _three(values, filled):
    return [filled] * (3 - len(values)) + [int(v) for v in values]


def _arrays(layer):
    return np.asarray(layer.weight), np.asarray(layer.bias)


def _layer(weight, bias, residual=False):
    return {"weight": pack(weight), "bias": pack(bias), "residual": residual}


def _layers(config, layers):
    return [_layer(*_arrays(layer), i < len(layers) - 1
                   and is_residual(config, *layer.weight.shape[::-1]))
            for i, layer in enumerate(layers)]


def _network(config, entropy, n):
    """The layers and the branch of a grid, its features as inputs of their own."""
    layers, branch = entropy.network(n), entropy.branch(n)
    packed = _layers(config, layers)
    features = _arrays(entropy.features[n]) if n < len(entropy.features) else None

    def seen(layer, added=0.0):
        weight, bias = _arrays(layer)
        return _layer(*payload.seen(config, weight + added, bias, features))

    if config.grid_features:
        # what a residual layer adds are features, too
        packed[0] = seen(layers[0], np.eye(len(layers[0].weight)) if packed[0]["residual"] else 0.0)
    return {"layers": packed, "branch": None if branch is None else seen(branch)}


def band(matrix: Float[np.ndarray, "n_out n_in"]) -> dict[str, Any]:
    """A matrix of few entries a row: the first column of each row's taps, and the taps."""
    used = matrix != 0
    first = used.argmax(1)
    end = matrix.shape[1] - used[:, ::-1].argmax(1)
    width = int((end - first).max())
    first = np.minimum(first, matrix.shape[1] - width)
    taps = np.take_along_axis(matrix, first[:, None] + np.arange(width), 1)
    return {"first": pack(first), "taps": pack(taps)}
