"""How the weights of the networks' layers start; biases start at zero."""

import math
from collections.abc import Callable

import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

Weight = Float[Array, "n_out n_in"]


def truncated_normal(key: PRNGKeyArray, n_out: int, n_in: int, fan_in: int) -> Weight:
    """sigma = 1/sqrt(fan_in), cut at 2 sigma before scaling (the release; the text says He)."""
    return jr.truncated_normal(key, -2, 2, (n_out, n_in)) / math.sqrt(fan_in)


def cool_chic(key: PRNGKeyArray, n_out: int, n_in: int, fan_in: int) -> Weight:
    """N(0, 1) / n_out^2."""
    return jr.normal(key, (n_out, n_in)) / n_out**2


def cool_chic_v2(key: PRNGKeyArray, n_out: int, n_in: int, fan_in: int) -> Weight:
    """Uniform in +-1/sqrt(fan_in), over n_out^2."""
    return jr.uniform(key, (n_out, n_in), minval=-1, maxval=1) / math.sqrt(fan_in) / n_out**2


INITIALIZATIONS: dict[str, Callable[[PRNGKeyArray, int, int, int], Weight]] = {
    "truncated_normal": truncated_normal, "cool_chic": cool_chic, "cool_chic_v2": cool_chic_v2}
"""By name: (key, n_out, n_in, fan_in) to a random weight matrix."""
