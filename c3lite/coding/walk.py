"""The payload of a file: one walk codes all of it, whether it is written or read (App. B.3).

First the networks' integers, then the latents in the order of `order.Plan`, each with a frequency
table from the integer entropy network (`integer_entropy.py`). `walk` is handed a coder that either
writes the symbols it is given or reads them, so that encoder and decoder cannot drift apart.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from c3lite.coding import integer_entropy as integer
from c3lite.coding.header import BitstreamError, Coded, Contents, array_infos, take_apart
from c3lite.coding.order import Plan
from c3lite.coding.rangecoder import Decoder, encode_intervals
from c3lite.config import Config

MAX_INTEGER = 2**24
"""Largest integer of a network: what float32 holds exactly."""

LABELS = (*range(16), "upsampling", "synthesis", "entropy")
"""What symbols are counted under: grids, then the parts of the networks."""


# Coders: `code` writes symbols, each by the table of that number, or reads and returns them. Its
# last argument is the place of their label in `LABELS`, or one such place a symbol.


class Writer:
    """Keeps what it is given, and then writes it."""

    def __init__(self):
        self.tables = integer.Tables()
        self._parts: list[tuple] = []

    def code(self, tables, symbols, label):
        self._parts.append((tables, symbols, np.broadcast_to(np.int8(label), len(symbols))))
        return symbols

    def _intervals(self):
        tables, symbols, labels = map(np.concatenate, zip(*self._parts, strict=True))
        counts = np.bincount(tables)
        numbers = np.flatnonzero(counts)
        used = [self.tables[n] for n in numbers.tolist()]
        first = np.zeros(len(counts), np.int64)
        first[numbers] = np.cumsum([0, *map(len, used)])[:-1]
        edges = np.fromiter(itertools.chain.from_iterable(used), np.int32)
        at = first[tables] + symbols
        return edges[at], edges[at + 1], labels

    def finish(self, backend: str) -> bytes:
        low, high, _ = self._intervals()
        return encode_intervals(low, high, integer.TOTAL, backend=backend)

    def bits(self) -> dict[Any, float]:
        """Code length by label."""
        low, high, labels = self._intervals()
        counted = np.bincount(labels, -np.log2((high - low) / integer.TOTAL), len(LABELS))
        return dict(zip(LABELS, counted.tolist(), strict=True))


class Reader:
    """Reads a payload."""

    def __init__(self, data: bytes, backend: str):
        self._tables = integer.Tables()
        self._decoder = Decoder(data, backend=backend)

    def code(self, tables, symbols, label):
        return np.array(self._decoder.decode_many(self._tables, tables), np.int64)


def _code_laplace(coder, tables, values, label):
    """Integers near zero by Laplace tables, after them those that were too large for the table."""
    radius = integer.RADIUS[tables >> integer.INDEX_BITS]
    modulus = 2 * radius + 2
    symbols = None
    if values is not None:  # 1, 2, .. radius, escape, -radius .. -1, 0
        symbols = np.where(np.abs(values) <= radius, (values - 1) % modulus, radius)
    symbols = coder.code(tables, symbols, label)
    decoded = symbols + 1 - modulus * (symbols > radius)
    escaped = np.flatnonzero(symbols == radius)
    if len(escaped):
        some_labels = label[escaped] if np.ndim(label) else label
        decoded[escaped] = _code_escape(
            coder, radius[escaped], None if values is None else values[escaped], some_labels)
    return decoded


def _code_escape(coder, radius, values, label):
    """Integers beyond a radius: signs, then the excess in Elias' gamma code.

    An excess of n + 1 bits is n ones and a zero, then the n bits after its leading one: 1 costs one
    bit. The likely outlier is barely outside its table.
    """
    count = len(radius)
    labels = np.broadcast_to(np.int8(label), count)
    excess = None if values is None else np.abs(values) - radius
    sign = _code_uniform(coder, None if values is None else (values < 0) * 1, 1, count, labels)
    length, longer = np.zeros(count, np.int64), np.arange(count)
    while len(longer):
        more = None if excess is None else (excess[longer] >> length[longer] > 1) * 1
        more = _code_uniform(coder, more, 1, len(longer), labels[longer])
        length[longer] += more
        longer = longer[(more == 1) & (length[longer] < _MOST_BITS)]
    decoded = np.empty(count, np.int64)
    for i, n in enumerate(length.tolist()):
        rest = None if excess is None else excess[i : i + 1] - (1 << n)
        decoded[i] = (1 << n) + _code_uniform(coder, rest, n, 1, labels[i : i + 1])[0]
    return np.where(sign == 1, -1, 1) * (decoded + radius)


_MOST_BITS = 31


def _code_uniform(coder, values, bits: int, n: int, label):
    """n integers of `bits` equally likely bits each, low bits first."""
    decoded = np.zeros(n, np.int64)
    for first in range(0, bits, integer.MAX_UNIFORM_BITS):
        width = min(integer.MAX_UNIFORM_BITS, bits - first)
        part = None if values is None else (values >> first) & ((1 << width) - 1)
        tables = np.full(n, integer.UNIFORM + width)
        decoded |= coder.code(tables, part, label) << first
    return decoded


LEVEL_STEP = 8
"""An array's scale is one of every eighth of the 1024 levels. Of a few hundred integers a finer one
would save less than the bits that say which."""


def code_array(coder, values, n: int, label):
    """The integers of one network array: the level of their scale, then they (App. B.3, Eq. 3).

    With a large scale the low bits are uniform: they are cut off and coded apart, so that the
    table of what is left has at most a thousand symbols.
    """
    level = None if values is None else np.array([_best_level(values) // LEVEL_STEP])
    bits = (integer.LOG_SCALES // LEVEL_STEP).bit_length() - 1
    level = int(_code_uniform(coder, level, bits, 1, label)[0]) * LEVEL_STEP
    low_bits = _low_bits(level)
    # a cell [h 2^b, (h + 1) 2^b) has its middle at (h + 1/2) 2^b - 1/2
    mu = -(integer.FRACTIONS // 2) + (integer.FRACTIONS // 2 >> low_bits)
    level -= round(low_bits * math.log(2) * integer.LEVELS_PER_E)
    tables, _ = integer.table_number(np.full(n, mu), np.full(n, level))
    high = None if values is None else values >> low_bits
    high = _code_laplace(coder, tables, high, label)
    low = _code_uniform(coder, values, low_bits, n, label)
    return (high << low_bits) + low


def _low_bits(level: int) -> int:
    """How many bits of an array of this scale are uniform: scale / 2^b stays below 32 or so."""
    return max(0, math.ceil((level / integer.LEVELS_PER_E - 8.5) / math.log(2)))


def _best_level(values) -> int:
    """The scale of fewest bits.

    With t = e^(-1/2s) zero has the probability 1 - t, and k another t^(2|k| - 1) (1 - t^2) / 2.
    """
    size, others = np.abs(values).sum(), np.count_nonzero(values)
    levels = np.arange(0, integer.LOG_SCALES, LEVEL_STEP)
    log_t = -0.5 / np.exp(levels / integer.LEVELS_PER_E - 5)
    likelihood = ((values.size - others) * np.log(-np.expm1(log_t)) + (2 * size - others) * log_t
                  + others * np.log(-np.expm1(2 * log_t)))
    return int(levels[np.argmax(likelihood)])


def walk(coder: Any, contents: Contents, batch: int = 2048) -> Contents:
    """Code a file's payload: write what is in `contents`, or read what is None there.

    Known latents all have their contexts at once; they are evaluated `batch` at a time. The numbers
    are the same as in the decoder's wavefronts.
    """
    config, shape, (known, arrays, *steps) = contents
    arrays = list(_code_networks(coder, config, len(shape), arrays))
    plan = Plan(config, shape)
    networks = integer_networks(config, plan, arrays, *steps)
    buffer, symbols = np.zeros(plan.size), np.zeros(len(plan.order), np.int64)
    if known is not None:
        values = np.asarray(known, np.int64)[plan.order]
        tables, centers = _predict_all(networks, plan, buffer, values, batch)
    for step, halved in plan.steps():
        if known is None:
            plan.halve(buffer, halved)
            table, center = _predict(networks, plan, buffer, step, plan.grid[step.start])
            residual = None
        else:
            table, center = tables[step], centers[step]
            residual = values[step] - center
        decoded = _code_laplace(coder, table, residual, plan.grid[step]) + center
        symbols[plan.order[step]] = decoded
        if known is None:
            _put(buffer, plan, step, decoded)
    return contents._replace(coded=Coded(symbols, arrays, *steps))


def _code_networks(coder, config, ndim, arrays):
    for i, info in enumerate(array_infos(config, ndim)):
        values = None if arrays is None else arrays[i].reshape(-1)
        array = code_array(coder, values, math.prod(info.shape), LABELS.index(info.part))
        if np.abs(array).max(initial=0) > MAX_INTEGER:
            raise BitstreamError("a network's weight is beyond all limits; the file is damaged")
        yield array.reshape(info.shape)


def _predict_all(networks, plan, buffer, values, batch):
    """`_predict` for known latents, in the order of the file."""
    _put(buffer, plan, slice(None), values)
    plan.halve(buffer, slice(None))
    tables, centers = np.empty_like(values), np.empty_like(values)
    for n in range(len(plan.shapes)) if plan.per_grid else (0,):
        places = np.flatnonzero(plan.grid == n) if plan.per_grid else np.arange(len(values))
        for first in range(0, len(places), batch):
            some = places[first : first + batch]
            tables[some], centers[some] = _predict(networks, plan, buffer, some, n)
    return tables, centers


def integer_networks(
    config: Config, plan: Plan, arrays: list, weight_step: float, bias_step: float
) -> list[integer.Network]:
    """The integer network of each grid; one object where grids share it."""
    parts = take_apart(config, arrays)

    def network(n):
        layers = parts.networks[n if len(parts.networks) > 1 else 0]
        film = [(gamma[n], beta[n]) for gamma, beta in parts.film]
        return integer.network(config, layers, film, weight_step, bias_step, plan.unit)

    if plan.per_grid:
        return [network(n) for n in range(config.num_grids)]
    return [network(0)] * config.num_grids


def _predict(networks, plan, buffer, places, n):
    contexts = buffer.take(plan.positions[places][:, None] + plan.displacements[n])
    mu, log_scale = networks[n](contexts)
    return integer.table_number(mu, integer.log_scale_level(log_scale))


def _put(buffer, plan, places, values):
    clipped = np.minimum(np.maximum(values, -integer.MAX_LATENT), integer.MAX_LATENT)
    buffer[plan.positions[places]] = clipped * plan.unit
