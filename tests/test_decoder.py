"""NumPy's synthesis is JAX's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import c3lite as c3
from c3lite.coding import pixels as decoder
from c3lite.fitting import parameters
from c3lite.model import latents, networks
from c3lite.model.codec import Codec
from c3lite.model.entropy import split
from tests.coded import CONFIGS, STEP, coded, shape_of

UPSAMPLINGS = {
    f"{method}{', recursive' * recursive}": c3.edit(
        c3.C3, num_grids=4, upsampling=method, upsampling_recursive=recursive)
    for method in ("bilinear", "bicubic", "lanczos") for recursive in (False, True)
} | {"learned": c3.edit(c3.COOL_CHIC_V2, num_grids=4),
     "learned, no finest grid": c3.edit(c3.COOL_CHIC_V2, num_grids=3, finest_grid=False)}


@pytest.mark.parametrize("shape", [(31, 50), (1, 9), (5, 12, 9)])
@pytest.mark.parametrize("name", list(UPSAMPLINGS))
def test_upsampling_is_that_of_training(name, shape):
    config, rng = UPSAMPLINGS[name], np.random.default_rng(0)
    flat = rng.normal(size=latents.count(config, shape)).astype(np.float32)
    grids = tuple(map(np.asarray, split(jnp.asarray(flat), latents.grid_shapes(config, shape))))
    kernel = None
    if config.upsampling == "learned":
        kernel = (np.asarray(latents.initial_kernel(len(shape)))
                  + 0.01 * rng.normal(size=(8,) * len(shape)).astype(np.float32))
    theirs = jax.jit(lambda g, k: latents.upsample(config, g, shape, k))(
        tuple(map(jnp.asarray, grids)), None if kernel is None else jnp.asarray(kernel))
    ours = decoder.upsample(config, grids, shape, kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_pixels_are_those_of_training(name):
    config, shape = CONFIGS[name], shape_of(name)
    # dim latents and a gray bias: random networks would clip almost all pixels to 0 or 1
    n = latents.count(config, shape)
    fit = coded(config, shape, np.random.default_rng(1).integers(-1, 2, n))
    synthesis = fit.coded.networks.synthesis
    synthesis.layers[-1].weight[:] /= 8
    synthesis.layers[-1].bias[:] = 0.5 / STEP
    for conv in synthesis.convs:
        conv.weight[:] /= 8
    codec = Codec(config, shape, key=jax.random.key(0))
    codec = parameters.with_networks(
        codec, parameters.from_integers(jax.tree.map(jnp.asarray, fit.coded.networks), STEP, STEP))
    theirs = np.asarray(jax.jit(Codec.decode)(
        codec, config, jnp.asarray(fit.coded.symbols, jnp.float32)))
    ours = decoder.synthesize(config, shape, fit.coded.symbols,
                              jax.tree.leaves(fit.coded.networks), STEP, STEP)
    assert np.mean((theirs > 0.01) & (theirs < 0.99)) > 0.3
    levels = np.round(ours * 255)
    np.testing.assert_array_equal(ours, (levels / 255).astype(np.float32))
    # within half a step, but for float32's last digits
    assert np.abs(levels - theirs.astype(np.float64) * 255).max() < 0.5 + 255e-5


def test_activation_is_that_of_training():
    x = np.linspace(-12, 12, 5001, dtype=np.float32)
    np.testing.assert_allclose(decoder.gelu(x), networks.gelu(jnp.asarray(x)), atol=1e-6)


def test_blocks_of_pixels_do_not_matter(monkeypatch):
    fit = coded(c3.C3, (61, 90))
    leaves = jax.tree.leaves(fit.coded.networks)
    arguments = (c3.C3, (61, 90), fit.coded.symbols, leaves, STEP, STEP)
    monkeypatch.setattr(decoder, "BLOCK", 10**9)
    whole = decoder.synthesize(*arguments)
    assert np.abs(whole - fit.reconstruction).max() <= 1.001 / 255
    assert (whole != fit.reconstruction).mean() < 1e-3
