"""A network on columns as one kernel of a GPU, and its derivative as another (Pallas, by Triton).

Between two layers of a network there are some twenty numbers a latent or pixel. XLA writes them to
the GPU's memory and reads them again, which is most of what a step moves. Here a block of columns
goes through all layers within a core, and the derivative computes them again.
"""

import concurrent.futures
import functools
import math
import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

try:
    from jax.experimental.pallas import triton
except ImportError:  # a later JAX may lack it, and `works` warns
    triton = None  # type: ignore[assignment]
from jaxtyping import Array, Float, PyTree

from c3lite.arrays.blocks import on_cpu
from c3lite.arrays.kernels import affine

ENTRIES = 2048
"""Of an array of a block, 32 x 64 for the paper's networks: the derivative's fit the registers."""
PRODUCTS = "TF32_TF32_F32_X3"
"""Of float32, as three products of a tensor core, which are as precise to some 22 bits."""
LARGEST = 4096
"""Entries of a parameter, padded: of larger ones a core has no room for what a kernel holds."""
TURNS = 8
"""Blocks that a program takes in turn, adding up their derivatives by the parameters."""
OLDEST = 8.0
"""Compute capability of the oldest GPUs that Triton compiles for."""


@functools.cache
def works() -> bool:
    """Whether this process has a GPU on which the kernels give what XLA does, tried once on a small
    network. Warns where they should and do not: fits go without them."""
    device = jax.devices()[0]
    if device.platform != "gpu":
        return False
    try:
        if float(device.compute_capability) < OLDEST:
            return False
        with concurrent.futures.ThreadPoolExecutor(1) as thread:  # this one may be tracing
            agree, reason = thread.submit(agrees).result(), "other numbers than XLA's"
    except Exception as error:  # of a driver, a compiler, or a JAX without Triton
        agree, reason = False, f"{type(error).__name__}: {str(error)[:200]}"
    if not agree:
        warnings.warn("fits may take twice as long as they could: the fused kernels do not work on "
                      f"this GPU ({reason})", stacklevel=2)
    return agree


def agrees() -> bool:
    """Whether the kernels give what XLA does, of a small network and its derivatives."""
    def network(own, x):
        first, bias, last, branch = own
        return last @ jax.nn.gelu(affine(first, bias, x)) + branch @ x

    def value_and_derivatives(run, *args):
        value, back = jax.vjp(functools.partial(run, network), *args)
        return jax.tree.leaves((value, back(value)))

    shapes = (18, 24), (18,), (2, 18), (2, 24), (24, 3000)
    with jax.enable_x64(False), jax.default_matmul_precision("highest"):
        *own, x = (jax.random.normal(jax.random.key(n), (2, *s)) for n, s in enumerate(shapes))
        ours, theirs = (jax.jit(jax.vmap(functools.partial(value_and_derivatives, run)))(own, x)
                        for run in (columns, lambda f, *args: f(*args)))
    return all(jnp.abs(a - b).max() < 1e-4 * jnp.abs(b).max()
               for a, b in zip(ours, theirs, strict=True))


def run(f: Callable, params: PyTree,
        x: Float[Array, "n_in columns"]) -> Float[Array, "n_out columns"]:
    """f(params, x), which treats every column alike; by kernels where they work, and fit a core."""
    large = max(math.prod(map(_side, a.shape)) for a in jax.tree.leaves(params)) > LARGEST
    return f(params, x) if large or not works() else columns(f, params, x)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def columns(f, params, x):
    """`run` by kernels; f sees arrays padded with zeros, and what it gives for these is dropped."""
    def turn(own, x):  # by `vjp`, as Triton has no functions with derivatives of their own
        return jax.vjp(f, own, x)[0], ()

    return _call(turn, params, [x], jax.eval_shape(f, params, x), ())[0]


def _backward(f, residuals, g):
    params, x = residuals

    def turn(own, x, g):
        d_own, d_x = jax.vjp(f, own, x)[1](g)
        return d_x, d_own

    d_x, d_params = _call(turn, params, [x, g], x, params)
    return d_params, d_x


columns.defvjp(lambda f, params, x: (columns(f, params, x), (params, x)), _backward)


def _call(turn, params, arrays, out, summed):
    """`turn(params, *blocks)` for all blocks of columns of the arrays, as one kernel: each gives a
    block of `out`, and what is added up over all of them, of the shapes of `summed`."""
    leaves, tree = jax.tree.flatten(params)
    sums, tree_of_sums = jax.tree.flatten(summed)
    width = max(16, ENTRIES // max(_side(n) for leaf in leaves for n in leaf.shape))
    programs = pl.cdiv(out.shape[1], TURNS * width)

    def kernel(*refs):
        n, m = len(leaves), len(leaves) + len(arrays)
        own, inputs, (result, *totals) = refs[:n], refs[n:m], refs[m:]
        own = tree.unflatten(map(_read, own))
        first = pl.program_id(0) * TURNS

        def add(i, total):
            at = (first + i) * width, width
            block, parts = turn(own, *(_read(ref, *at) for ref in inputs))
            _write(result, block, *at)
            return jax.tree.map(jnp.add, total, parts)

        zeros = jax.tree.map(jnp.zeros_like, own) if sums else ()
        jax.tree.map(_write, totals, jax.tree.leaves(jax.lax.fori_loop(0, TURNS, add, zeros)))

    call = pl.pallas_call(
        kernel, grid=(programs,), interpret=on_cpu(),
        out_shape=[jax.ShapeDtypeStruct(shape, out.dtype) for shape in (
            out.shape, *((programs, *a.shape) for a in sums))],
        out_specs=[pl.BlockSpec(out.shape, lambda _: (0, 0)), *(
            pl.BlockSpec((None, *a.shape), lambda i, ndim=a.ndim: (i, *[0] * ndim)) for a in sums)],
        compiler_params=triton.CompilerParams(num_warps=4, num_stages=1))
    with jax.default_matmul_precision(None if on_cpu() else PRODUCTS):
        result, *totals = call(*leaves, *arrays)
    return result, tree_of_sums.unflatten(total.sum(0) for total in totals)


def _side(n: int) -> int:
    """Of a block that has room for n: Triton multiplies powers of 2 from 16 on."""
    return max(16, pl.next_power_of_2(n))


def _part(ref, start=0, width=None):
    """A block of `ref`, all of it or columns from `start` on, and which entries there are."""
    first, sides = [0] * len(ref.shape), list(map(_side, ref.shape))
    first[-1], sides[-1] = start, width or sides[-1]
    there = functools.reduce(jnp.logical_and, (
        at + jax.lax.broadcasted_iota(jnp.int32, sides, axis) < n
        for axis, (at, n) in enumerate(zip(first, ref.shape, strict=True))))
    return ref.at[tuple(map(pl.ds, first, sides))], there


def _read(ref, *columns):
    part, there = _part(ref, *columns)
    return triton.load(part, mask=there, other=0.0)


def _write(ref, value, *columns):
    part, there = _part(ref, *columns)
    triton.store(part, value, mask=there)
