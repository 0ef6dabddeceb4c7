"""Rounding, and what stands in for it while latents are fitted (Eqs. 5, 13-23; App. A.2.4-A.2.5).

`x` is a latent in step units: rounding moves it to an integer. `T` is the temperature of
soft-rounding, `u` noise centered on zero, `a` its parameter (of Kumaraswamy noise its shape).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from c3lite.ingredients.noise import Scalar, kumaraswamy_noise

IDENTITY_TEMPERATURE = 1e3
"""From here on soft-rounding is the identity, to 1e-7; the formula is 0/0 at infinity."""


def soft_round(x: Float[Array, "*shape"], T: Scalar) -> Float[Array, "*shape"]:
    """s_T (Eq. 20): a staircase for T -> 0, the identity for T -> infinity."""
    t = jnp.minimum(T, IDENTITY_TEMPERATURE)
    middle = jnp.floor(x) + 0.5
    soft = middle + jnp.tanh((x - middle) / t) / (2 * jnp.tanh(0.5 / t))
    return jnp.where(T >= IDENTITY_TEMPERATURE, x, soft)


def soft_round_inverse(y: Float[Array, "*shape"], T: Scalar) -> Float[Array, "*shape"]:
    """The inverse of s_T."""
    t = jnp.minimum(T, IDENTITY_TEMPERATURE)
    middle = jnp.floor(y) + 0.5
    # In float32 the argument can reach 1 at a bin edge of a steep staircase, where atanh is inf
    slope = jnp.clip((y - middle) * 2 * jnp.tanh(0.5 / t), -1 + 1e-6, 1 - 1e-6)
    return jnp.where(T >= IDENTITY_TEMPERATURE, y, middle + t * jnp.arctanh(slope))


def soft_round_conditional_mean(y: Float[Array, "*shape"], T: Scalar) -> Float[Array, "*shape"]:
    """r_T (Eq. 21): close to the mean of x given the noisy soft-rounded y = s_T(x) + u."""
    return soft_round_inverse(y - 0.5, T) + 0.5


def noisy_round(x: Float[Array, "*shape"], T: Scalar, a: Scalar, key: PRNGKeyArray,
                second_is_s: bool = False,
                noise: Callable = kumaraswamy_noise) -> Float[Array, "*shape"]:
    """Stage 1: r_T(s_T(x) + u), or s_T(s_T(x) + u) if `second_is_s` (Eqs. 5, 19). u is `noise`
    (`Noise.sample`) of the parameter `a`."""
    y = soft_round(x, T) + noise(key, x.shape, a)
    return soft_round(y, T) if second_is_s else soft_round_conditional_mean(y, T)


@jax.custom_jvp
def hard_round(x: Float[Array, "*shape"], T: Scalar = jnp.inf,
               factor: Scalar = 1.0) -> Float[Array, "*shape"]:
    """Stage 2: round half to even; the derivative is that of s_T, times `factor` (Eqs. 16-18). T =
    inf is the straight-through estimator; `factor` is then COOL-CHICv2's epsilon."""
    return jnp.round(x)


@hard_round.defjvp
def _hard_round_jvp(primals, tangents):
    x, T, factor = primals
    t = jnp.minimum(T, IDENTITY_TEMPERATURE)
    z = (x - jnp.floor(x) - 0.5) / t
    # sech^2 as 4 e^-2|z| / (1 + e^-2|z|)^2, which neither overflows nor cancels
    decay = jnp.exp(-2 * jnp.abs(z))
    slope = 4 * decay / (1 + decay) ** 2 / (2 * t * jnp.tanh(0.5 / t))
    slope = jnp.where(T >= IDENTITY_TEMPERATURE, 1.0, slope)
    return jnp.round(x), factor * slope * tangents[0]
