"""Blocks change where sums are taken, and nothing else."""

import math

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import c3lite as c3
from c3lite.arrays import blocks
from c3lite.model import codec, entropy
from c3lite.model.quantize import hard_round
from tests.coded import CONFIGS


@settings(max_examples=25)  # every shape compiles its own slices
@given(st.data())
def test_blocks_are_the_windows_of_the_array(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=9))
    halo = data.draw(hnp.array_shapes(min_dims=len(shape), max_dims=len(shape), max_side=3))
    sides = tuple(data.draw(st.integers(1, n)) for n in shape)
    padded = tuple(n + h - 1 for n, h in zip(shape, halo, strict=True))
    x = np.arange(math.prod(padded), dtype=np.float32).reshape(padded)
    cut = np.asarray(blocks.cut(jnp.asarray(x), shape, sides))
    whole = np.pad(x, [(0, side) for side in sides])
    places = np.ndindex(*(-(-n // side) for n, side in zip(shape, sides, strict=True)))
    for block, place in zip(cut, places, strict=True):
        start = [p * side for p, side in zip(place, sides, strict=True)]
        window = whole[tuple(slice(a, a + n) for a, n in zip(start, block.shape, strict=True))]
        np.testing.assert_array_equal(block, window)


@given(hnp.array_shapes(min_dims=1, max_dims=3, max_side=10**4))
def test_blocks_are_small_and_cover_all_with_little_to_spare(shape):
    sides = blocks.block_sides(shape)
    assert math.prod(sides) <= blocks.BLOCK
    for n, side in zip(shape, sides, strict=True):
        pieces = -(-n // side)
        assert 1 <= side <= n and pieces * side - n < pieces


@pytest.fixture
def small_blocks(monkeypatch):
    """Everything is large, and of many blocks."""
    monkeypatch.setattr(blocks, "LARGE", 40)
    monkeypatch.setattr(blocks, "BLOCK", 60)


def test_columns_in_blocks_give_the_same(small_blocks):
    key = jax.random.key(0)
    weight, x = jax.random.normal(key, (4, 3)), jax.random.normal(key, (3, 1001))

    def plain(w, x):
        return jnp.tanh(w @ x)

    def in_blocks(w, x):
        return blocks.map_columns(lambda columns: plain(w, columns), x)

    np.testing.assert_allclose(in_blocks(weight, x), plain(weight, x), rtol=1e-6)
    ours, theirs = (jax.grad(lambda w, x, f=f: (f(w, x) ** 2).sum(), argnums=(0, 1))(weight, x)
                    for f in (in_blocks, plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5), ours, theirs)


@pytest.mark.parametrize("name", ["c3", "c3-clic", "film", "video, mask"])
def test_the_objective_in_blocks_is_the_objective(name, monkeypatch):
    config = c3.edit(CONFIGS[name], num_grids=2, entropy_widths=(5,), synthesis_widths=(4,))
    shape = (4, 7, 18) if name.startswith("video") else (17, 30)
    key = jax.random.key(1)
    model = codec.Codec(config, shape, key=key)
    model = jax.tree.map(lambda a: a + 0.3 * jax.random.normal(key, a.shape), model)
    x = jax.random.uniform(key, (3, *shape))

    def objective(model):
        return codec.rate_distortion(model, config, x, lambda z: hard_round(z, 0.3))

    def measured():  # a new function each time: nothing is taken from an earlier compilation
        return jax.jit(jax.value_and_grad(lambda m: objective(m), has_aux=True))(model)

    (loss, cost), gradient = measured()
    monkeypatch.setattr(blocks, "LARGE", 200)  # the finest grid is cut, the other is not
    monkeypatch.setattr(blocks, "BLOCK", 80)
    used = []
    original = entropy.blocks.sum_over_blocks
    monkeypatch.setattr(entropy.blocks, "sum_over_blocks",
                        lambda *args: used.append(1) or original(*args))
    (blocked_loss, blocked_cost), blocked = measured()
    assert used
    assert blocked_loss == pytest.approx(float(loss), rel=1e-5)
    assert blocked_cost.bits == pytest.approx(float(cost.bits), rel=1e-5)
    for ours, theirs in zip(jax.tree.leaves(blocked), jax.tree.leaves(gradient), strict=True):
        scale = float(jnp.abs(theirs).max()) + 1e-9
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=2e-5)
