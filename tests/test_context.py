"""Contexts: causality by gradient, and the fast paths against a naive loop (Eqs. 7, 8, 10)."""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c3lite import C3, C3_CLIC, edit
from c3lite.model import context
from c3lite.model.entropy import EntropyModel
from c3lite.model.latents import grid_shapes


def naive(grid, offsets):
    """The context of each position, looked up one by one."""
    rows = np.zeros((len(offsets), grid.size), np.float32)
    for column, position in enumerate(itertools.product(*map(range, grid.shape))):
        for row, offset in enumerate(offsets):
            at = tuple(p + o for p, o in zip(position, offset, strict=True))
            if all(0 <= i < n for i, n in zip(at, grid.shape, strict=True)):
                rows[row, column] = grid[at]
    return rows


@pytest.mark.parametrize(("size", "ndim", "count"), [
    ((7, 7), 2, 24), ((5, 5), 2, 12), ((3, 9, 9), 3, 121), ((7, 7), 3, 24), ((3, 9, 9), 2, 40)])
def test_causal_offsets_are_half_the_window(size, ndim, count):
    offsets = context.causal_offsets(size, ndim)
    assert len(offsets) == count
    assert list(offsets) == sorted(offsets)
    assert all(o < (0,) * ndim for o in offsets)


shapes = st.one_of(st.tuples(st.integers(1, 9), st.integers(1, 9)),
                   st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)))


@settings(max_examples=10)
@given(st.lists(shapes, min_size=1, max_size=3).filter(lambda s: len({len(x) for x in s}) == 1),
       st.integers(0, 40), st.sampled_from([(3, 3), (5, 3), (3, 3, 5)]))
def test_stacked_contexts_equal_a_naive_loop(grid_sizes, small, size):
    grid_sizes = sorted(grid_sizes, key=np.prod, reverse=True)
    grids = [jr.normal(jr.key(i), s) for i, s in enumerate(grid_sizes)]
    offsets = context.causal_offsets(size, len(grid_sizes[0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "SMALL_GRID", small)  # some grids sliced, some gathered
        stacked = jax.jit(context.stack_contexts, static_argnums=1)(grids, offsets)
    expected = np.concatenate([naive(np.asarray(g), offsets) for g in grids], axis=1)
    np.testing.assert_array_equal(stacked, expected)


@pytest.mark.parametrize("config", [
    C3, C3_CLIC, edit(C3, entropy_per_grid=True), edit(C3, entropy_film=True)],
    ids=["C3", "previous grid", "per grid", "FiLM"])
def test_mu_and_scale_depend_on_nothing_later(config):
    config = edit(config, num_grids=3)
    shape = (6, 7)
    model = EntropyModel(config, 2, key=jr.key(0))
    sizes = grid_shapes(config, shape)
    grids = tuple(jr.normal(jr.key(i + 1), s) for i, s in enumerate(sizes))

    def outputs(*grids):
        mu, scale = model(config, grids)
        return jnp.concatenate([mu, jnp.log(scale)])

    total = sum(g.size for g in grids)
    differentiate = jax.jit(jax.jacobian(outputs, tuple(range(3))))
    jacobians = [j.reshape(2 * total, -1) for j in differentiate(*grids)]
    jacobian = np.concatenate(jacobians, axis=1)  # outputs x latents, both in decoding order
    for part in (jacobian[:total], jacobian[total:]):
        # grid by grid, raster order: strictly below the diagonal
        assert np.count_nonzero(np.triu(part)) == 0
        assert np.count_nonzero(part) > total  # and it does depend on what came before


def test_only_the_previous_grid_context_crosses_grids():
    shape = (6, 7)
    for config, crosses in ((edit(C3, num_grids=2), False), (edit(C3_CLIC, num_grids=2), True)):
        model = EntropyModel(config, 2, key=jr.key(0))
        grids = tuple(jr.normal(jr.key(i), s) for i, s in enumerate(grid_shapes(config, shape)))
        jacobian = jax.jit(jax.jacobian(
            lambda fine, model=model, config=config, coarse=grids[1]:
            model(config, (fine, coarse))[0][42:]))(grids[0])
        assert bool(np.any(jacobian)) == crosses


@settings(max_examples=6)
@given(st.integers(2, 12), st.integers(2, 12))
def test_halving_even_sides_is_the_antialiased_resize_inside(h, w):
    grid = jr.normal(jr.key(h * 100 + w), (2 * h, 2 * w))
    ours = jax.jit(context.halve, static_argnums=1)(grid, (h, w))
    theirs = jax.image.resize(grid, (h, w), "bilinear", antialias=True)
    np.testing.assert_allclose(ours[1:-1, 1:-1], theirs[1:-1, 1:-1], atol=1e-5)


@settings(max_examples=6)
@given(st.integers(1, 9), st.integers(1, 9))
def test_halving_keeps_constants_on_any_size(h, w):
    sides = (-(-h // 2), -(-w // 2))
    halved = jax.jit(context.halve, static_argnums=1)(jnp.full((h, w), 3.0), sides)
    assert halved.shape == sides
    np.testing.assert_allclose(halved, 3.0, rtol=1e-6)
