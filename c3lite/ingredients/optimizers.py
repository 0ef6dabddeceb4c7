"""Optimizers of the networks: from a gradient to a step, to be multiplied by the learning rate.

SOAP is Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv 2409.11321).
For a matrix W with gradient G, L = E[G Gᵀ] and R = E[Gᵀ G] say which rows, and which columns, move
together. In the bases of their eigenvectors the gradient's entries are nearly independent, which is
what Adam takes for granted:

    G' = Q_Lᵀ G Q_R,    N' = Adam(G'),    update = Q_L N' Q_Rᵀ

An array of k axes has k such bases. A vector has none: for it SOAP is Adam. The networks' matrices
have some dozens of rows, so what all of this costs is the number of operations, above all on a GPU.
Arrays of as many axes are therefore one stack, each in a corner of zeros, which bases keep apart.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

Matrices = tuple[Float[Array, "stack _ _"], ...]
"""One stack for each axis of a stack of arrays, none for vectors."""


class SoapState(NamedTuple):
    """What SOAP remembers; lists have an entry a stack, those of fewer axes first."""

    count: Int[Array, ""]
    """Gradients seen."""
    mu: list[Float[Array, "stack ..."]]
    """Adam's first moments, in the bases."""
    nu: list[Float[Array, "stack ..."]]
    """Adam's second moments, in the bases."""
    moments: list[Matrices]
    """L, R, ...: running means of the gradient's products with itself along each axis."""
    bases: list[Matrices]
    """Q_L, Q_R, ...: about the eigenvectors of `moments`."""


def stacked(arrays: Sequence[Array]) -> list[Float[Array, "stack ..."]]:
    """The arrays in stacks, those of fewer axes first; each is the first corner of its zeros."""
    stacks = []
    for group in _groups(arrays):
        largest = np.max([arrays[i].shape for i in group], axis=0)
        stacks.append(jnp.stack([
            jnp.pad(arrays[i], [(0, m - n) for n, m in zip(arrays[i].shape, largest, strict=True)])
            for i in group]))
    return stacks


def unstacked(stacks: Sequence[Float[Array, "stack ..."]], like: Sequence[Array]) -> list[Array]:
    """What `stacked` was given; `like` has the shapes and the order."""
    arrays = list(like)
    for stack, group in zip(stacks, _groups(like), strict=True):
        for each, i in zip(stack, group, strict=True):
            arrays[i] = each[tuple(map(slice, like[i].shape))]
    return arrays


def _groups(arrays) -> list[list[int]]:
    """Where in `arrays` those of as many axes are, those of fewer first."""
    axes = [array.ndim for array in arrays]
    return [[i for i, n in enumerate(axes) if n == wanted] for wanted in sorted(set(axes))]


def _filled(arrays) -> list[tuple[np.ndarray, ...]]:
    """What each stack's `Matrices` have where there is no array: ones on those diagonals."""
    def of(group, axis):
        lengths = np.array([arrays[i].shape[axis] for i in group])
        beyond = np.arange(lengths.max()) >= lengths[:, None]
        return beyond[:, :, None] * np.eye(lengths.max(), dtype=np.float32)

    groups = [(group, arrays[group[0]].ndim) for group in _groups(arrays)]
    return [tuple(of(group, axis) for axis in range(ndim if ndim > 1 else 0))
            for group, ndim in groups]


def rotate(x: Float[Array, "stack *shape"], bases: Matrices, *, back: bool = False):
    """`x` in the given bases of its axes, or from there `back`; unchanged where there are none."""
    for basis in bases:  # a product moves its axis to the end, so that each has its turn
        x = jnp.einsum("ni...,nji->n...j" if back else "ni...,nij->n...j", x, basis,
                       precision="highest")
    return x


def axis_products(g: Float[Array, "stack *shape"]) -> Matrices:
    """G Gᵀ of every axis of each array, its other axes flattened; none for vectors."""
    if g.ndim < 3:
        return ()
    rows = (jnp.moveaxis(g, axis, 1).reshape(len(g), g.shape[axis], -1)
            for axis in range(1, g.ndim))
    return tuple(jnp.einsum("nik,njk->nij", r, r, precision="highest") for r in rows)


