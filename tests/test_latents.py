"""Grid shapes, gains and upsampling against the text's formulas and JAX's own resize."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c3lite import C3, COOL_CHIC, COOL_CHIC_V2, edit
from c3lite.model import latents


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 10), st.booleans())
def test_grid_shapes_halve_and_round_up(h, w, n, finest):
    sizes = latents.grid_shapes(edit(C3, num_grids=n, finest_grid=finest), (h, w))
    assert len(sizes) == n
    first = 0 if finest else 1
    for i, size in enumerate(sizes):
        assert size == tuple(int(np.ceil(side / 2 ** (i + first))) for side in (h, w))


def test_kodak_has_524256_latents():
    assert latents.count(C3, (512, 768)) == 524_256


def test_gains_are_powers_of_two():
    np.testing.assert_array_equal(latents.initial_gains(C3), 2.0 ** np.arange(7))
    without = latents.initial_gains(edit(C3, finest_grid=False))
    np.testing.assert_array_equal(without, 2.0 ** np.arange(1, 8))


@settings(max_examples=12)
@given(st.integers(1, 20), st.integers(1, 60), st.sampled_from(["bilinear", "bicubic", "lanczos"]))
def test_resize_matrix_is_jax_image_resize(n_in, extra, method):
    n_out = n_in + extra
    name = {"bilinear": "linear", "bicubic": "cubic", "lanczos": "lanczos3"}[method]
    with jax.enable_x64(True):  # its rounding is not what is compared
        theirs = np.asarray(jax.image.resize(jnp.eye(n_in), (n_out, n_in), name))
    np.testing.assert_allclose(latents.resize_matrix(n_in, n_out, method), theirs, atol=2e-6)


@pytest.mark.parametrize("shape", [(16, 24), (13, 7), (5, 12, 9), (1, 1), (1, 40)])
@pytest.mark.parametrize("config", [
    C3, edit(C3, finest_grid=False), edit(C3, upsampling="bicubic"),
    edit(C3, upsampling="lanczos")], ids=["bilinear", "no finest grid", "bicubic", "lanczos"])
def test_direct_upsampling_is_one_resize_to_full_size(config, shape):
    grids = tuple(jr.normal(jr.key(i), s) for i, s in enumerate(latents.grid_shapes(config, shape)))
    up = jax.jit(lambda grids: latents.upsample(config, grids, shape))(grids)
    name = {"bilinear": "linear", "bicubic": "cubic", "lanczos": "lanczos3"}[config.upsampling]
    for grid, full in zip(grids, up, strict=True):
        np.testing.assert_allclose(full, jax.image.resize(grid, shape, name), atol=2e-5)


@pytest.mark.parametrize("shape", [(16, 24), (13, 7), (5, 12, 9)])
def test_recursive_upsampling_goes_from_grid_to_grid(shape):
    sizes = latents.grid_shapes(COOL_CHIC, shape)
    grids = tuple(jr.normal(jr.key(i), s) for i, s in enumerate(sizes))
    up = latents.upsample(COOL_CHIC, grids, shape)
    for n, grid in enumerate(grids):
        for size in reversed(sizes[:n]):
            grid = jax.image.resize(grid, size, "cubic")
        np.testing.assert_allclose(up[n], grid, atol=3e-5)


def test_learned_doubling_starts_at_bicubic():
    grid = jr.normal(jr.key(0), (9, 11))
    ours = latents.double(grid, latents.initial_kernel(COOL_CHIC_V2, 2), (18, 22))
    # the kernel's taps are Keys's cubic with a = -0.75, at half-pixel centers
    def cubic(d, a=-0.75):
        near, far = ((a + 2) * d - (a + 3)) * d * d + 1, a * (((d - 5) * d + 8) * d - 4)
        return np.where(d <= 1, near, np.where(d < 2, far, 0))

    def matrix(n):
        centers = (np.arange(2 * n) + 0.5) / 2 - 0.5
        padded = np.arange(-4, n + 4)
        weights = cubic(abs(centers[:, None] - padded))
        folded = np.zeros((2 * n, n))  # replicated edges
        for column, source in enumerate(np.clip(padded, 0, n - 1)):
            folded[:, source] += weights[:, column]
        return folded

    np.testing.assert_allclose(ours, matrix(9) @ np.asarray(grid) @ matrix(11).T, atol=2e-5)


@pytest.mark.parametrize("shape", [(16, 24), (13, 7)])
def test_learned_upsampling_raises_every_grid(shape):
    sizes = latents.grid_shapes(COOL_CHIC_V2, shape)
    grids = tuple(jnp.full(s, float(i)) for i, s in enumerate(sizes))
    up = latents.upsample(COOL_CHIC_V2, grids, shape, latents.initial_kernel(COOL_CHIC_V2, 2))
    assert up.shape == (7, *shape)
    for i, full in enumerate(up):  # the kernel's phases sum to one, so constants stay
        np.testing.assert_allclose(full, i, atol=1e-4 * max(i, 1))
