"""SOAP against a dense reference, its limits, and a problem that it must solve faster than Adam."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c3lite.ingredients import optimizers
from c3lite.ingredients.optimizers import (
    axis_products,
    orthonormal,
    rotate,
    scale_by_soap,
    stacked,
    unstacked,
)


def dense_soap(gradients, b1=0.95, b2=0.95, eps=1e-8, every=10):
    """SOAP of one array by one matrix for all axes together (a Kronecker product), in float64."""
    shape = gradients[0].shape
    moments = [np.zeros((n, n)) for n in shape]
    m = v = np.zeros(shape).reshape(-1)
    for t, g in enumerate(gradients):
        for axis in range(len(shape)):
            rows = np.moveaxis(g, axis, 0).reshape(shape[axis], -1)
            moments[axis] = b2 * moments[axis] + (1 - b2) * rows @ rows.T
        if t == 0:
            bases = [np.linalg.eigh(own)[1][:, ::-1] for own in moments]
            yield np.zeros(shape)
            continue
        whole = bases[0]
        for q in bases[1:]:
            whole = np.kron(whole, q)
        turned = whole.T @ g.reshape(-1)
        m, v = b1 * m + (1 - b1) * turned, b2 * v + (1 - b2) * turned**2
        step = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        yield (whole @ step).reshape(shape)
        if t % every == 0:
            plain, v, new = whole @ m, v.reshape(shape), []
            for axis, (q, own) in enumerate(zip(bases, moments, strict=True)):
                order = np.argsort(-np.diag(q.T @ own @ q))
                v = np.take(v, order, axis)
                new.append(np.linalg.qr(own @ q[:, order])[0])
            whole = new[0]
            for q in new[1:]:
                whole = np.kron(whole, q)
            bases, m, v = new, whole.T @ plain, v.reshape(-1)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2), (2, 2, 3, 3)])
def test_it_is_the_dense_reference(shape):
    rng = np.random.default_rng(0)
    scales = rng.uniform(0.3, 3, shape)  # eigenvalues far apart: their order is no coin toss
    gradients = [scales * rng.normal(size=shape) for _ in range(25)]
    soap = scale_by_soap()
    state, update = soap.init(jnp.zeros(shape)), jax.jit(soap.update)
    for gradient, expected in zip(gradients, dense_soap(gradients), strict=True):
        step, state = update(jnp.asarray(gradient, jnp.float32), state)
        np.testing.assert_allclose(step, expected, atol=2e-3)


SHAPES = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=4)


@given(SHAPES, st.integers(0, 2**31 - 1))
@settings(max_examples=20)
def test_stacks_lose_nothing(shapes, seed):
    rng = np.random.default_rng(seed)
    arrays = [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]
    stacks = stacked(arrays)
    assert [s.ndim - 1 for s in stacks] == sorted({a.ndim for a in arrays})
    assert sum(map(len, stacks)) == len(arrays)
    for back, array in zip(unstacked(stacks, arrays), arrays, strict=True):
        np.testing.assert_array_equal(back, array)


def test_arrays_of_a_stack_do_not_know_of_each_other():
    rng = np.random.default_rng(4)
    shapes = {"a": (3, 3), "b": (5, 5), "c": (2, 2), "kernel": (2, 2, 3, 3), "d": (5,), "e": (8,)}
    scales = {k: rng.uniform(0.3, 3, shape) for k, shape in shapes.items()}
    soap = scale_by_soap(every=4)
    update = jax.jit(soap.update)
    params = {k: jnp.zeros(shape) for k, shape in shapes.items()}
    together, alone = soap.init(params), {k: soap.init(p) for k, p in params.items()}
    for _ in range(12):
        gradients = {k: jnp.asarray(scale * rng.normal(size=scale.shape), jnp.float32)
                     for k, scale in scales.items()}
        steps, together = update(gradients, together)
        for k, gradient in gradients.items():
            step, alone[k] = update(gradient, alone[k])
            np.testing.assert_allclose(steps[k], step, atol=2e-3, err_msg=k)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0])
def test_the_zeros_around_an_array_stay_apart(scale):
    """Also where its gradient is zero in some directions, as the zeros are."""
    rng = np.random.default_rng(5)
    params = [jnp.zeros(shape) for shape in ((3, 6), (7, 2), (2, 2))]
    soap = scale_by_soap(every=2)
    state, update = soap.init(params), jax.jit(soap.update)
    for i in range(9):
        gradient = [jnp.asarray(scale * np.outer(*(rng.normal(size=n) for n in p.shape)),
                                jnp.float32) if i else p + scale * (i + 1) for p in params]
        _, state = update(gradient, state)
    for axis, bases in enumerate(state.bases[0]):
        for basis, p in zip(bases, params, strict=True):
            n = p.shape[axis]
            np.testing.assert_allclose(basis.T @ basis, np.eye(len(basis)), atol=1e-4)
            if scale:
                assert not basis[:n, n:].any() and not basis[n:, :n].any()


@given(st.lists(st.tuples(st.integers(1, 7), st.integers(0, 7)), min_size=1, max_size=4),
       st.integers(0, 2**31 - 1))
@settings(max_examples=30)  # every shape is compiled
def test_orthonormal_is_qr(sizes, seed):
    """Of matrices of several sizes and ranks, also 0: what is not determined is orthonormal too."""
    rng = np.random.default_rng(seed)
    matrices = [np.float32(rng.normal(size=(n, n)) @ np.diag(np.arange(n) < rank))
                for n, rank in sizes]
    stacks = [matrix[None] for matrix in matrices]
    for (q,), matrix, (n, rank) in zip(orthonormal(stacks), matrices, sizes, strict=True):
        np.testing.assert_allclose(q.T @ q, np.eye(n), atol=1e-5)
        if rank >= n:
            wanted, _ = np.linalg.qr(matrix)
            close = 1e-5 * np.linalg.cond(matrix)
            np.testing.assert_allclose(q, wanted, atol=max(close, 1e-4))


def test_identity_bases_are_adam():
    """With bases that stay the identity, and for vectors always, it is Adam a step later."""
    rng = np.random.default_rng(1)
    params = {"w": jnp.zeros((3, 5)), "b": jnp.zeros(4)}
    soap, adam = scale_by_soap(every=10**9), optax.scale_by_adam(0.95, 0.95)
    state = soap.init(params)
    ours = state._replace(count=state.count + 1)  # the step that founds the bases is over
    theirs = adam.init(params)
    update = jax.jit(soap.update)
    for _ in range(30):
        gradient = {k: jnp.asarray(rng.normal(size=p.shape), jnp.float32)
                    for k, p in params.items()}
        step, ours = update(gradient, ours)
        expected, theirs = adam.update(gradient, theirs)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
                     step, expected)


def test_a_vector_starts_with_a_pause_and_then_is_adam():
    soap, adam = scale_by_soap(), optax.scale_by_adam(0.95, 0.95)
    ours, theirs = soap.init(jnp.zeros(6)), adam.init(jnp.zeros(6))
    gradients = np.random.default_rng(2).normal(size=(25, 6)).astype(np.float32)
    pause, ours = soap.update(jnp.asarray(gradients[0]), ours)
    assert not np.asarray(pause).any()
    for gradient in gradients[1:]:
        step, ours = soap.update(jnp.asarray(gradient), ours)
        expected, theirs = adam.update(jnp.asarray(gradient), theirs)
        np.testing.assert_allclose(step, expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=10)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.integers(0, 2**31 - 1))
def test_rotating_there_and_back_loses_nothing(shape, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *shape)).astype(np.float32)
    bases = tuple(jnp.asarray(np.linalg.qr(rng.normal(size=(2, n, n)))[0], jnp.float32)
                  for n in shape)
    turned = rotate(jnp.asarray(x), bases)
    np.testing.assert_allclose(rotate(turned, bases, back=True), x, atol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(turned), np.linalg.norm(x), rtol=1e-4)


def test_bases_become_the_eigenvectors():
    """Of products that stay what they are."""
    rng = np.random.default_rng(3)
    q = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    gradient = jnp.asarray(q @ np.diag([5.0, 4.0, 3.0, 2.0, 1.0]), jnp.float32)
    soap = scale_by_soap(every=1)
    state, update = soap.init(gradient), jax.jit(soap.update)
    for _ in range(30):
        _, state = update(gradient, state)
    (rows, _), (moment, _) = state.bases[0], axis_products(gradient[None])
    turned = rows[0].T @ moment[0] @ rows[0]
    np.testing.assert_allclose(turned, np.diag([25.0, 16.0, 9.0, 4.0, 1.0]), atol=1e-2)


def final_loss(optimizer, rate, seed, steps=500):
    """After a cosine of the learning rate. 64 numbers have curvatures from 1 to 10,000, along
    directions that are not the coordinates', and the gradient is noisy."""
    rng = np.random.default_rng(seed)
    left, right = (jnp.asarray(np.linalg.qr(rng.normal(size=(8, 8)))[0], jnp.float32)
                   for _ in range(2))
    side = jnp.geomspace(1, 100, 8)
    curvature = side[:, None] * side

    def loss(w):
        return (curvature * (left.T @ w @ right) ** 2).sum() / 2

    def step(carry, drawn):
        w, state = carry
        key, t = drawn
        noise = 0.3 * left @ (jnp.sqrt(curvature) * jax.random.normal(key, w.shape)) @ right.T
        update, state = optimizer.update(jax.grad(loss)(w) + noise, state)
        return (w - rate * (1 + jnp.cos(jnp.pi * t)) / 2 * update, state), None

    w = left @ jnp.asarray(rng.normal(size=(8, 8)), jnp.float32) @ right.T
    drawn = jax.random.split(jax.random.key(seed), steps), jnp.arange(steps) / steps
    (w, _), _ = jax.lax.scan(step, (w, optimizer.init(w)), drawn)
    return loss(w)


