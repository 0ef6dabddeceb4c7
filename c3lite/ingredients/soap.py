"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv 2409.11321).

For a matrix W with gradient G, L = E[G Gᵀ] and R = E[Gᵀ G] say which rows, and which columns, move
together. In the bases of their eigenvectors the gradient's entries are nearly independent, which is
what Adam takes for granted:

    G' = Q_Lᵀ G Q_R,    N' = Adam(G'),    update = Q_L N' Q_Rᵀ

An array of k axes has k such bases. A vector has none: for it SOAP is Adam. The networks' matrices
have some dozens of rows, so all of this costs little beside the pixels.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

Matrices = tuple[Float[Array, "_ _"], ...]
"""One for each axis of an array, none for a vector."""


class SoapState(NamedTuple):
    """What SOAP remembers; lists have an entry an array, in the order of `jax.tree.leaves`."""

    count: Int[Array, ""]
    """Gradients seen."""
    mu: list[Float[Array, "..."]]
    """Adam's first moments, in the bases."""
    nu: list[Float[Array, "..."]]
    """Adam's second moments, in the bases."""
    moments: list[Matrices]
    """L, R, ...: running means of the gradient's products with itself along each axis."""
    bases: list[Matrices]
    """Q_L, Q_R, ...: about the eigenvectors of `moments`."""


def rotate(x: Float[Array, "*shape"], bases: Matrices, *, back: bool = False):
    """`x` in the given bases of its axes, or from there `back`; unchanged where there are none."""
    for basis in bases:  # a product moves its axis to the end, so that each has its turn
        x = jnp.tensordot(x, basis, axes=((0,), (int(back),)), precision="highest")
    return x


def axis_products(g: Float[Array, "*shape"]) -> Matrices:
    """G Gᵀ of every axis of `g`, its other axes flattened; none for a vector."""
    if g.ndim < 2:
        return ()
    rows = (jnp.moveaxis(g, axis, 0).reshape(g.shape[axis], -1) for axis in range(g.ndim))
    return tuple(jnp.matmul(r, r.T, precision="highest") for r in rows)


def scale_by_soap(
    b1: float = 0.95, b2: float = 0.95, eps: float = 1e-8, every: int = 10
) -> optax.GradientTransformationExtraArgs:
    """SOAP as an optax transformation; the learning rate is the caller's, as of `scale_by_adam`.

    The first gradient founds the bases, and its update is zero. Every `every` steps the bases
    follow `moments` by a step of the power iteration, Q <- QR(L Q). The defaults are those of
    Cool-Chic 5.0. `update` may be told the number of the `step`, which fits of a batch share: only
    then do they all change their bases at once, and compute nothing of it in between.
    """

    def init(params):
        params = jax.tree.leaves(params)
        zeros = [jnp.zeros_like(p) for p in params]
        moments = [tuple(map(jnp.zeros_like, axis_products(z))) for z in zeros]
        bases = [tuple(jnp.eye(len(m), dtype=m.dtype) for m in own) for own in moments]
        return SoapState(jnp.zeros((), jnp.int32), zeros, zeros, moments, bases)

    def update(updates, state, params=None, *, step=None, **_):
        del params
        step = state.count if step is None else step
        gradients, structure = jax.tree.flatten(updates)
        moments = jax.tree.map(lambda old, new: b2 * old + (1 - b2) * new,
                               state.moments, [axis_products(g) for g in gradients])
        state = state._replace(moments=moments)
        first = step == 0
        state = jax.lax.cond(first, _found, lambda s: s, state)

        gradients = list(map(rotate, gradients, state.bases))
        kept = jnp.where(first, 1.0, 0.0)  # the first step leaves Adam as it was
        done = jnp.maximum(state.count, 1)
        mu = _mean(state.mu, gradients, kept + (1 - kept) * b1)
        nu = _mean(state.nu, [g * g for g in gradients], kept + (1 - kept) * b2)
        steps = [(m / (1 - b1**done)) / (jnp.sqrt(v / (1 - b2**done)) + eps)
                 for m, v in zip(mu, nu, strict=True)]
        steps = [rotate(step, q, back=True) for step, q in zip(steps, state.bases, strict=True)]

        state = state._replace(mu=mu, nu=nu)
        state = jax.lax.cond(~first & (step % every == 0), _follow, lambda s: s, state)
        return (jax.tree.unflatten(structure, steps),
                state._replace(count=optax.safe_increment(state.count)))

    return optax.GradientTransformationExtraArgs(init, update)


def _mean(old, new, decay):
    return [decay * o + (1 - decay) * n for o, n in zip(old, new, strict=True)]


def _found(state: SoapState) -> SoapState:
    """Bases that are the eigenvectors of the first products, those of the largest values first."""
    return state._replace(bases=jax.tree.map(
        lambda m: jnp.linalg.eigh(m)[1][:, ::-1], state.moments))


def _follow(state: SoapState) -> SoapState:
    """The bases nearer to the eigenvectors of today's products, and Adam's moments in them.

    The first moment is rotated over. The second is of squares, which cannot be: its entries follow
    the columns as these are sorted by size, which is when QR's power iteration converges.
    """
    orders = jax.tree.map(
        lambda product, basis: jnp.argsort(-jnp.einsum("ij,ik,kj->j", basis, product, basis)),
        state.moments, state.bases)
    bases = orthonormal(jax.tree.map(
        lambda product, basis, order: product @ basis[:, order],
        state.moments, state.bases, orders))
    mu = [rotate(rotate(m, old, back=True), new)
          for m, old, new in zip(state.mu, state.bases, bases, strict=True)]
    nu = [functools.reduce(lambda v, taken: jnp.take(v, taken[1], axis=taken[0]),
                           enumerate(order), v)
          for v, order in zip(state.nu, orders, strict=True)]
    return state._replace(mu=mu, nu=nu, bases=bases)


def orthonormal(matrices: PyTree) -> PyTree:
    """Q of the QR decomposition of each square matrix, by Householder's reflections.

    All at once, in the largest one's size: a GPU's solver takes one small matrix after another, and
    waits between them.
    """
    leaves, structure = jax.tree.flatten(matrices)
    if not leaves:
        return matrices
    n = max(map(len, leaves))
    rows = jnp.arange(n)
    padded = jnp.stack([jnp.eye(n).at[: len(m), : len(m)].set(m) for m in leaves])

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
    return jax.tree.unflatten(structure, [
        each[: len(m), : len(m)] for each, m in zip(q, leaves, strict=True)])
