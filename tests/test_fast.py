"""What makes fits faster: each is one field, with C3's behavior as its limit."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

import c3lite as c3
from c3lite.config import coded_fields
from c3lite.fitting import training
from c3lite.model import latents
from c3lite.model.codec import Codec

SMALL = c3.edit(c3.C3, num_grids=3, synthesis_widths=(6,), entropy_widths=(6,), context_size=(3, 3))
PICTURE = np.random.default_rng(0).random((3, 8, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def codec():
    return Codec(SMALL, (8, 12), key=jr.key(0))


@pytest.fixture(scope="module")
def gradients(codec):
    """Three gradients of a codec, of a norm of some 10."""
    leaves, structure = jax.tree.flatten(codec)
    return [structure.unflatten(
        [jr.normal(jr.fold_in(jr.key(n), i), leaf.shape) for i, leaf in enumerate(leaves)])
        for n in range(3)]


def steps_of(config, codec, gradients):
    optimizer = training._optimizer(config)
    state, steps = optimizer.init(codec), []
    for gradient in gradients:
        step, state = optimizer.update(gradient, state, codec)
        steps.append(step)
    return steps


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-4, atol=1e-6), a, b)


def test_by_parts_adam_is_adam_of_everything(codec, gradients):
    """The path for other optimizers, at the limit where it is C3's."""
    config = c3.edit(SMALL, latent_epsilon=1.001e-8)
    close(steps_of(config, codec, gradients), steps_of(SMALL, codec, gradients))


def test_clipped_networks_leave_the_latents_gradient_as_it_is(codec, gradients):
    config = c3.edit(SMALL, clipped_gradients="networks", gradient_clip=0.01)
    adam = optax.scale_by_adam()
    state = adam.init(codec.grids)
    for step, gradient in zip(steps_of(config, codec, gradients), gradients, strict=True):
        expected, state = adam.update(gradient.grids, state)
        close(step.grids, expected)


def test_the_networks_decay_and_the_latents_do_not(codec, gradients):
    codec = jax.tree.map(jnp.ones_like, codec)
    plain, decayed = (c3.edit(SMALL, clipped_gradients="networks", network_decay=decay)
                      for decay in (0.0, 0.5))
    before, after = (steps_of(config, codec, gradients)[0] for config in (plain, decayed))
    close(after.grids, before.grids)
    close(after.synthesis, jax.tree.map(lambda step: step + 0.5, before.synthesis))
    close(after.entropy, jax.tree.map(lambda step: step + 0.5, before.entropy))


def test_soap_is_of_the_networks_alone(codec, gradients):
    config = c3.edit(SMALL, network_optimizer="soap")
    first, second, _ = steps_of(config, codec, gradients)
    expected = steps_of(c3.edit(SMALL, clipped_gradients="all"), codec, gradients)[0]
    close(first.grids, expected.grids)
    assert not any(leaf.any() for leaf in jax.tree.leaves(first.synthesis))  # founds its bases
    assert all(leaf.any() for leaf in jax.tree.leaves(second.synthesis))


def test_epsilon_and_beta2_are_those_of_the_latents(codec, gradients):
    config = c3.edit(SMALL, latent_epsilon=1e-2, latent_beta2=0.9, gradient_clip=1e9)
    adam = optax.scale_by_adam(b2=0.9, eps=1e-2)
    state = adam.init(codec.grids)
    usual = steps_of(c3.edit(SMALL, gradient_clip=1e9), codec, gradients)
    ours = steps_of(config, codec, gradients)
    for step, gradient, old in zip(ours, gradients, usual, strict=True):
        expected, state = adam.update(gradient.grids, state)
        close(step.grids, expected)
        close(step.synthesis, old.synthesis)


@pytest.mark.parametrize(("kind", "expected"), [
    ("doubling", [1, 2, 4, 8, 16, 32, 64]), ("at least", [4, 4, 4, 8, 16, 32, 64]),
    ("equal", [4] * 7)])
def test_gains(kind, expected):
    config = c3.edit(c3.C3, latent_gains=kind, latent_gain_bins=10, quantization_step=0.4)
    np.testing.assert_allclose(latents.initial_gains(config), expected, rtol=1e-6)


def test_adam_moves_a_latent_by_its_gain_in_bins():
    """What the gains are for: the first step of every latent is `latent_gain_bins` x rate."""
    config = c3.edit(SMALL, latent_gains="equal", latent_gain_bins=8, latent_epsilon=1e-15,
                     clipped_gradients="networks", learning_rate=0.01, temperature=100)
    state, _ = jax.jit(training.step)(training.begin(PICTURE, config, jr.key(0)), config, PICTURE)
    moved = np.abs(np.asarray(state.codec.scaled_latents(config)))
    np.testing.assert_allclose(moved[moved > 0], 0.08, rtol=1e-3)
    assert (moved > 0).mean() > 0.5


def test_the_fast_presets_are_their_slow_ones_to_a_decoder():
    shape = (512, 768)
    assert c3.complexity.macs_per_pixel(c3.C3_FAST, shape) == c3.complexity.macs_per_pixel(
        c3.C3, shape)
    for fast, slow in ((c3.C3_FAST, c3.C3), (c3.UVG_FAST, c3.UVG)):
        assert all(getattr(fast, name) == getattr(slow, name) for name in coded_fields())
