"""The entropy model in whole numbers, and integers coded by it (Eqs. 1, 2, 12; App. B.3).

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
import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real

from c3lite.coding.header import BitstreamError, array_infos, take_apart
from c3lite.coding.pixels import product
from c3lite.coding.rangecoder import Decoder, Table, encode_intervals
from c3lite.ingredients.activations import ACTIVATIONS
from c3lite.ingredients.activations import FRACTION_BITS as ACTIVATION_BITS
from c3lite.model.latents import exponents
from c3lite.model.networks import is_residual

WEIGHT_BITS = 16
MAX_INTEGER = 2**24
"""Largest integer of a network: what float32 holds exactly."""
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
    has_branch: bool = False
    """Whether the last layer also sees the context."""

    def __call__(
        self, x: Float[np.ndarray, "n context"]
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """(mu, ln scale) in 1/16 for contexts of whole numbers, rows of the plan's buffer."""
        act, context = ACTIVATIONS[self.activation].integer, x
        for layer in self.layers[:-1]:
            x = layer(x)
            np.minimum(x, MAX_ACTIVATION, out=x)
            np.maximum(x, -MAX_ACTIVATION, out=x)
            x = act(x)
        if self.has_branch:
            x = np.concatenate([x, context], axis=1)
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
    branch: tuple[Real[np.ndarray, "2 context"], Real[np.ndarray, "2"]] | None = None,
    features: tuple[Real[np.ndarray, "f _"], Real[np.ndarray, " f"]] | None = None,
) -> Network:
    """The integer network of one grid.

    Args:
        layers: (weight (n_out, n_in), bias (n_out,)) of each layer, in steps.
        film: (scale - 1, shift) of each hidden layer for this grid, in steps; may be empty.
        unit: what a latent of 1 is in the network's input.
        branch: (weight, bias) of the linear branch, in steps; None: there is none.
        features: (weight, bias) of the grid's features, in steps; None: it has none. They become
            inputs of the network: the latents that they are made of.
    """
    q = float(np.float32(config.quantization_step))

    def real(pair):
        return pair[0] * np.float64(weight_step), pair[1] * np.float64(bias_step)

    def first_layer(weight, bias):
        weight, bias = seen(config, weight, bias, None if features is None else real(features))
        return weight * q, bias  # latents are multiples of q

    def whole(weight, bias, fraction, largest):
        """Rounded to integers, the sum of whose products is exact."""
        weight = np.rint(weight * 2.0**WEIGHT_BITS)
        bias = np.rint(bias * 2.0 ** (WEIGHT_BITS + fraction))
        limit = math.floor(EXACT / (largest * max(weight.shape[1], 1)))
        return np.clip(weight, -limit, limit), np.clip(bias, -EXACT, EXACT)

    out, fraction, largest = [], unit.bit_length() - 1, float(MAX_LATENT * unit)
    for i, pair in enumerate(layers):
        weight, bias = real(pair)
        n_out, n_in = weight.shape
        if i < len(film):
            gamma, beta = real(film[i])
            weight, bias = (1 + gamma)[:, None] * weight, (1 + gamma) * bias + beta
        last = i == len(layers) - 1
        if not last and is_residual(config, n_in, n_out):
            weight = weight + np.eye(n_out)
        if i == 0:
            weight, bias = first_layer(weight, bias)
        if last:
            weight, bias = _in_bins(config, weight, bias, q)
        weight, bias = whole(weight, bias, fraction, largest)
        if last and branch is not None:
            # of the context: as many fractional bits as what the last layer sees has
            beside, added = _in_bins(config, *first_layer(*real(branch)), q, shifted=False)
            more = fraction - (unit.bit_length() - 1)
            beside, added = whole(beside * 2.0**more, added, fraction, float(MAX_LATENT * unit))
            weight, bias = np.concatenate([weight, beside], axis=1), bias + added
        shift = WEIGHT_BITS + fraction - (INDEX_BITS if last else ACTIVATION_BITS)
        power = 2.0**-shift  # nothing is rounded
        out.append(Layer(np.ascontiguousarray(weight.T * power), bias * power + 0.5, shift))
        fraction, largest = ACTIVATION_BITS, MAX_ACTIVATION
    return Network(
        tuple(out), config.activation, _log_scale_range(config, q), branch is not None)