def scale_by_soap(b1: float = 0.95, b2: float = 0.95, eps: float = 1e-8,
                  every: int = 10) -> optax.GradientTransformationExtraArgs:
    """SOAP as an optax transformation; the learning rate is the caller's, as of `scale_by_adam`.

    The first gradient founds the bases, and its update is zero. Every `every` steps the bases
    follow `moments` by a step of the power iteration, Q <- QR(L Q). The defaults are those of
    Cool-Chic 5.0. `update` may be told the number of the `step`, which fits of a batch share: only
    then do they all change their bases at once, and compute nothing of it in between.
    """

    def init(params):
        zeros = stacked([jnp.zeros_like(p) for p in jax.tree.leaves(params)])
        moments = [tuple(map(jnp.zeros_like, axis_products(z))) for z in zeros]
        bases = [tuple(jnp.broadcast_to(jnp.eye(m.shape[1]), m.shape) for m in own)
                 for own in moments]
        return SoapState(jnp.zeros((), jnp.int32), zeros, zeros, moments, bases)

    def update(updates, state, params=None, *, step=None, **_):
        del params
        step = state.count if step is None else step
        arrays, structure = jax.tree.flatten(updates)
        gradients, filled = stacked(arrays), _filled(arrays)
        moments = _mean(state.moments, list(map(axis_products, gradients)), b2)
        state = state._replace(moments=moments)
        first = step == 0
        state = jax.lax.cond(first, lambda s: _first_bases(s, filled), lambda s: s, state)

        gradients = list(map(rotate, gradients, state.bases))
        kept = jnp.where(first, 1.0, 0.0)  # the first step leaves Adam as it was
        done = jnp.maximum(state.count, 1)
        mu = _mean(state.mu, gradients, kept + (1 - kept) * b1)
        nu = _mean(state.nu, [g * g for g in gradients], kept + (1 - kept) * b2)
        steps = [(m / (1 - b1**done)) / (jnp.sqrt(v / (1 - b2**done)) + eps)
                 for m, v in zip(mu, nu, strict=True)]
        steps = [rotate(step, q, back=True) for step, q in zip(steps, state.bases, strict=True)]

        state = state._replace(mu=mu, nu=nu)
        state = jax.lax.cond(
            ~first & (step % every == 0), lambda s: _follow(s, filled), lambda s: s, state)
        return (jax.tree.unflatten(structure, unstacked(steps, arrays)),
                state._replace(count=optax.safe_increment(state.count)))

    return optax.GradientTransformationExtraArgs(init, update)


def _mean(old, new, decay):
    return jax.tree.map(lambda o, n: decay * o + (1 - decay) * n, old, new)


def _apart(moments: list[Matrices], filled) -> list[Matrices]:
    """`moments` whose filling is below every eigenvalue, so that no eigenvector mixes the two."""
    return jax.tree.map(
        lambda m, f: m - jnp.trace(m, axis1=1, axis2=2)[:, None, None] * f, moments, filled)


def _first_bases(state: SoapState, filled) -> SoapState:
    """Bases that are the eigenvectors of the first products, those of the largest values first. One
    after another: several at once wait for each other forever (jaxlib 0.10, two threads)."""
    moments, structure = jax.tree.flatten(_apart(state.moments, filled))
    bases: list[Array] = []
    for m in moments:
        after = 0 * bases[-1][0, 0, 0] if bases else 0
        bases.append(jnp.linalg.eigh(m + after)[1][:, :, ::-1])
    return state._replace(bases=jax.tree.unflatten(structure, bases))


def _follow(state: SoapState, filled) -> SoapState:
    """The bases nearer to the eigenvectors of today's products, and Adam's moments in them. The
    first moment is rotated over. The second is of squares, which cannot be: its entries follow the
    columns as these are sorted by size, which is when QR's power iteration converges."""
    moments = _apart(state.moments, filled)
    orders = jax.tree.map(lambda m, q: jnp.argsort(-jnp.einsum("nij,nik,nkj->nj", q, m, q), axis=1),
                          moments, state.bases)
    bases = orthonormal(jax.tree.map(
        lambda m, q, order: m @ jnp.take_along_axis(q, order[:, None], 2),
        moments, state.bases, orders))
    mu = [rotate(rotate(m, old, back=True), new)
          for m, old, new in zip(state.mu, state.bases, bases, strict=True)]
    nu = [functools.reduce(_taken, enumerate(order, 1), v)
          for v, order in zip(state.nu, orders, strict=True)]
    return state._replace(mu=mu, nu=nu, bases=bases)


def _taken(x, axis_and_order):
    """`x` with each array's entries along an axis in an order of its own."""
    axis, order = axis_and_order
    others = [a for a in range(1, x.ndim) if a != axis]
    return jnp.take_along_axis(x, jnp.expand_dims(order, others), axis)


def orthonormal(stacks: PyTree) -> PyTree:
    """Q of the QR decomposition of each square matrix of stacks, by Householder's reflections. All
    at once, in the largest one's size: a GPU's solver takes each alone, and waits between them."""
    leaves, structure = jax.tree.flatten(stacks)
    if not leaves:
        return stacks
    n = max(m.shape[1] for m in leaves)
    rows = jnp.arange(n)
    padded = jnp.concatenate([
        jnp.broadcast_to(jnp.eye(n), (len(m), n, n)).at[:, : m.shape[1], : m.shape[1]].set(m)
        for m in leaves])

    def reflected(k, carry):
        q, r = carry
        below = jnp.where(rows > k, r[:, :, k], 0)
        length = jnp.sqrt(jnp.square(below).sum(-1, keepdims=True))
        first = r[:, k, k, None]
        v = below + jnp.where(rows == k, first + jnp.copysign(jnp.hypot(first, length), first), 0)
        v = jnp.where(length > 0, v / jnp.linalg.norm(v, axis=-1, keepdims=True), 0)
        along = jnp.einsum("mi,mij->mj", v, r, precision="highest")
        across = jnp.einsum("mij,mj->mi", q, v, precision="highest")
        return q - 2 * across[:, :, None] * v[:, None], r - 2 * v[:, :, None] * along[:, None]

    start = jnp.broadcast_to(jnp.eye(n), padded.shape)
    q, _ = jax.lax.fori_loop(0, n, reflected, (start, padded))
    parts = jnp.split(q, np.cumsum([len(m) for m in leaves])[:-1])
    return jax.tree.unflatten(structure, [
        part[:, : m.shape[1], : m.shape[1]] for part, m in zip(parts, leaves, strict=True)])


NETWORK_OPTIMIZERS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "adam": optax.scale_by_adam, "soap": scale_by_soap}
"""By name."""
