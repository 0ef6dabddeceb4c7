"""Activations of both networks: in JAX, in NumPy, and in whole numbers for the entropy coder."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

FRACTION_BITS = 12
"""Of the whole numbers that `Activation.integer` takes and gives."""


class Activation(NamedTuple):
    """A function of each entry: in JAX, in NumPy, and in whole numbers."""

    train: Callable[[Float[Array, "*shape"]], Float[Array, "*shape"]]
    """For fitting, in JAX; its derivative is finite everywhere."""
    decode: Callable[[Float[np.ndarray, "*shape"]], Float[np.ndarray, "*shape"]]
    """For pixels, in NumPy, float32."""
    shortfall: Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]] | None = None
    """max(x, 0) - f(x), an even function, of x >= 0; None: nothing.

    For `integer` it becomes a table. No entry of it, before rounding, may be so near to a half that
    another machine's `exp` could turn it (a test asks for 1e-8)."""
    end: int = 0
    """From |x| = end on the shortfall counts as nothing."""

    def integer(self, x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """For probabilities: whole numbers of `FRACTION_BITS` fractional bits in float64; the same
        on every machine."""
        out = np.maximum(x, 0)
        if self.shortfall is not None:
            table = _table(self.shortfall, self.end)  # whose last entry is 0
            out -= table.take(np.abs(x).astype(np.intp), mode="clip")
        return out


@functools.cache
def _table(shortfall, end) -> Float[np.ndarray, " n"]:
    x = np.arange(end << FRACTION_BITS) / 2**FRACTION_BITS
    return np.rint(shortfall(x) * 2**FRACTION_BITS)


_SLOPE = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


def _gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The tanh approximation of GELU: x times the logistic function of 2u(x).

    u(x) = sqrt(2/pi) (x + 0.044715 x^3). The derivative is taken from the output, which saves the
    second tanh: a tenth of the time of a fitting step.
    """
    return jax.nn.gelu(x, approximate=True)


def _gelu_backward(residuals, g):
    x, y = residuals
    small = jnp.abs(x) < 1e-3  # there y / x is 0/0, or loses digits
    logistic = jnp.where(small, 0.5 + _SLOPE * x / 2, y / jnp.where(small, 1.0, x))
    du = 2 * _SLOPE * (1 + 3 * _CUBIC * x * x)
    return (g * logistic * (1 + x * (1 - logistic) * du),)


gelu = jax.custom_vjp(_gelu)
gelu.defvjp(lambda x: (y := _gelu(x), (x, y)), _gelu_backward)


def numpy_gelu(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """`gelu` in NumPy."""
    u = x * x
    u *= np.float32(_CUBIC * _SLOPE)
    u += np.float32(_SLOPE)
    u *= x
    np.tanh(u, out=u)
    u += 1
    u *= x
    u *= np.float32(0.5)
    return u


def gelu_shortfall(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """max(x, 0) - gelu(x) = x (1 - logistic(2u)) for x >= 0."""
    u = _SLOPE * (x + _CUBIC * x * x * x)
    return x / (1 + np.exp(2 * u))


ACTIVATIONS: dict[str, Activation] = {
    "gelu": Activation(gelu, numpy_gelu, gelu_shortfall, end=5),
    "relu": Activation(jax.nn.relu, lambda x: np.maximum(x, 0)),
}
"""By name. Append only: the place is the number in files."""