def test_no_two_solvers_run_at_once():
    """Or they wait for each other on two threads, and the second fit of a clip never ends."""
    gradients = [jnp.ones(shape) for shape in ((3, 4), (5, 2), (2, 3, 3, 3, 3), (4,))]
    optimizer = scale_by_soap()
    state = optimizer.init(gradients)
    found = jax.make_jaxpr(lambda state: optimizers._first_bases(
        state, optimizers._filled(gradients)))(state).jaxpr
    solvers, after = 0, set()
    for equation in found.eqns:
        waits = any(id(v) in after for v in equation.invars)
        if "eigh" in str(equation):
            assert waits or not solvers, "a solver that waits for none before it"
            solvers, after = solvers + 1, set(map(id, equation.outvars))
        elif waits:
            after |= set(map(id, equation.outvars))
    assert solvers == 2 + 5


def test_a_rotated_quadratic_is_solved_faster_than_by_adam():
    """In as many steps, at the learning rate that suits each best."""
    rates = jnp.array([0.01, 0.03, 0.1, 0.3])

    def best(optimizer):
        return np.array([jax.jit(jax.vmap(lambda rate, seed=seed: final_loss(
            optimizer, rate, seed)))(rates) for seed in range(3)]).min(1)

    assert (best(scale_by_soap()) < 0.7 * best(optax.scale_by_adam(0.95, 0.95))).all()
