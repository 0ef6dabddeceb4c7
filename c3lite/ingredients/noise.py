"""Noise that stands in for rounding in stage 1 (Eqs. 5, 22, 23; App. A.2.5)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Scalar = Float[Array, ""] | float


class Noise(NamedTuple):
    """Random numbers, in bins, that are added to soft-rounded latents."""

    sample: Callable[[PRNGKeyArray, tuple[int, ...], Scalar], Float[Array, "..."]]
    """(key, shape, parameter) to noise centered on 0."""
    parameter: str
    """The annealed config field that is its parameter."""


def kumaraswamy_b(a: Scalar) -> Scalar:
    """The second shape parameter that puts the density's mode at 1/2 (Eq. 23)."""
    return (2**a * (a - 1) + 1) / a


def kumaraswamy_noise(key: PRNGKeyArray, shape: tuple[int, ...], a: Scalar) -> Float[Array, "..."]:
    """Noise in (-1/2, 1/2) by inverting the distribution function (Eqs. 22, 23).

    a = 1 is uniform noise; a = inf, where the density is a peak at its mode, is none. The paper's
    text has noise in [0, 1]; like the authors' release, this is centered on 0.
    """
    uniform = jax.random.uniform(key, shape)
    a = jnp.asarray(a, uniform.dtype)
    b = kumaraswamy_b(a)
    kumaraswamy = (1 - (1 - uniform) ** (1 / b)) ** (1 / a)
    noise = jnp.where(a == 1, uniform, kumaraswamy)  # powers of 1 are exact only nearly
    return jnp.where(a == jnp.inf, 0.5, noise) - 0.5


def gaussian_noise(key: PRNGKeyArray, shape: tuple[int, ...], sigma: Scalar) -> Float[Array, "..."]:
    """Normal noise of standard deviation sigma, in bins; sigma = 0 is none (Cool-Chic 5)."""
    return sigma * jax.random.normal(key, shape)


NOISES: dict[str, Noise] = {"kumaraswamy": Noise(kumaraswamy_noise, "noise_shape"),
                            "gaussian": Noise(gaussian_noise, "noise_sigma")}
"""By name."""
