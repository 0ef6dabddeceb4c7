"""The entropy model in whole numbers: the same probabilities on every machine (Eqs. 1, 2, 12).

An entropy coder needs encoder and decoder to agree on every probability to the last bit, and
floating-point networks do not: batches of another size or another machine sum in another order.
Here every product and sum is of whole numbers below 2^53, which float64 holds exactly, so that
BLAS gives one result in any order. Fixed point: weights have 16 fractional bits, activations 12.
The network's answer is rounded to mu in 1/16 of a bin and ln(scale) in 1/16, a pair that names one
of finitely many frequency tables.

Two things need more than products: a network's own numbers (an integer times a step) are scaled by
single float64 operations, which IEEE 754 rounds the same everywhere; and the exponentials in the
tables of GELU and Laplace are rounded to whole numbers from which no machine's `exp` is far enough
off (a test measures the distance to the nearest tie).

Units: symbols in step units; mu and scale here in bins, too, that is divided by q.
"""

from __future__ import annotations

import decimal
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real

from c3lite.coding.pixels import product
from c3lite.coding.rangecoder import Table
from c3lite.ingredients.activations import ACTIVATIONS
from c3lite.ingredients.activations import FRACTION_BITS as ACTIVATION_BITS
from c3lite.model.networks import is_residual

WEIGHT_BITS = 16
INDEX_BITS = 4
"""mu and ln(scale) are rounded to 2^-4: at most 0.05 % of the rate."""

EXACT = 2.0**51
"""No sum may exceed this; half of it would do, but nothing is lost."""
MAX_LATENT = 2**14
"""Contexts see latents clipped to this."""
MAX_ACTIVATION = 2.0**22
"""Hidden layers' outputs are clipped to this before the activation: 1024 in 12 bits."""

MAX_LOG_SCALE = 5 * 2**INDEX_BITS
"""ln(scale) of a latent is clipped to [-5, 5]."""


def scaled(k: Float[np.ndarray, "*shape"], *factors: float) -> Float[np.ndarray, "*shape"]:
    """k times all factors, one correctly rounded multiplication at a time, to a whole number."""
    out = np.asarray(k, np.float64)
    for factor in factors:
        out = out * factor
    return np.rint(out)


class Layer(NamedTuple):
    """One layer: x @ weight + bias, rounded to whole numbers, halves up."""

    weight: Float[np.ndarray, "n_in n_out"]
    """Whole numbers times 2^-shift, in float64."""
    bias: Float[np.ndarray, " n_out"]
    """Whole numbers times 2^-shift, and 1/2: then rounding is `floor`."""
    shift: int

    def __call__(self, x: Float[np.ndarray, "n n_in"]) -> Float[np.ndarray, "n n_out"]:
        y = product(x, self.weight)
        y += self.bias
        return np.floor(y, out=y)


