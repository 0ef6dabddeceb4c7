"""Layers, activations and the recipes of initialization."""

import functools
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c3lite import C3, COOL_CHIC, COOL_CHIC_V2, edit
from c3lite.arrays.kernels import affine
from c3lite.ingredients.activations import gelu
from c3lite.model.networks import dense_layers, initial_weight, run_layers

reference = lambda x: jax.nn.gelu(x, approximate=True)  # noqa: E731


@given(st.floats(-30, 30, width=32))
def test_gelu_and_its_derivative_are_jax_s(x):
    x = jnp.float32(x)
    assert gelu(x) == reference(x)
    np.testing.assert_allclose(jax.grad(gelu)(x), jax.grad(reference)(x), atol=3e-6)


@pytest.mark.parametrize("x", [0.0, 1e-4, -1e-4, 9.99e-4, 1.001e-3, -1.001e-3, 1e-30])
def test_gelu_s_derivative_near_zero(x):
    x = jnp.float32(x)
    np.testing.assert_allclose(jax.grad(gelu)(x), jax.grad(reference)(x), atol=2e-6)


@functools.partial(jax.jit, static_argnums=0)
def with_derivatives(function, args, g):
    out, backward = jax.vjp(function, *args)
    return out, backward(g)


@settings(max_examples=6)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 50))
def test_affine_has_the_plain_formula_s_derivatives(n_out, n_in, n):
    keys = jr.split(jr.key(n_out * 1000 + n_in * 60 + n), 4)
    args = (jr.normal(keys[0], (n_out, n_in)), jr.normal(keys[1], (n_out,)),
            jr.normal(keys[2], (n_in, n)))
    g = jr.normal(keys[3], (n_out, n))
    ours, backward = with_derivatives(affine, args, g)
    theirs, plain = with_derivatives(lambda w, b, x: w @ x + b[:, None], args, g)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for a, b in zip(backward, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_truncated_normal_ends_at_two_sigma():
    weight = initial_weight(C3, jr.key(0), 400, 100)
    assert abs(weight).max() <= 2 / math.sqrt(100)
    np.testing.assert_allclose(weight.std(), 0.88 / math.sqrt(100), rtol=0.02)  # of the cut normal


def test_cool_chic_recipes():
    np.testing.assert_allclose(
        initial_weight(COOL_CHIC, jr.key(0), 12, 5000).std(), 1 / 12**2, rtol=0.02)
    weight = initial_weight(COOL_CHIC_V2, jr.key(0), 24, 5000)
    limit = 1 / math.sqrt(5000) / 24**2
    assert 0.95 * limit < abs(weight).max() <= limit


def test_init_scale_multiplies():
    scaled = initial_weight(edit(C3, init_scale=3.0), jr.key(0), 4, 5)
    np.testing.assert_allclose(scaled, 3 * initial_weight(C3, jr.key(0), 4, 5), rtol=1e-6)


def test_residual_layers_add_before_the_activation():
    layers = dense_layers(COOL_CHIC, jr.key(0), (12, 12, 12, 2))
    assert not layers[0].weight.any() and not layers[1].weight.any()  # they start at zero
    assert layers[2].weight.any()
    x = jr.normal(jr.key(1), (12, 30))
    # so at the start the hidden layers are ReLU of the input, and the last is plain
    np.testing.assert_allclose(run_layers(COOL_CHIC, layers, x),
                               layers[2](jax.nn.relu(x)), atol=1e-6)


def test_c3_s_layers_are_plain():
    layers = dense_layers(C3, jr.key(0), (6, 6, 2))
    x = jr.normal(jr.key(1), (6, 30))
    expected = layers[1](reference(layers[0](x)))
    np.testing.assert_allclose(run_layers(C3, layers, x), expected, atol=1e-6)
