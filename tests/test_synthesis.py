"""Synthesis: the fast convolution against XLA's, and the layouts of the three codecs (A.1.3)."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c3lite import C3, COOL_CHIC, COOL_CHIC_V2, edit
from c3lite.arrays import kernels
from c3lite.arrays.kernels import edge_pad, small_conv
from c3lite.model.synthesis import Synthesis

# compiled whole: an operation at a time, every new shape would compile a dozen programs
apply = jax.jit(Synthesis.__call__)


@functools.partial(jax.jit, static_argnums=0)
def with_derivatives(function, x, kernel, g):
    out, backward = jax.vjp(function, x, kernel)
    return out, backward(g)


def xla_conv(padded, kernel):
    return jax.lax.conv_general_dilated(padded[None], kernel, (1,) * (padded.ndim - 1), "VALID")[0]


sizes = st.one_of(st.tuples(st.integers(3, 9), st.integers(3, 9)),
                  st.tuples(st.integers(3, 5), st.integers(3, 6), st.integers(3, 6)))


@settings(max_examples=6)
@given(sizes, st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_small_conv_and_its_derivatives_are_xla_s(padded, c_in, c_out, per_frame):
    size = (1, 3, 3) if per_frame and len(padded) == 3 else (3,) * len(padded)
    x = jr.normal(jr.key(0), (c_in, *padded))
    kernel = jr.normal(jr.key(1), (c_out, c_in, *size))
    shape = (n - k + 1 for n, k in zip(padded, size, strict=True))
    g = jr.normal(jr.key(2), (c_out, *shape))
    ours, backward = with_derivatives(small_conv, x, kernel, g)
    theirs, reference = with_derivatives(xla_conv, x, kernel, g)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    for a, b in zip(backward, reference, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=3), st.integers(0, 2))
def test_edge_pad_and_its_derivative_are_numpy_s_for_large_data_too(shape, width):
    x = jr.normal(jr.key(0), (2, *shape))
    widths = (0, width, *(1 for _ in shape[1:]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "is_large", lambda entries: True)
        ours, backward = jax.vjp(lambda x: edge_pad(x, widths), x)
    plain, reference = jax.vjp(lambda x: edge_pad(x, widths), x)
    padded = np.pad(x, [(k, k) for k in widths], mode="edge")
    assert (ours == padded).all() and (plain == padded).all()
    g = jr.normal(jr.key(1), ours.shape)
    np.testing.assert_allclose(backward(g)[0], reference(g)[0], atol=1e-5)


def random_synthesis(config, ndim=2):
    model = Synthesis(config, ndim, key=jr.key(0))
    leaves, structure = jax.tree.flatten(model)
    leaves = [0.3 * jr.normal(jr.key(i), x.shape) for i, x in enumerate(leaves)]
    return jax.tree.unflatten(structure, leaves)


def conv(layer, x):
    pad = [(0, 0)] + [(k // 2, k // 2) for k in layer.weight.shape[2:]]
    bias = layer.bias.reshape((3,) + (1,) * (x.ndim - 1))
    return x + xla_conv(jnp.pad(x, pad, mode="edge"), layer.weight) + bias


def pixelwise(layer, x):
    return jnp.tensordot(layer.weight, x, 1) + layer.bias.reshape((-1,) + (1,) * (x.ndim - 1))


def test_c3_is_the_written_out_network():
    model, up = random_synthesis(C3), jr.normal(jr.key(9), (7, 8, 11))
    gelu = jax.nn.gelu
    x = pixelwise(model.layers[2], gelu(pixelwise(model.layers[1], gelu(
        pixelwise(model.layers[0], up)))))
    expected = jnp.clip(conv(model.convs[1], gelu(conv(model.convs[0], x))), 0, 1)
    np.testing.assert_allclose(apply(model, C3, up), expected, atol=1e-5)


def test_cool_chic_v2_is_the_written_out_network():
    model, up = random_synthesis(COOL_CHIC_V2), jr.normal(jr.key(9), (7, 8, 11))
    relu = jax.nn.relu
    x = relu(pixelwise(model.layers[1], relu(pixelwise(model.layers[0], up))))
    expected = jnp.clip(conv(model.convs[1], relu(conv(model.convs[0], x))), 0, 1)
    np.testing.assert_allclose(apply(model, COOL_CHIC_V2, up), expected, atol=1e-5)


def test_cool_chic_v1_has_a_residual_layer_and_no_convolutions():
    model, up = random_synthesis(COOL_CHIC), jr.normal(jr.key(9), (7, 8, 11))
    relu = jax.nn.relu
    x = relu(pixelwise(model.layers[0], up))
    x = relu(x + pixelwise(model.layers[1], x))
    expected = jnp.clip(pixelwise(model.layers[2], x), 0, 1)
    np.testing.assert_allclose(apply(model, COOL_CHIC, up), expected, atol=1e-5)


@pytest.mark.parametrize(("per_frame", "size"), [(True, (1, 3, 3)), (False, (3, 3, 3))])
def test_video_convolutions(per_frame, size):
    config = edit(C3, synthesis_per_frame=per_frame)
    model = random_synthesis(config, ndim=3)
    assert model.convs[0].weight.shape[2:] == size
    up = jr.normal(jr.key(9), (7, 4, 6, 5))
    changed = up.at[:, 2].add(1.0)
    touched = np.any(apply(model, config, up) != apply(model, config, changed), axis=(0, 2, 3))
    expected = [False, False, True, False] if per_frame else [True] * 4
    assert touched.tolist() == expected  # two convolutions of 3 frames reach 2 frames away


def test_residual_convolutions_start_at_zero():
    model, up = Synthesis(C3, 2, key=jr.key(0)), jr.normal(jr.key(1), (7, 5, 6))
    without = eqx.tree_at(lambda m: m.convs, model, ())
    np.testing.assert_allclose(
        apply(model, C3, up), jnp.clip(jax.nn.gelu(_unclipped(without, up)), 0, 1), atol=1e-6)


def _unclipped(model, up):
    gelu = jax.nn.gelu
    return pixelwise(model.layers[2], gelu(pixelwise(model.layers[1], gelu(
        pixelwise(model.layers[0], up)))))


def test_mean_rgb_bias_sets_the_last_bias():
    mean = jnp.array([0.2, 0.5, 0.7])
    model = Synthesis(edit(C3, mean_rgb_bias=True), 2, key=jr.key(0), mean_rgb=mean)
    np.testing.assert_array_equal(model.layers[-1].bias, mean)
    plain = Synthesis(C3, 2, key=jr.key(0), mean_rgb=mean)
    np.testing.assert_array_equal(plain.layers[-1].bias, 0)


def test_output_is_clipped_in_training_too():
    model = random_synthesis(C3)
    out = apply(model, C3, 50 * jr.normal(jr.key(3), (7, 9, 9)))
    assert out.min() == 0 and out.max() == 1


def test_a_straight_through_clip_gives_the_same_pixels_and_another_gradient():
    model, up = random_synthesis(C3), 50 * jr.normal(jr.key(3), (7, 9, 9))
    through = edit(C3, clip_gradient="straight_through")
    np.testing.assert_array_equal(apply(model, through, up), apply(model, C3, up))

    @functools.partial(jax.jit, static_argnums=0)
    def gradient(clip_gradient, bias):
        config = edit(C3, clip_gradient=clip_gradient, synthesis_residual_convs=0)
        flat = eqx.tree_at(lambda m: (m.layers[-1].bias, m.convs), model, (bias, ()))
        flat = eqx.tree_at(lambda m: m.layers[-1].weight, flat, 0.0 * flat.layers[-1].weight)
        return flat(config, up).sum()

    bias = jnp.array([0.5, 1.5, -0.5])  # inside, above, below
    pixels = up[0].size
    for kind, expected in (("zero", [pixels, 0, 0]), ("straight_through", [pixels] * 3)):
        slope = jax.grad(functools.partial(gradient, kind))(bias)
        np.testing.assert_allclose(slope, expected, rtol=1e-6)
