"""Made-up fits for the browser, with every network weight different from zero."""

import dataclasses
import functools

import jax
import numpy as np

import c3lite as c3
from c3lite import decoder
from tests import made

CONFIGS = {
    "C3": c3.edit(c3.C3, num_grids=4),
    "previous grid, FiLM, Lanczos": c3.edit(
        c3.C3_CLIC, num_grids=3, finest_grid=False, entropy_film=True, upsampling="lanczos"),
    "COOL-CHIC, a network for each grid": c3.edit(
        c3.COOL_CHIC, num_grids=3, entropy_per_grid=True),
    "COOL-CHICv2": c3.edit(c3.COOL_CHIC_V2, num_grids=4),
    "video": c3.edit(c3.C3, num_grids=3, context_size=(3, 5, 5)),
}
"""Between them everything that changes what a decoder does."""


def shape_of(name):
    return (6, 21, 34) if name.startswith("video") else (37, 50)


@functools.cache
def fit(shape, config, seed=0):
    """`made.fit`, its networks moved at random, and what they decode to."""
    found = made.fit(shape, config, seed)
    rng = np.random.default_rng(seed)
    networks = jax.tree.map(
        lambda a: np.asarray(a + np.round(rng.normal(0, 60, a.shape)), np.float32),
        found.coded.networks)
    return dataclasses.replace(
        found, coded=found.coded._replace(networks=networks),
        reconstruction=decoder.synthesize(config, shape, found.coded.symbols,
                                          jax.tree.leaves(networks), made.STEP, made.STEP))