class Network(NamedTuple):
    """The entropy network of one grid."""

    layers: tuple[Layer, ...]
    activation: str
    log_scale_range: tuple[int, int]
    """Lowest and highest ln(scale / q), in 1/16."""

    def __call__(
        self, x: Float[np.ndarray, "n context"]
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """(mu, ln scale) in 1/16 for contexts of whole numbers, rows of the plan's buffer."""
        act = ACTIVATIONS[self.activation].integer
        for layer in self.layers[:-1]:
            x = layer(x)
            np.minimum(x, MAX_ACTIVATION, out=x)
            np.maximum(x, -MAX_ACTIVATION, out=x)
            x = act(x)
        mu, log_scale = self.layers[-1](x).astype(np.int64).T
        low, high = self.log_scale_range
        return mu, np.minimum(np.maximum(log_scale, low), high)


def network(
    config,
    layers: list[tuple[Real[np.ndarray, "_ _"], Real[np.ndarray, " _"]]],
    film: list[tuple[Real[np.ndarray, " _"], Real[np.ndarray, " _"]]],
    weight_step: float,
    bias_step: float,
    unit: int,
) -> Network:
    """The integer network of one grid.

    Args:
        layers: (weight (n_out, n_in), bias (n_out,)) of each layer, in steps.
        film: (scale - 1, shift) of each hidden layer for this grid, in steps; may be empty.
        unit: what a latent of 1 is in the network's input.
    """
    q = float(np.float32(config.quantization_step))
    out, fraction, largest = [], unit.bit_length() - 1, float(MAX_LATENT * unit)
    for i, (weight, bias) in enumerate(layers):
        n_out, n_in = weight.shape
        weight, bias = weight * np.float64(weight_step), bias * np.float64(bias_step)
        if i < len(film):
            gamma, beta = film[i][0] * np.float64(weight_step), film[i][1] * np.float64(bias_step)
            weight, bias = (1 + gamma)[:, None] * weight, (1 + gamma) * bias + beta
        last = i == len(layers) - 1
        if not last and is_residual(config, n_in, n_out):
            weight = weight + np.eye(n_out)
        if i == 0:
            weight = weight * q  # latents are multiples of q
        if last:
            weight, bias = _in_bins(config, weight, bias, q)
        weight = scaled(weight, 2.0**WEIGHT_BITS)
        bias = scaled(bias, 2.0 ** (WEIGHT_BITS + fraction))
        limit = math.floor(EXACT / (largest * max(n_in, 1)))
        weight, bias = np.clip(weight, -limit, limit), np.clip(bias, -EXACT, EXACT)
        shift = WEIGHT_BITS + fraction - (INDEX_BITS if last else ACTIVATION_BITS)
        power = 2.0**-shift  # nothing is rounded
        out.append(Layer(np.ascontiguousarray(weight.T * power), bias * power + 0.5, shift))
        fraction, largest = ACTIVATION_BITS, MAX_ACTIVATION
    return Network(tuple(out), config.activation, _log_scale_range(config, q))


def _in_bins(config, weight, bias, q):
    """The last layer, so that it gives mu / q and ln(scale / q) (entropy.laplace_scale)."""
    factor = np.array([1 / q, -0.5])
    shift = np.array([0.0, -float(np.float32(config.log_scale_shift)) / 2 - _ln(q)])
    return weight * factor[:, None], bias * factor + shift


def _log_scale_range(config, q):
    low, high = (round((_ln(float(np.float32(s))) - _ln(q)) * 2**INDEX_BITS)
                 for s in (config.scale_min, config.scale_max))
    low, high = (min(max(v, -MAX_LOG_SCALE), MAX_LOG_SCALE) for v in (low, high))
    return low, high


def _ln(x: float) -> float:
    return float(decimal.Decimal(x).ln())  # correctly rounded, which math.log need not be


# Frequency tables -------------------------------------------------------------------------------

TOTAL = 2**16
LOG_SCALES = 1024
"""Scales of tables: ln(scale) = -5 + level / 64, up to 2^15 and beyond. Latents use every 4th."""
LEVELS_PER_E = 64
FRACTIONS = 16
MAX_RADIUS = 500
"""A table has 2 radius + 2 symbols, and the range coder allows 1024."""
UNIFORM = LOG_SCALES * FRACTIONS
"""Table UNIFORM + n has 2^n equally likely symbols, n = 0..8."""
MAX_UNIFORM_BITS = 8


def log_scale_level(log_scale: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
    """The level of a latent's ln(scale) in 1/16, which is in [-80, 80]."""
    return (log_scale + MAX_LOG_SCALE) * (LEVELS_PER_E >> INDEX_BITS)


def table_number(
    mu: Int[np.ndarray, "*shape"], level: Int[np.ndarray, "*shape"]
) -> tuple[Int[np.ndarray, "*shape"], Int[np.ndarray, "*shape"]]:
    """The table for mu (in 1/16) and a level of scale, and the integer nearest to mu."""
    center = (mu + FRACTIONS // 2) >> INDEX_BITS
    return (level << INDEX_BITS) + (mu + FRACTIONS // 2 - (center << INDEX_BITS)), center


def _scale(level):
    return np.exp(level / LEVELS_PER_E - 5)


RADIUS = np.clip(np.ceil(10 * _scale(np.arange(LOG_SCALES))), 1, MAX_RADIUS).astype(np.int64)
"""For each level: integers farther than this from the center are an escape, of probability e^-10
where the table is large enough."""


def cumulative(number: int) -> Float[np.ndarray, " n"]:
    """The table's cumulative probabilities before rounding, times what they share out of 2^16.

    The order is 1, 2, .. radius, escape, -radius, .. -1, 0: the likeliest symbol has to be last.
    """
    level, fraction = divmod(number, FRACTIONS)
    scale, radius = _scale(level), int(RADIUS[level])
    mu = (fraction - FRACTIONS // 2) / FRACTIONS
    edges = np.arange(radius + 1) + 0.5
    above = np.exp(-(edges - mu) / scale) / 2  # mass beyond each edge, on either side
    below = np.exp(-(edges + mu) / scale) / 2
    probability = np.concatenate([above[0] - above, above[0] + below[::-1], [1.0]])
    return probability * (TOTAL - (2 * radius + 2))


class Tables(dict[int, Table]):
    """All tables by number, each made when it is first asked for."""

    def __missing__(self, number: int) -> Table:
        if number >= UNIFORM:
            table = Table(np.arange(2 ** (number - UNIFORM) + 1) << (16 - number + UNIFORM))
        else:
            whole = np.rint(cumulative(number)).astype(np.int64)
            table = Table(whole + np.arange(len(whole)))  # no symbol without a width
        self[number] = table
        return table
