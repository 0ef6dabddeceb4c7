"""Made-up fits for the browser, with every network weight different from zero."""

import dataclasses
import functools

import equinox as eqx
import jax
import numpy as np

import c3lite as c3
from c3lite import config
from c3lite.coding import pixels as decoder
from c3lite.fitting.training import History
from c3lite.video import masks as video
from tests import made
from tests.coded import real_arrays

CONFIGS = {
    "C3": c3.edit(c3.C3, num_grids=4),
    "previous grid, FiLM, Lanczos": c3.edit(
        c3.C3_CLIC, num_grids=3, finest_grid=False, entropy_film=True, upsampling="lanczos"),
    "COOL-CHIC, a network for each grid": c3.edit(
        c3.COOL_CHIC, num_grids=3, entropy_per_grid=True),
    "COOL-CHICv2": c3.edit(c3.COOL_CHIC_V2, num_grids=4),
    "what came after C3": c3.edit(
        c3.C3, num_grids=4, grid_features=3, featured_grids=2, hyper_grids=2, context_taps=11,
        linear_branches=True, residual_layers=True, entropy_widths=(14, 14),
        upsampling="separable", latent_distribution="gaussian"),
    "video": c3.edit(c3.C3, num_grids=3, context_size=(3, 5, 5),
                     latent_distribution="two_laplaces"),
}
"""Between them everything that changes what a decoder does."""


def shape_of(name):
    return (6, 21, 34) if name.startswith("video") else (37, 50)


@functools.cache
def fit(shape, config, seed=0):
    """`made.fit`, its networks moved at random to middling scales and grays, and what they decode
    to."""
    found = made.fit(shape, config, seed)
    rng = np.random.default_rng(seed)
    networks = jax.tree.map(
        lambda a: np.asarray(a + np.round(rng.normal(0, 60, a.shape)), np.float32),
        found.coded.networks)
    scale = -np.float32(config.log_scale_shift / made.STEP)  # so that scales are about 1
    networks = eqx.tree_at(
        lambda n: [*(layers[-1].bias for layers in n.entropy.networks),
                   n.synthesis.layers[-1].bias], networks,
        replace_fn=lambda b: b + (np.array([0, scale], np.float32) if len(b) == 2
                                  else np.float32(0.5 / made.STEP)))
    return dataclasses.replace(
        found, coded=found.coded._replace(networks=networks),
        reconstruction=decoder.synthesize(
            config, shape, found.coded.symbols,
            real_arrays(config, found.coded._replace(networks=networks))))


LIVE = c3.edit(
    c3.C3, num_grids=2, synthesis_widths=(4,), synthesis_residual_convs=0, entropy_widths=(4,),
    context_size=(3, 3), steps=10**6, parameter_steps=(1e-3,))
"""Compiled in a moment, and not at an end before it is stopped."""


def learned():
    """Heat maps with a bright spot each, and their boxes."""
    rng = np.random.default_rng(0)
    masked = config.ADAPTIVE_UVG[6]
    maps = []
    for n in range(3):
        heat = np.abs(rng.normal(0, 0.01, (65, 65)))
        heat[32 + 4 : 32 + 8, 32 - 20 : 32 - 16] += 0.1 / (n + 1)
        maps.append(heat.astype(np.float32))
    masked = c3.edit(masked, mask_origins=((4, -20),) * 3)
    return video.LearnedOffsets(masked, tuple(maps), History(*[np.zeros(1, np.float32)] * 4), 1.0)


def clip():
    """A window that moves over a picture by (5, -18) a frame."""
    x = c3.data.kodak(23)
    return np.stack([x[:, 100 + 5 * t : 196 + 5 * t, 300 - 18 * t : 444 - 18 * t]
                     for t in range(6)], 1)
