"""The synthesis network f_theta: upsampled latents to pixels (App. A.1.3)."""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from c3lite.model.blocks import computed_once, map_columns
from c3lite.model.networks import ACTIVATIONS, Dense, dense_layers, run_layers


def _windows(padded, size):
    """For each tap of a kernel, the part of a padded array it reads."""
    shape = tuple(n - k + 1 for n, k in zip(padded.shape[1:], size, strict=True))
    for tap in itertools.product(*map(range, size)):
        window = (slice(t, t + n) for t, n in zip(tap, shape, strict=True))
        yield tap, padded[(slice(None), *window)]


@jax.custom_vjp
def small_conv(
    padded: Float[Array, "c_in *padded"], kernel: Float[Array, "c_out c_in *size"]
) -> Float[Array, "c_out *shape"]:
    """A convolution of few channels as a sum of scaled, shifted arrays.

    XLA makes one pass of it: on a CPU nine times faster than its convolution of 3 channels to 3,
    whose matrix product has rows of 27.
    """
    padded = computed_once(padded)
    total = 0.0
    for tap, part in _windows(padded, kernel.shape[2:]):
        for c in range(kernel.shape[1]):
            scalars = kernel[(slice(None), c, *tap)]
            total = total + scalars.reshape((-1,) + (1,) * (part.ndim - 1)) * part[c]
    return total


def _conv_forward(padded, kernel):
    return small_conv(padded, kernel), (padded, kernel)


def _conv_backward(residuals, g):
    padded, kernel = residuals
    size = kernel.shape[2:]
    around = [(0, 0)] + [(k - 1, k - 1) for k in size]
    flipped = jnp.flip(kernel, range(2, kernel.ndim)).swapaxes(0, 1)
    d_padded = small_conv(jnp.pad(g, around), flipped)
    # each kernel entry is a product of an input and an output channel, at one shift: a convolution
    # of the input with the whole of g
    d_kernel = jax.lax.conv_general_dilated(
        padded[:, None], g[:, None], (1,) * len(size), "VALID")  # (c_in, c_out, *size)
    return d_padded, d_kernel.swapaxes(0, 1)


small_conv.defvjp(_conv_forward, _conv_backward)


class ResidualConv(eqx.Module):
    """x + conv(x), 3 entries a side, 3 channels, edges replicated; zero at the start."""

    weight: Float[Array, "3 3 *size"]
    bias: Float[Array, "3"]

    def __init__(self, size: tuple[int, ...]):
        self.weight = jnp.zeros((3, 3, *size))
        self.bias = jnp.zeros(3)

    def __call__(self, x: Float[Array, "3 *shape"]) -> Float[Array, "3 *shape"]:
        size = self.weight.shape[2:]
        padded = jnp.pad(x, [(0, 0)] + [(k // 2, k // 2) for k in size], mode="edge")
        bias = self.bias.reshape((3,) + (1,) * len(size))
        return x + small_conv(padded, self.weight) + bias


class Synthesis(eqx.Module):
    """1x1 layers, then residual convolutions; the output is clipped to [0, 1] also in training."""

    layers: tuple[Dense, ...]
    convs: tuple[ResidualConv, ...]

    def __init__(
        self, config, ndim: int, *, key: PRNGKeyArray, mean_rgb: Float[Array, "3"] | None = None
    ):
        self.layers = dense_layers(config, key, (config.num_grids, *config.synthesis_widths, 3))
        if config.mean_rgb_bias and mean_rgb is not None:
            last = self.layers[-1]
            self.layers = (*self.layers[:-1], Dense(last.weight, jnp.asarray(mean_rgb)))
        size = (1, 3, 3) if config.synthesis_per_frame and ndim == 3 else (3,) * ndim
        self.convs = tuple(ResidualConv(size) for _ in range(config.synthesis_residual_convs))

    def __call__(self, config, up: Float[Array, "grids *shape"]) -> Float[Array, "3 *shape"]:
        act = ACTIVATIONS[config.activation]
        x = map_columns(lambda columns: run_layers(config, self.layers, columns),
                        up.reshape(up.shape[0], -1))
        x = x.reshape(3, *up.shape[1:])
        if config.rgb_activation:
            x = act(x)
        for i, conv in enumerate(self.convs):
            x = conv(x)
            if i < len(self.convs) - 1:
                x = act(x)
        return jnp.clip(x, 0, 1)
