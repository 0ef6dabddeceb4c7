"""NumPy's synthesis is JAX's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import c3lite as c3
from c3lite.coding import pixels as decoder
from c3lite.fitting import parameters
from c3lite.model import latents
from c3lite.model.codec import Codec
from tests.coded import CONFIGS, coded, real_arrays, shape_of

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
    grids = latents.split(flat, latents.grid_shapes(config, shape))
    kernel = None
    if config.upsampling == "learned":
        kernel = (np.asarray(latents.initial_kernel(config, len(shape)))
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
    steps = parameters.array_steps(fit.coded.networks, fit.coded.steps)
    synthesis.layers[-1].bias[:] = 0.5 / steps.synthesis.layers[-1].bias
    for conv in synthesis.convs:
        conv.weight[:] /= 8
    if synthesis.branch is not None:
        synthesis.branch.weight[:] /= 8
    codec = Codec(config, shape, key=jax.random.key(0))
    codec = parameters.with_networks(codec, parameters.from_integers(
        jax.tree.map(jnp.asarray, fit.coded.networks), *fit.coded.steps))
    theirs = np.asarray(jax.jit(Codec.decode)(
        codec, config, jnp.asarray(fit.coded.symbols, jnp.float32)))
    ours = decoder.synthesize(config, shape, fit.coded.symbols, real_arrays(config, fit.coded))
    assert np.mean((theirs > 0.01) & (theirs < 0.99)) > 0.3
    levels = np.round(ours * 255)
    np.testing.assert_array_equal(ours, (levels / 255).astype(np.float32))
    # within half a step, but for float32's last digits
    assert np.abs(levels - theirs.astype(np.float64) * 255).max() < 0.5 + 255e-5


def test_blocks_of_pixels_do_not_matter(monkeypatch):
    fit = coded(c3.C3, (61, 90))
    arguments = (c3.C3, (61, 90), fit.coded.symbols, real_arrays(c3.C3, fit.coded))
    monkeypatch.setattr(decoder, "BLOCK", 10**9)
    whole = decoder.synthesize(*arguments)
    assert np.abs(whole - fit.reconstruction).max() <= 1.001 / 255
    assert (whole != fit.reconstruction).mean() < 1e-3


# Products in parts are the products, to the bit where they are of whole numbers.

sizes = st.integers(1, 40)


@given(sizes, sizes, sizes, st.integers(1, 5000), st.integers(0, 9))
def test_products_of_whole_numbers_are_exact(m, k, n, largest, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(-(2**20), 2**20, s).astype(np.float64) for s in ((m, k), (k, n)))
    usual, decoder.LARGEST = decoder.LARGEST, largest
    try:
        found = decoder.product(a, b)
    finally:
        decoder.LARGEST = usual
    np.testing.assert_array_equal(found, a.astype(np.int64) @ b.astype(np.int64))


def test_no_part_is_larger_than_allowed(monkeypatch):
    asked = []

    def matmul(a, b, out):
        asked.append(a.shape[0] * a.shape[1] * b.shape[1])
        return np.multiply(1, np.dot(a, b), out=out)

    rng = np.random.default_rng(0)
    monkeypatch.setattr(decoder.np, "matmul", matmul)
    for m, k, n in ((3000, 121, 16), (32, 32, 2048), (3, 81, 1920)):
        a, b = rng.random((m, k)), rng.random((k, n))
        np.testing.assert_allclose(decoder.product(a, b), a @ b)
    assert len(asked) > 20 and max(asked) <= decoder.LARGEST


def test_interpolation_along_an_axis_is_the_whole_matrix_product():
    grid = np.random.default_rng(0).random((9, 33, 20), np.float32)
    for axis, path in ((0, (9, 18)), (1, (33, 70)), (2, (20, 160))):
        for method in ("bilinear", "bicubic"):
            matrix = latents.path_matrix(path, method)
            whole = np.moveaxis(np.tensordot(matrix, grid, ((1,), (axis,))), 0, axis)
            found = decoder.along(matrix, grid, axis)
            assert found.dtype == whole.dtype
            np.testing.assert_allclose(found, whole, rtol=1e-6, atol=1e-6)
