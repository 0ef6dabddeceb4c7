"""Soft-rounding and noise against their limits, inverses and closed forms (Eqs. 5, 19-23)."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c3lite.ingredients.noise import kumaraswamy_b
from c3lite.model import quantize as qz

temperatures = st.floats(0.05, 20)
values = st.floats(-50, 50, width=32)


@given(values, temperatures)
def test_soft_round_is_eq_20(x, T):
    delta = x - np.floor(x) - 0.5
    expected = np.floor(x) + 0.5 * np.tanh(delta / T) / np.tanh(1 / (2 * T)) + 0.5
    np.testing.assert_allclose(qz.soft_round(jnp.float32(x), T), expected, atol=2e-5)


@given(values, st.floats(0.1, 20))
def test_inverse_undoes_soft_round(x, T):
    y = qz.soft_round(jnp.float32(x), T)
    # at a bin edge of a steep staircase float32 cannot tell x apart
    slope = jax.grad(qz.soft_round)(jnp.float32(x), T)
    np.testing.assert_allclose(qz.soft_round_inverse(y, T), x, atol=1e-4 + 1e-5 / float(slope))


@pytest.mark.parametrize("T", [qz.IDENTITY_TEMPERATURE, 1e6, np.inf])
def test_infinite_temperature_is_exactly_the_identity(T):
    x = jr.normal(jr.key(0), (1000,)) * 30
    assert (qz.soft_round(x, T) == x).all()
    assert (qz.soft_round_inverse(x, T) == x).all()
    gradient = jax.grad(lambda x: qz.noisy_round(x, T, 1.0, jr.key(1)).sum())(x)
    assert (gradient == 1).all()


def test_just_below_the_identity_differs_by_less_than_1e_6():
    x = jnp.linspace(-3, 3, 1001)
    assert abs(qz.soft_round(x, qz.IDENTITY_TEMPERATURE * 0.999) - x).max() < 1e-6


@given(st.floats(-20, 20).filter(lambda x: abs(x - np.floor(x) - 0.5) > 0.05))
def test_low_temperature_is_rounding(x):
    np.testing.assert_allclose(qz.soft_round(jnp.float32(x), 1e-3), np.round(x), atol=1e-4)


def test_rounding_limit_of_eq_5():
    # the limit of s_T(s_T(z) + u) is [z], whatever the noise
    x = jr.uniform(jr.key(0), (5000,), minval=-8, maxval=8)
    x = x[abs(x - jnp.floor(x) - 0.5) > 0.02]
    rounded = qz.noisy_round(x, 1e-3, 1.0, jr.key(1), second_is_s=True)
    far = abs(rounded - jnp.round(x)) > 1e-2
    assert far.mean() < 0.01  # the noise's own edge, |u| = 1/2, has the only exceptions


def test_r_is_the_conditional_mean():
    # Eq. 21: r(y) is the mean of x given s(x) + u = y, for uniform x and u, where the slope of s
    # inverse is even over the window; check it by simulation at a mild temperature
    T = 0.5
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, 2_000_000).astype(np.float32)
    y = np.asarray(qz.soft_round(jnp.asarray(x), T)) + rng.uniform(-0.5, 0.5, x.size)
    for center in (-0.4, 0.1, 0.3):
        near = abs(y - center) < 0.01
        predicted = float(qz.soft_round_conditional_mean(jnp.float32(center), T))
        assert abs(x[near].mean() - predicted) < 0.03


def test_a_1_is_exactly_uniform():
    noise = qz.kumaraswamy_noise(jr.key(3), (1000,), 1.0)
    assert (noise == jr.uniform(jr.key(3), (1000,)) - 0.5).all()


@given(st.floats(1, 8))
def test_b_puts_the_mode_at_one_half(a):
    if a < 1.05:
        return  # nearly flat
    b = kumaraswamy_b(a)
    u = np.linspace(1e-3, 1 - 1e-3, 4001)
    log_density = (a - 1) * np.log(u) + (b - 1) * np.log1p(-(u**a))
    assert abs(u[log_density.argmax()] - 0.5) < 1e-3


def test_a_2_has_the_published_shape():
    assert kumaraswamy_b(2.0) == 2.5
    noise = np.asarray(qz.kumaraswamy_noise(jr.key(0), (400_000,), 2.0))
    assert abs(noise.mean() - (0.491 - 0.5)) < 1e-3
    assert abs(noise.std() - 0.212) < 1e-3
    assert (abs(noise) <= 0.5).all()
    # the distribution function 1 - (1 - u^a)^b
    for quantile in (0.1, 0.5, 0.9):
        u = np.quantile(noise, quantile) + 0.5
        assert abs(1 - (1 - u**2) ** 2.5 - quantile) < 3e-3


def test_noise_vanishes_for_large_a():
    # (E / b)^(1/a) with E ~ Exp(1) spreads as pi / sqrt(6) / (2 a)
    noise = np.asarray(qz.kumaraswamy_noise(jr.key(0), (100_000,), 16.0))
    assert noise.std() == pytest.approx(np.pi / np.sqrt(6) / 32, rel=0.1)
    assert abs(noise.mean()) < 0.02
    assert (qz.kumaraswamy_noise(jr.key(0), (100,), jnp.inf) == 0).all()
    x = jr.normal(jr.key(1), (100,)) * 5
    np.testing.assert_array_equal(
        qz.noisy_round(x, 0.3, jnp.inf, jr.key(2)),
        qz.soft_round_conditional_mean(qz.soft_round(x, 0.3), 0.3))
    np.testing.assert_allclose(qz.noisy_round(x, jnp.inf, jnp.inf, jr.key(2)), x, atol=1e-6)


@pytest.mark.parametrize("second_is_s", [False, True])
def test_noisy_round_composes_what_eq_19_says(second_is_s):
    x, key, T, a = jr.normal(jr.key(0), (100,)) * 5, jr.key(2), 0.25, 1.5
    y = qz.soft_round(x, T) + qz.kumaraswamy_noise(key, x.shape, a)
    expected = qz.soft_round(y, T) if second_is_s else qz.soft_round_inverse(y - 0.5, T) + 0.5
    np.testing.assert_array_equal(qz.noisy_round(x, T, a, key, second_is_s), expected)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
def test_hard_round_is_half_to_even(xs):
    np.testing.assert_array_equal(qz.hard_round(jnp.array(xs, jnp.float32)),
                                  np.round(np.float32(xs)))


@given(values, st.floats(0.02, 50))
def test_hard_round_has_the_slope_of_soft_round(x, T):
    slope = jax.grad(qz.hard_round)(jnp.float32(x), T)
    expected = jax.grad(qz.soft_round)(jnp.float32(x), T)
    np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=1e-5)


def test_stage_2_slope_is_5000_on_an_edge_and_0_elsewhere():
    slope = jax.vmap(jax.grad(lambda x: qz.hard_round(x, 1e-4)))
    np.testing.assert_allclose(slope(jnp.array([0.5])), 5000, rtol=1e-4)
    away = jnp.array([0.0, 0.1, 0.498, 0.502, 0.9, 7.3])
    assert (abs(slope(away)) < 1e-6).all()


def test_straight_through_scales_the_gradient():
    slope = jax.grad(lambda x: qz.hard_round(x, jnp.inf, 0.01))(jnp.float32(1.3))
    np.testing.assert_allclose(slope, 0.01)
