"""Fits that were never fitted, for tests of files: random networks, and symbols of one's choice."""

import jax
import numpy as np

import c3lite as c3
from c3lite.coding import header
from c3lite.coding import pixels as decoder
from c3lite.fitting import parameters
from c3lite.fitting.fit import Fit
from c3lite.fitting.training import History
from c3lite.model import latents
from c3lite.model.codec import Codec

STEP = 1e-3

CONFIGS = {
    "c3": c3.C3,
    "c3-clic": c3.C3_CLIC,
    "cool-chic": c3.COOL_CHIC,
    "cool-chic-v2": c3.COOL_CHIC_V2,
    "no finest grid, lanczos": c3.edit(c3.C3, finest_grid=False, upsampling="lanczos"),
    "per grid": c3.edit(c3.C3, entropy_per_grid=True, num_grids=4),
    "film": c3.edit(c3.C3_CLIC, entropy_film=True, num_grids=4),
    "no hidden layer": c3.edit(c3.C3, entropy_widths=(), synthesis_widths=()),
    "features": c3.edit(c3.C3, grid_features=6, num_grids=5, residual_layers=True),
    "linear branches": c3.edit(c3.C3, linear_branches=True, num_grids=3),
    "separable upsampling": c3.edit(c3.C3, upsampling="separable", num_grids=4),
    "all that came after C3": c3.edit(
        c3.C3, grid_features=6, featured_grids=3, hyper_grids=3, context_taps=14, num_grids=6,
        linear_branches=True, upsampling="separable", steps_per_network=True, residual_layers=True,
        entropy_widths=(20, 20), synthesis_widths=(48,)),
    "a step for each array": c3.edit(c3.C3, steps_per_array=True, num_grids=3),
    "gaussians": c3.edit(c3.C3, latent_distribution="gaussian", num_grids=3),
    "video, features": c3.edit(
        c3.C3, context_size=(3, 5, 5), num_grids=4, grid_features=2, featured_grids=2,
        linear_branches=True, context_taps=5, upsampling="separable", entropy_per_grid=True,
        latent_distribution="two_laplaces"),
    "video": c3.edit(c3.C3, context_size=(3, 5, 5), num_grids=3),
    "video, previous grid": c3.edit(
        c3.C3, context_size=(3, 5, 5), num_grids=3, previous_grid_size=3, entropy_per_grid=True),
    "video, mask": c3.edit(
        c3.C3, num_grids=4, mask_shape=(4, 4), masked_grids=2, mask_origins=((-2, 3), (5, -7)),
        entropy_per_grid=True, synthesis_per_frame=True),
}
"""Every preset, and every kind of context, network and upsampling."""


def shape_of(name: str) -> tuple[int, ...]:
    """A small shape with odd sides."""
    return (4, 15, 18) if name.startswith("video") else (31, 50)


def real_arrays(config, full: parameters.Quantized, dtype=np.float32) -> header.Arrays:
    """What a decoder has of a fit's networks."""
    return header.real_arrays(
        header.take_apart(config, jax.tree.leaves(full.networks)), full.steps, dtype)


def coded(config, shape, symbols=None, seed=0) -> Fit:
    """A `Fit` with random networks, and random symbols if none are given."""
    rng = np.random.default_rng(seed)
    like = jax.eval_shape(lambda: parameters.networks_of(
        Codec(config, shape, key=jax.random.key(0))))
    leaves, structure = jax.tree.flatten(like)
    sizes = [a.shape[1] ** -0.5 if len(a.shape) > 1 else 0.1 for a in leaves]
    steps = (STEP,) * header.count_of_steps(config) or header.ARRAY_STEPS[14 : 14 + len(leaves)]
    each = jax.tree.leaves(parameters.array_steps(like, steps))
    networks = jax.tree.unflatten(structure, [
        np.round(rng.normal(size=a.shape) * size / step).astype(np.float32)
        for a, size, step in zip(leaves, sizes, each, strict=True)])
    if symbols is None:
        symbols = np.round(rng.laplace(size=latents.count(config, shape), scale=2))
    full = parameters.Quantized(symbols.astype(np.int32), networks, steps)
    image = decoder.synthesize(config, shape, full.symbols, real_arrays(config, full))
    codec = jax.eval_shape(lambda: Codec(config, shape, key=jax.random.key(0)))
    past = History(*(np.zeros(0, np.float32) for _ in History._fields))
    return Fit(image=image, config=config, codec=codec, coded=full, reconstruction=image, bits={},
               psnr=0.0, history=past, seconds=0.0)