def seen(
    config, weight: Float[np.ndarray, "n_out context"], bias: Float[np.ndarray, " n_out"],
    features: tuple[Float[np.ndarray, "f above"], Float[np.ndarray, " f"]] | None,
) -> tuple[Float[np.ndarray, "n_out _"], Float[np.ndarray, " n_out"]]:
    """A map of contexts as one in which the coarser latents stand for the features made of them."""
    count = config.grid_features
    if count:
        own, weight = weight[:, weight.shape[1] - count :], weight[:, : weight.shape[1] - count]
    if count and features is not None:
        # one product and one sum after another: a matrix product sums in an order of its own
        made = np.zeros((len(weight), features[0].shape[1]), weight.dtype)
        for k in range(count):
            made = made + own[:, k : k + 1] * features[0][k]
            bias = bias + own[:, k] * features[1][k]
        weight = np.concatenate([weight, made], axis=1)
    return weight, bias


def networks(
    config, arrays: list, weight_step: float, bias_step: float, unit: int, per_grid: bool
) -> list[Network]:
    """The integer network of each grid, from coded arrays; one object where grids share it."""
    parts, total = take_apart(config, arrays), len(exponents(config))

    def of_grid(n):
        which = n if len(parts.networks) > 1 else 0
        film = [(gamma[n], beta[n]) for gamma, beta in parts.film]
        return network(config, parts.networks[which], film, weight_step, bias_step, unit,
                       parts.branches[which] if parts.branches else None,
                       parts.features[n] if n < len(parts.features) else None)

    if per_grid:
        return [of_grid(n) for n in range(total)]
    return [of_grid(0)] * total


def _in_bins(config, weight, bias, q, shifted=True):
    """The last layer, so that it gives mu / q and ln(scale / q) (entropy.laplace_scale)."""
    factor = np.array([1 / q, -0.5])
    shift = np.array([0.0, -float(np.float32(config.log_scale_shift)) / 2 - _ln(q)])
    return weight * factor[:, None], bias * factor + shift * shifted


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


# Coders -----------------------------------------------------------------------------------------

LABELS = (*range(16), "upsampling", "synthesis", "entropy")
"""What symbols are counted under: grids, then the parts of the networks."""


class Writer:
    """Keeps what it is given, and then writes it."""

    def __init__(self):
        self.tables = Tables()
        self._parts: list[tuple] = []

    def code(self, tables, symbols, label):
        """Write symbols, each by the table of that number; `label` is a place in `LABELS`, or one
        a symbol."""
        self._parts.append((tables, symbols, np.broadcast_to(np.int8(label), len(symbols))))
        return symbols

    def _intervals(self):
        tables, symbols, labels = map(np.concatenate, zip(*self._parts, strict=True))
        numbers, place = np.unique(tables, return_inverse=True)
        used = [self.tables[n] for n in numbers.tolist()]
        edges = np.fromiter(itertools.chain.from_iterable(used), np.int32)
        at = np.cumsum([0, *map(len, used)])[place] + symbols
        return edges[at], edges[at + 1], labels

    def finish(self, backend: str) -> bytes:
        low, high, _ = self._intervals()
        return encode_intervals(low, high, TOTAL, backend=backend)

    def bits(self) -> dict[Any, float]:
        """Code length by label."""
        low, high, labels = self._intervals()
        counted = np.bincount(labels, -np.log2((high - low) / TOTAL), len(LABELS))
        return dict(zip(LABELS, counted.tolist(), strict=True))


class Reader:
    """Reads a payload. What it is given as symbols is not used."""

    def __init__(self, data: bytes, backend: str):
        self._tables = Tables()
        self._decoder = Decoder(data, backend=backend)

    def code(self, tables, symbols, label):
        return np.array(self._decoder.decode_many(self._tables, tables), np.int64)


# Integers as symbols: written or read by the same functions, so that the two cannot drift apart ---


def code_latents(
    coder: Any, mu: Int[np.ndarray, " n"], log_scale: Int[np.ndarray, " n"],
    label: Int[np.ndarray, " n"], values: Int[np.ndarray, " n"] | None,
) -> Int[np.ndarray, " n"]:
    """Latents predicted as mu and ln(scale) in 1/16, in steps: written, or read where `values` is
    None."""
    tables, center = table_number(mu, log_scale_level(log_scale))
    residual = None if values is None else values - center
    return _code_laplace(coder, tables, residual, label) + center


def code_networks(coder: Any, config, ndim: int, arrays: list | None) -> list[np.ndarray]:
    """The integers of all network arrays: written, or read where `arrays` is None."""
    coded = []
    for i, info in enumerate(array_infos(config, ndim)):
        values = np.zeros(info.shape, np.int64) if arrays is None else arrays[i]
        array = code_array(coder, values.reshape(-1), LABELS.index(info.part))
        if np.abs(array).max(initial=0) > MAX_INTEGER:
            raise BitstreamError("a network's weight is beyond all limits; the file is damaged")
        coded.append(array.reshape(info.shape))
    return coded


