"""Distributions of a latent around its mu: in JAX for fitting, in NumPy for a file's tables."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import erfc


class Distribution(NamedTuple):
    """A symmetric distribution, by what lies beyond t on both sides; all of (t, scale)."""

    beyond: Callable[[Float[Array, "*shape"], Float[Array, "*shape"]], Float[Array, "*shape"]]
    """P(|x| > t) in JAX; 1 below t = 0."""
    within: Callable[[Float[Array, "*shape"], Float[Array, "*shape"]], Float[Array, "*shape"]]
    """P(t < |x| < t + 1) for t >= 0 in JAX."""
    tails: Callable[[Float[np.ndarray, "*shape"], float], Float[np.ndarray, "*shape"]]
    """P(|x| > t) for t >= 0 in NumPy, float64."""


def _laplace_beyond(t, scale):
    # e^-40 is nothing beside 1 or 2^-16; smaller values would be subnormal numbers, with which
    # the gradient's matrix products are five times slower
    return jnp.exp(-jnp.clip(t / scale, 0, 40))


def _gaussian_beyond(t, scale):
    return jax.lax.erfc(jnp.clip(t / scale, 0, 18) / 2)  # e^-81


_LAPLACE = Distribution(
    _laplace_beyond,
    # a difference would cancel
    lambda t, scale: _laplace_beyond(t, scale) * -jnp.expm1(-1 / scale),
    lambda t, scale: np.exp(-t / scale))


def _two(function, share=0.25, ratio=0.5):
    """Of a mixture: the narrower part, of that share, has `ratio` of the scale."""
    return lambda t, scale: (1 - share) * function(t, scale) + share * function(t, ratio * scale)


DISTRIBUTIONS: dict[str, Distribution] = {
    "laplace": _LAPLACE,
    # of Laplace's variance, 2 scale^2
    "gaussian": Distribution(
        _gaussian_beyond,
        lambda t, scale: _gaussian_beyond(t, scale) - _gaussian_beyond(t + 1, scale),
        lambda t, scale: erfc(t / scale / 2)),
    "two_laplaces": Distribution(*map(_two, _LAPLACE)),
}
"""By name. Append only: the place is the number in files."""
