"""Large data a block at a time, so that what is worked on stays in a core's cache.

The arrays between a network's layers, tens of times larger than its input, fit no cache for a whole
photo or video: a block of thousands goes through all layers and back before the next one starts.
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

BLOCK = 2**13
"""Entries of a block, at most."""
LARGE = 2**16
"""Data of at most this many entries are not cut: they fit a cache as they are."""


def on_cpu() -> bool:
    """Whether programs run on a CPU: the model asks here alone. Elsewhere fewer, larger operations
    are faster, and a convolution has to be one of those that libraries are made for."""
    return jax.default_backend() == "cpu"


def is_large(entries: int) -> bool:
    """Whether data are worked on in blocks: on a CPU, where they fit no cache."""
    return on_cpu() and entries > LARGE


def block_sides(shape: Sequence[int]) -> tuple[int, ...]:
    """Sides of blocks of at most `BLOCK` entries that cover `shape` with little to spare. Whole
    along the last axes, then as many rows as there is room for, then one of what is left."""
    sides, room = [], BLOCK
    for n in reversed(shape):
        pieces = -(-n // max(1, min(n, room)))
        sides.append(-(-n // pieces))
        room //= sides[-1]
    return tuple(reversed(sides))


def cut(
    x: Float[Array, "*padded"], shape: Sequence[int], sides: Sequence[int]
) -> Float[Array, "blocks *sides_and_halo"]:
    """`x` in blocks, in raster order, that overlap by what `x` has more than `shape` on each axis.
    The last blocks of an axis are filled up with zeros."""
    pieces = [-(-n // side) for n, side in zip(shape, sides, strict=True)]
    for i, (n, side, count) in enumerate(zip(shape, sides, pieces, strict=True)):
        axis = 2 * i  # every axis before has become two: which block, and where in it
        halo = x.shape[axis] - n
        padding = [(0, 0)] * x.ndim
        padding[axis] = (0, count * side - n)
        x = jnp.pad(x, padding)
        shapes = x.shape[:axis], x.shape[axis + 1 :]
        whole = jax.lax.slice_in_dim(x, 0, count * side, axis=axis)
        parts = [whole.reshape(*shapes[0], count, side, *shapes[1])]
        # what overlaps, a row of all blocks at a time: strided slices have cheap derivatives
        parts += [jax.lax.slice_in_dim(x, side + h, side + h + (count - 1) * side + 1, side, axis)
                  .reshape(*shapes[0], count, 1, *shapes[1]) for h in range(halo)]
        x = jnp.concatenate(parts, axis + 1)
    ndim = len(shape)
    x = x.transpose(*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2))
    return x.reshape(math.prod(pieces), *x.shape[ndim:])


def sum_over_blocks(
    f: Callable, constants: PyTree, params: PyTree, arrays: Sequence[Float[Array, "..."]]
) -> Float[Array, ""]:
    """The sum of f(constants, params, inside, parts) over blocks of the last of `arrays`, one after
    another; the others have a halo around it. `parts` are a block of each, and `inside` is 1 where
    the block is one of the array, 0 where it reaches outside."""
    shape = arrays[-1].shape
    sides = block_sides(shape)
    inside, *parts = (cut(a, shape, sides) for a in (jnp.ones(shape), *arrays))
    return _summed(f, constants, params, inside, tuple(parts))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _summed(f, constants, params, fixed, blocks):
    """Of blocks that are cut. Its derivative, by `params` and `blocks`, is taken with the value,
    block by block, so that no block's intermediate arrays are kept or computed twice."""
    def add(total, block):
        return total + f(constants, params, *block), None

    return jax.lax.scan(add, jnp.zeros(()), (fixed, blocks))[0]


def _sum_forward(f, constants, params, fixed, blocks):
    def add(carry, block):
        value, (d_params, d_block) = jax.value_and_grad(f, argnums=(1, 3))(
            constants, params, *block)
        return jax.tree.map(jnp.add, carry, (value, d_params)), d_block

    start = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    (total, d_params), d_blocks = jax.lax.scan(add, start, (fixed, blocks))
    return total, (d_params, d_blocks)


def _sum_backward(f, residuals, g):
    d_params, d_blocks = jax.tree.map(lambda d: g * d, residuals)
    return None, d_params, None, d_blocks


_summed.defvjp(_sum_forward, _sum_backward)


def computed_once(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`x`, which XLA is kept from computing again for each of its readers, if it is large. Where a
    sum of shifted arrays reads the output of an activation, it would do that for every tap."""
    return jax.lax.optimization_barrier(x) if is_large(x.size) else x


def spare_columns(columns: int) -> int:
    """Of zeros, to be added: a GPU sums in equal parts, or else XLA copies every layer's input."""
    return 0 if on_cpu() or columns <= LARGE else -columns % BLOCK


def map_columns(
    f: Callable[[Float[Array, "n_in n"]], Float[Array, "n_out n"]], x: Float[Array, "n_in columns"]
) -> Float[Array, "n_out columns"]:
    """f, which treats every column alike, of all columns; in blocks where there are many. The
    derivative computes a block again instead of keeping its intermediate arrays."""
    columns = x.shape[1]
    if not is_large(columns):
        spare = spare_columns(columns)
        return f(jnp.pad(x, [(0, 0), (0, spare)]))[:, :columns] if spare else f(x)
    (side,) = block_sides((columns,))
    pieces = -(-columns // side)
    x = jnp.pad(x, [(0, 0), (0, pieces * side - columns)]).reshape(len(x), pieces, side)
    y = jax.lax.map(jax.checkpoint(f), computed_once(x.swapaxes(0, 1)))
    return computed_once(y.swapaxes(0, 1)).reshape(y.shape[1], -1)[:, :columns]
