"""Operations with hand-written derivatives: what XLA makes of the plain formulas is slower.

Each is its first line's formula; tests hold value and derivative to the plain ones.
"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from c3lite.arrays.blocks import computed_once, is_large, on_cpu

Offset = tuple[int, ...]


def _affine(
    weight: Float[Array, "n_out n_in"], bias: Float[Array, " n_out"], x: Float[Array, "n_in n"]
) -> Float[Array, "n_out n"]:
    """weight @ x + bias for long rows x, with derivatives that are matrix products."""
    return weight @ x + bias[:, None]


def outer_sum(g: Float[Array, "n_out n"], x: Float[Array, "n_in n"]) -> Float[Array, "n_out n_in"]:
    """g @ x.T for long rows. Of few rows of g each is a matrix-vector product, which XLA on a CPU
    does in half the time."""
    if g.shape[0] > 4:
        return g @ x.T
    g = jax.lax.optimization_barrier(g)  # or what makes g is computed again for each row
    return jnp.stack([x @ row for row in g])


def _affine_backward(residuals, g):
    weight, x = residuals
    # on a CPU a product with ones takes half the time of XLA's sum of rows
    d_bias = g @ jnp.ones(g.shape[1]) if on_cpu() else g.sum(1)
    return outer_sum(g, x), d_bias, weight.T @ g


affine = jax.custom_vjp(_affine)
affine.defvjp(lambda weight, bias, x: (_affine(weight, bias, x), (weight, x)), _affine_backward)


def _windows(padded, size):
    """For each tap of a kernel, the part of a padded array it reads."""
    shape = tuple(n - k + 1 for n, k in zip(padded.shape[1:], size, strict=True))
    for tap in itertools.product(*map(range, size)):
        window = (slice(t, t + n) for t, n in zip(tap, shape, strict=True))
        yield tap, padded[(slice(None), *window)]


def edge_pad(x: Float[Array, "..."], widths: tuple[int, ...]) -> Float[Array, "..."]:
    """`x` with its edges repeated `widths` times at both ends of each axis."""
    return (_edge_pad_of_large if is_large(math.prod(x.shape[1:])) else _edge_pad)(x, widths)


def _edge_pad(x, widths):
    return jnp.pad(x, [(k, k) for k in widths], mode="edge")


def _edge_pad_backward(widths, _, g):
    # What was repeated is added to the edges in place. XLA's own derivative adds arrays as large as
    # x, zero but for an edge, inside the loop of whatever reads the sum
    for axis, k in enumerate(widths):
        part, n = functools.partial(jax.lax.slice_in_dim, axis=axis), g.shape[axis] - 2 * k
        x = part(g, k, n + k)
        for repeated, at in ((part(g, 0, k), 0), (part(g, n + k, n + 2 * k), n - 1)):
            edge = part(x, at, at + 1) + repeated.sum(axis, keepdims=True)
            x = jax.lax.dynamic_update_slice_in_dim(x, edge, at, axis)
        g = x
    return (g,)


_edge_pad_of_large = jax.custom_vjp(_edge_pad, nondiff_argnums=(1,))
_edge_pad_of_large.defvjp(lambda x, widths: (_edge_pad(x, widths), None), _edge_pad_backward)


@jax.custom_vjp
def small_conv(
    padded: Float[Array, "c_in *padded"], kernel: Float[Array, "c_out c_in *size"]
) -> Float[Array, "c_out *shape"]:
    """A convolution of few channels as a sum of scaled, shifted arrays. XLA makes one pass of it:
    on a CPU nine times faster than its convolution of 3 channels to 3, a product of rows of 27."""
    padded = computed_once(padded)
    total = 0.0
    for tap, part in _windows(padded, kernel.shape[2:]):
        for c in range(kernel.shape[1]):
            scalars = kernel[(slice(None), c, *tap)]
            total = total + scalars.reshape((-1,) + (1,) * (part.ndim - 1)) * part[c]
    return total


def _conv_backward(residuals, g):
    padded, kernel = residuals
    size = kernel.shape[2:]
    around = [(0, 0)] + [(k - 1, k - 1) for k in size]
    flipped = jnp.flip(kernel, range(2, kernel.ndim)).swapaxes(0, 1)
    d_padded = small_conv(jnp.pad(g, around), flipped)
    return d_padded, (_kernel_gradient if on_cpu() else _kernel_gradient_by_taps)(padded, g, size)


def _kernel_gradient(padded, g, size):
    """Each kernel entry is a product of an input and an output channel, at one shift: a convolution
    of the input with the whole of g."""
    d_kernel = jax.lax.conv_general_dilated(
        padded[:, None], g[:, None], (1,) * len(size), "VALID")  # (c_in, c_out, *size)
    return d_kernel.swapaxes(0, 1)


def _kernel_gradient_by_taps(padded, g, size):
    """The same, a sum for each tap, rows first: a filter as large as an image is for no GPU."""
    rows = jnp.stack([(g[:, None] * part).sum(-1) for _, part in _windows(padded, size)], -1)
    return rows.sum(range(2, rows.ndim - 1)).reshape(len(g), len(padded), *size)


small_conv.defvjp(lambda padded, kernel: (small_conv(padded, kernel), (padded, kernel)),
                  _conv_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def gather(
    flat: Float[Array, " latents"], shapes: tuple[Offset, ...], offsets: tuple[Offset, ...]
) -> Float[Array, "context latents"]:
    """Grids one after another, read at position + offset for every offset; zero outside. One
    operation: for small grids, whose many slices would cost more to compile than they save."""
    index = _gather_index(shapes, offsets)
    return jnp.pad(flat, (0, 1)).at[index].get(mode="promise_in_bounds")


def _gather_backward(shapes, offsets, _, g):
    # Read at position + offset, so it came from position - offset: gathered again, not scattered,
    # which XLA does one entry at a time
    back = _gather_index(shapes, tuple(tuple(-step for step in offset) for offset in offsets))
    rows = jnp.arange(len(offsets))[:, None]
    return (jnp.pad(g, ((0, 0), (0, 1))).at[rows, back].get(mode="promise_in_bounds").sum(0),)


gather.defvjp(lambda flat, shapes, offsets: (gather(flat, shapes, offsets), None), _gather_backward)


@functools.cache
def _gather_index(shapes, offsets) -> Int[np.ndarray, "context latents"]:
    """Where each context entry lies in the grids' concatenation; outside: one past its end."""
    end = sum(map(math.prod, shapes))
    columns, start = [], 0
    for shape in shapes:
        sides = np.array(shape)[:, None]
        position = np.indices(shape).reshape(len(shape), -1)
        rows = []
        for offset in offsets:
            moved = position + np.array(offset)[:, None]
            inside = ((moved >= 0) & (moved < sides)).all(0)
            rows.append(np.where(
                inside, start + np.ravel_multi_index(moved, shape, mode="clip"), end))
        columns.append(np.stack(rows))
        start += math.prod(shape)
    return np.concatenate(columns, axis=1).astype(np.int32)