def _code_laplace(coder, tables, values, label):
    """Integers near zero by Laplace tables, after them those that were too large for the table."""
    radius = RADIUS[tables >> INDEX_BITS]
    modulus = 2 * radius + 2
    symbols = None
    if values is not None:  # 1, 2, .. radius, escape, -radius .. -1, 0
        symbols = np.where(np.abs(values) <= radius, (values - 1) % modulus, radius)
    symbols = coder.code(tables, symbols, label)
    decoded = symbols + 1 - modulus * (symbols > radius)
    escaped = np.flatnonzero(symbols == radius)
    if len(escaped):
        outside = np.zeros_like(escaped) if values is None else values[escaped]
        labels = np.broadcast_to(np.int8(label), len(symbols))[escaped]
        decoded[escaped] = _code_escape(coder, radius[escaped], outside, labels)
    return decoded


def _code_escape(coder, radius, values, labels):
    """Integers beyond a radius: signs, then the excess in Elias' gamma code.

    An excess of n + 1 bits is n ones and a zero, then the n bits after its leading one: 1 costs one
    bit. The likely outlier is barely outside its table.
    """
    excess = np.abs(values) - radius
    sign = _code_uniform(coder, (values < 0) * 1, 1, labels)
    length, longer = np.zeros(len(values), np.int64), np.arange(len(values))
    while len(longer):
        more = (excess[longer] >> length[longer] > 1) * 1
        more = _code_uniform(coder, more, 1, labels[longer])
        length[longer] += more
        longer = longer[(more == 1) & (length[longer] < _MOST_BITS)]
    rest = [_code_uniform(coder, excess[i : i + 1] - (1 << n), n, labels[i : i + 1])[0]
            for i, n in enumerate(length.tolist())]
    return np.where(sign == 1, -1, 1) * ((1 << length) + rest + radius)


_MOST_BITS = 31


def _code_uniform(coder, values, bits: int, label):
    """Integers of `bits` equally likely bits each, low bits first."""
    decoded = np.zeros(len(values), np.int64)
    for first in range(0, bits, MAX_UNIFORM_BITS):
        width = min(MAX_UNIFORM_BITS, bits - first)
        part = (values >> first) & ((1 << width) - 1)
        decoded |= coder.code(np.full(len(values), UNIFORM + width), part, label) << first
    return decoded


LEVEL_STEP = 8
"""An array's scale is one of every eighth of the 1024 levels. Of a few hundred integers a finer one
would save less than the bits that say which."""


def code_array(coder: Any, values: Int[np.ndarray, " n"], label: int) -> Int[np.ndarray, " n"]:
    """The integers of one network array: the level of their scale, then they (App. B.3, Eq. 3).

    With a large scale the low bits are uniform: they are cut off and coded apart, so that the
    table of what is left has at most a thousand symbols. Where they are read, `values` are zeros.
    """
    level = np.array([_best_level(values) // LEVEL_STEP])
    bits = (LOG_SCALES // LEVEL_STEP).bit_length() - 1
    level = int(_code_uniform(coder, level, bits, label)[0]) * LEVEL_STEP
    # scale / 2^low_bits stays below 32 or so
    low_bits = max(0, math.ceil((level / LEVELS_PER_E - 8.5) / math.log(2)))
    # a cell [h 2^b, (h + 1) 2^b) has its middle at (h + 1/2) 2^b - 1/2
    mu = -(FRACTIONS // 2) + (FRACTIONS // 2 >> low_bits)
    level -= round(low_bits * math.log(2) * LEVELS_PER_E)
    tables, _ = table_number(np.full(len(values), mu), np.full(len(values), level))
    high = _code_laplace(coder, tables, values >> low_bits, label)
    return (high << low_bits) + _code_uniform(coder, values, low_bits, label)


def _best_level(values) -> int:
    """The scale of fewest bits.

    With t = e^(-1/2s) zero has the probability 1 - t, and k another t^(2|k| - 1) (1 - t^2) / 2.
    """
    size, others = np.abs(values).sum(), np.count_nonzero(values)
    levels = np.arange(0, LOG_SCALES, LEVEL_STEP)
    log_t = -0.5 / np.exp(levels / LEVELS_PER_E - 5)
    likelihood = ((values.size - others) * np.log(-np.expm1(log_t)) + (2 * size - others) * log_t
                  + others * np.log(-np.expm1(2 * log_t)))
    return int(levels[np.argmax(likelihood)])
