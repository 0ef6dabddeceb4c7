"""The payload of a file: in which order latents are coded, and by which probabilities (App. B.3).

First the networks' integers, then the latents. `walk` is handed a coder that either writes the
symbols it is given or reads them, so that encoder and decoder cannot drift apart.

**The order.** A latent can be decoded once its whole context is. rank = a . position, with the
smallest integers a such that a . offset <= -1 for every offset of the context, says when: all
positions of one rank are independent of each other (a wavefront), for windows, masks, images and
videos alike. For a 7x7 window a = (4, 1): 512x768 latents in 2,812 steps instead of 393,216.

All grids advance together. Where grid n also sees the halved finer grid (Eq. 10), its ranks are
2^n a . position + c_n: the slope with which the finer grid arrives, delayed by its window. Where
it has features of the coarser grids, those have the same slopes and are ahead of it by one a grid.

**The probabilities.** Encoder and decoder have to agree on every one to the last bit, and
floating-point networks do not: batches of another size or another machine sum in another order.
Here every product and sum is of whole numbers below 2^53, which float64 holds exactly in any order.
Fixed point: weights have 16 fractional bits, activations 12. The network's answer is rounded to mu
in 1/16 of a bin and ln(scale) in 1/16, a pair that names one of finitely many frequency tables
(Eqs. 1, 2, 12). A network's own numbers (an integer times a step) are scaled by single float64
operations, which IEEE 754 rounds the same everywhere; and the exponentials in the tables of GELU
and of the distributions are rounded to whole numbers from which no machine's `exp` or `erfc` is far
enough off (a test measures the distance to the nearest tie).

Units: symbols in step units; mu and scale here in bins, too, that is divided by q.
"""

import decimal
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, Real

from c3lite.arrays.kernels import Offset
from c3lite.coding import header
from c3lite.coding.header import ARRAY_STEPS, PART_OF, Arrays, BitstreamError, Contents, Quantized
from c3lite.coding.pixels import product
from c3lite.coding.rangecoder import Decoder, Frequencies, encode_intervals
from c3lite.ingredients.activations import ACTIVATIONS
from c3lite.ingredients.activations import FRACTION_BITS as ACTIVATION_BITS
from c3lite.ingredients.distributions import DISTRIBUTIONS
from c3lite.model import context as ctx
from c3lite.model import latents
from c3lite.model.networks import is_residual

# The order --------------------------------------------------------------------------------------


def wavefront_weights(offsets: Sequence[Offset], ndim: int) -> tuple[int, ...]:
    """The smallest a >= 0 with a . offset <= -1 for every offset, last axis first: (4, 1) for a 7x7
    window, (25, 5, 1) for 3x9x9. `ValueError` for an offset not before zero in raster order."""
    weights = [0] * ndim
    for axis in reversed(range(ndim)):
        for offset in offsets:
            if offset[axis] < 0 and not any(offset[:axis]):
                later = _dot(weights[axis + 1 :], offset[axis + 1 :])
                weights[axis] = max(weights[axis], -((1 + later) // offset[axis]))
    for offset in offsets:
        if _dot(weights, offset) > -1:
            raise ValueError(f"the offset {offset} is not before its latent in raster order")
    return tuple(weights)


def _dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def _linear(shape, slopes, constant, log2_ratio=0):
    """constant + slopes . position, of a grid that much coarser, for every position, flattened."""
    axes = ((np.arange(n) >> log2_ratio) * a for n, a in zip(shape, slopes, strict=True))
    return (functools.reduce(np.add.outer, axes) + constant).reshape(-1)


class Plan:
    """The coding order of all latents of one config and shape, in NumPy.

    The buffer holds every grid with the *same* strides, zeros around it: then an offset is one
    displacement for all grids, and the contexts of a step are one gather. With a previous-grid
    context a second copy of that layout holds the halved finer grids; everything is then stored
    times 8^ndim, so that halving (taps 1, 3, 3, 1 over 8 an axis) stays whole.
    """

    order: Int[np.ndarray, " latents"]
    """Place in the file -> number of the latent, grids one after another, finest first."""
    positions: Int[np.ndarray, " latents"]
    """Place in the file -> index into the buffer."""
    grid: Int[np.ndarray, " latents"]
    """Place in the file -> number of the grid."""
    displacements: tuple[Int[np.ndarray, " context"], ...]
    """Of each grid's context in the buffer, in the order of the network's inputs."""
    per_grid: bool
    """Whether grids differ in network or own context: each one's latents are predicted apart."""
    unit: int
    """What a latent of 1 is in the buffer."""
    size: int
    """Entries of the buffer."""

    def __init__(self, config, shape: tuple[int, ...]):
        ndim, self.shapes = len(shape), latents.grid_shapes(config, shape)
        count, coarseness = len(self.shapes), latents.exponents(config)
        own = [ctx.grid_offsets(config, ndim, n) for n in range(count)]
        previous = ctx.previous_offsets(config, ndim)
        self._lay_out(sorted({*itertools.chain(*own, previous), (0,) * ndim}))
        plane = self.size
        self.unit = 8**ndim if previous else 1
        self.size = 2 * plane if previous else plane
        self.displacements = tuple(
            np.array([self._flat(o) for o in offsets] + [plane + self._flat(o) for o in previous],
                     np.int64) for offsets in own)

        reach = config.previous_grid_size // 2
        weights = wavefront_weights(list(itertools.chain(*own)), ndim)
        ranks, halving = [], []
        delay = 0
        for n, grid_shape in enumerate(self.shapes):
            ratio = 2 ** (coarseness[n] - coarseness[0]) if previous or config.grid_features else 1
            slopes = [ratio * a for a in weights]
            if config.grid_features:  # just before what lies beneath
                delay = max(coarseness) - coarseness[n]
            if n and previous:
                # halving p reads the finer grid up to 2p + 2, and its window reaches p + reach
                delay += sum(slopes) + 1 + reach * sum(slopes)
                halving.append(_linear(grid_shape, slopes, delay - reach * sum(slopes)))
            ranks.append(_linear(grid_shape, slopes, delay))
        self.per_grid = config.entropy_per_grid or config.entropy_film or len(set(own)) > 1
        # grids with different networks take turns within a rank
        self._sort(np.concatenate(ranks), take_turns=self.per_grid and not config.grid_features)
        self._above = None
        if config.grid_features:
            self._look_up(config)
        self._order_halved(halving, plane)

    def _lay_out(self, offsets):
        before = [max(0, *(-step for step in axis)) for axis in zip(*offsets, strict=True)]
        after = [max(0, *axis) for axis in zip(*offsets, strict=True)]
        padded = [n + b + a for n, b, a in zip(self.shapes[0], before, after, strict=True)]
        self.strides = tuple(math.prod(padded[axis + 1 :]) for axis in range(len(padded)))
        self.starts, rows = [], 0
        for grid_shape in self.shapes:
            self.starts.append(rows * self.strides[0] + self._flat(before))
            rows += before[0] + grid_shape[0] + after[0]
        self.size = rows * self.strides[0]

    def _look_up(self, config):
        """For every latent a row of a table of places: of the coarser latents that its features are
        made of. Each grid has columns of its own, which name a place that stays zero in the rows of
        other grids: so latents of all grids are contexts of one network."""
        above = [ctx.ancestors(config, n) for n in range(len(self.shapes))]
        tables, rows, column = [], [], 0
        for shape, ancestors in zip(self.shapes, above, strict=True):
            halved = [-(-side // 2) for side in shape]  # latents with one parent share a row
            row = sum(map(len, tables)) + np.arange(math.prod(halved)).reshape(halved)
            rows.append(row[np.ix_(*(np.arange(side) >> 1 for side in shape))].reshape(-1))
            tables.append(np.full((math.prod(halved), sum(map(len, above))), self.size, np.int32))
            for m, ratio in ancestors:
                tables[-1][:, column] = _linear(halved, self.strides, self.starts[m], ratio - 1)
                column += 1
        self._above, self._row = np.concatenate(tables), np.concatenate(rows)[self.order]
        self.size += 1

    def contexts(self, buffer: Float[np.ndarray, " size"],
                 step: slice | Int[np.ndarray, " n"]) -> Float[np.ndarray, "n context"]:
        """What the network sees of latents of one grid, or of grids that are all alike."""
        places = self.positions[step][:, None] + self.displacements[self.grid[step][0]]
        if self._above is not None:
            places = np.concatenate([places, self._above.take(self._row[step], axis=0)], axis=1)
        return buffer.take(places)

    def _flat(self, offset):
        return _dot(offset, self.strides)

    def _sort(self, ranks, take_turns):
        counts = [math.prod(s) for s in self.shapes]
        positions = np.concatenate([_linear(s, self.strides, start)
                                    for s, start in zip(self.shapes, self.starts, strict=True)])
        grid = np.repeat(np.arange(len(counts)), counts)
        keys = ranks * len(counts) + grid if take_turns else ranks
        if keys.max() < 2**16:
            keys = keys.astype(np.uint16)  # sorted by radix: ten times faster
        self.order = np.argsort(keys, kind="stable")
        keys = keys[self.order]
        self.positions, self.grid = positions[self.order], grid[self.order]
        self._ends = np.append(np.flatnonzero(np.diff(keys)) + 1, len(keys))
        self._ranks = ranks[self.order[self._ends - 1]]

    def _order_halved(self, ranks, plane):
        """For every entry of the grids 1, 2, .. where it goes, halved, and what it is made of."""
        self._targets, self._halved_ends = np.zeros(0, np.int64), np.zeros(len(self._ends), int)
        if not ranks:
            return
        targets, sources = [], []
        for n, (finer, coarser) in enumerate(itertools.pairwise(self.shapes), start=1):
            index = np.full((1, 1), self.starts[n - 1])
            for side, halved_side, stride in zip(finer, coarser, self.strides, strict=True):
                # replicated edges: so an axis of one entry stays what it is
                reads = np.clip(2 * np.arange(halved_side)[:, None] + np.arange(-1, 3), 0, side - 1)
                index = (index[:, None, :, None] + stride * reads[None, :, None, :]).reshape(
                    len(index) * halved_side, -1)
            targets.append(_linear(coarser, self.strides, plane + self.starts[n]))
            sources.append(index.astype(np.int32))
        ranks = np.concatenate(ranks)
        order = np.argsort(ranks, kind="stable")
        self._targets = np.concatenate(targets)[order]
        self._sources = np.concatenate(sources)[order]
        taps = [np.array(ctx.HALVE_TAPS, np.float64)] * len(self.strides)
        self._taps = functools.reduce(np.multiply.outer, taps).reshape(-1) / self.unit
        self._halved_ends = np.searchsorted(ranks[order], self._ranks, side="right")

    def steps(self) -> Iterator[tuple[slice, slice]]:
        """For each step its latents (places in the file) and what is to be halved before it."""
        first = halved = 0
        for end, halved_end in zip(self._ends.tolist(), self._halved_ends.tolist(), strict=True):
            yield slice(first, end), slice(halved, halved_end)
            first, halved = end, halved_end

    def parts(self, step: slice) -> list[slice]:
        """A step's latents, those of each grid apart if grids differ."""
        if not self.per_grid:
            return [step]
        ends = np.flatnonzero(np.diff(self.grid[step])) + step.start + 1
        edges = [step.start, *ends.tolist(), step.stop]
        return [slice(*pair) for pair in itertools.pairwise(edges)]

    def halve(self, buffer: Float[np.ndarray, " size"], part: slice) -> None:
        """Compute the halved entries `part` of the buffer, all of whose sources are there. Exact:
        whole numbers far below 2^53, divided by the power of two that they contain."""
        targets = self._targets[part]
        if len(targets):
            buffer[targets] = buffer.take(self._sources[part]) @ self._taps


# The entropy network ----------------------------------------------------------------------------

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
    """One layer: x @ weight + bias, a whole number when rounded down."""

    weight: Float[np.ndarray, "n_in n_out"]
    """Whole numbers times 2^-shift, in float64."""
    bias: Float[np.ndarray, "*grids n_out"]
    """Whole numbers times 2^-shift, and 1/2: `floor` rounds. With features, one of each grid."""
    shift: int

    def __call__(self, x: Float[np.ndarray, "n n_in"],
                 grid: int | Int[np.ndarray, " n"] = 0) -> Float[np.ndarray, "n n_out"]:
        bias = self.bias if self.bias.ndim == 1 else self.bias.take(grid, axis=0)
        return product(x, self.weight) + bias


class Network(NamedTuple):
    """The entropy network of one grid, or of grids that share it."""

    layers: tuple[Layer, ...]
    activation: str
    log_scale_range: tuple[int, int]
    """Lowest and highest ln(scale / q), in 1/16."""
    has_branch: bool = False
    """Whether the first layer's last two columns are the branch, added to the last one's result."""

    def __call__(
        self, x: Float[np.ndarray, "n context"], grid: int | Int[np.ndarray, " n"] = 0
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """(mu, ln scale) in 1/16 for contexts of whole numbers, rows of the plan's buffer, of
        latents of these grids."""
        y, (low, high) = self.layers[0](x, grid), self.log_scale_range
        y, beside = (y[:, :-2], y[:, -2:]) if self.has_branch else (y, 0.0)
        for layer in self.layers[1:]:
            y = np.floor(y)
            np.maximum(np.minimum(y, MAX_ACTIVATION, out=y), -MAX_ACTIVATION, out=y)
            y = layer(ACTIVATIONS[self.activation].integer(y))
        mu, log_scale = np.floor(y + beside).astype(np.int64).T
        return mu, np.minimum(np.maximum(log_scale, low), high)


def network(
    config, layers: list[tuple[Real[np.ndarray, "_ _"], Real[np.ndarray, " _"]]],
    film: list[tuple[Real[np.ndarray, " _"], Real[np.ndarray, " _"]]], unit: int,
    branch: tuple[Real[np.ndarray, "2 context"], Real[np.ndarray, "2"]] | None = None,
    features: Sequence[tuple[Real[np.ndarray, "f _"], Real[np.ndarray, " f"]]] = (),
) -> Network:
    """The integer network of one grid or all, whose input has `unit` where a latent is 1.

    Pairs are (weight (n_out, n_in), bias (n_out,)), float64; `film` has (scale - 1, shift) of each
    hidden layer for this grid, or nothing. The grids' features become inputs of the network: the
    latents that they are made of, in columns as `Plan.contexts` has them.
    """
    q = float(np.float32(config.quantization_step))

    def first_layer(weight, bias):
        if config.grid_features:
            none = [None] * (len(latents.exponents(config)) - len(features))
            seen_by = [seen(config, weight, bias, n) for n in (*features, *none)]
            own = seen_by[-1][0]  # the coarsest grid has no features
            weight = np.concatenate([own, *(w[:, own.shape[1] :] for w, _ in seen_by)], axis=1)
            bias = np.stack([b for _, b in seen_by])
        return weight * q, bias  # latents are multiples of q

    def whole(weight, bias, fraction, largest):
        """Rounded to integers, the sum of whose products is exact."""
        weight = np.rint(weight * 2.0**WEIGHT_BITS)
        bias = np.rint(bias * 2.0 ** (WEIGHT_BITS + fraction))
        limit = math.floor(EXACT / (largest * max(weight.shape[1], 1)))
        return np.clip(weight, -limit, limit), np.clip(bias, -EXACT, EXACT)

    out, fraction, largest = [], unit.bit_length() - 1, float(MAX_LATENT * unit)
    for i, (weight, bias) in enumerate(layers):
        n_out, n_in = weight.shape
        if i < len(film):
            gamma, beta = film[i]
            weight, bias = (1 + gamma)[:, None] * weight, (1 + gamma) * bias + beta
        last = i == len(layers) - 1
        if not last and is_residual(config, n_in, n_out):
            weight = weight + np.eye(n_out)
        if i == 0:
            weight, bias = first_layer(weight, bias)
        if last:
            weight, bias = _in_bins(config, weight, bias, q)
        weight, bias = whole(weight, bias, fraction, largest)
        shift = WEIGHT_BITS + fraction - (INDEX_BITS if last else ACTIVATION_BITS)
        power = 2.0**-shift  # nothing is rounded
        out.append(Layer(np.ascontiguousarray(weight.T * power), bias * power + 0.5, shift))
        if last and branch is not None:
            # of the context: as many fractional bits as what the last layer sees has
            weight, bias = _in_bins(config, *first_layer(*branch), q, shifted=False)
            more = 2.0 ** (fraction - (unit.bit_length() - 1))
            weight, bias = whole(weight * more, bias, fraction, float(MAX_LATENT * unit))
            out[0] = Layer(np.concatenate([out[0].weight, weight.T * power], axis=1),
                           np.concatenate([out[0].bias, bias * power], axis=-1), out[0].shift)
        fraction, largest = ACTIVATION_BITS, MAX_ACTIVATION
    return Network(tuple(out), config.activation, _log_scale_range(config, q), branch is not None)


def seen(
    config, weight: Float[np.ndarray, "n_out context"], bias: Float[np.ndarray, " n_out"],
    features: tuple[Float[np.ndarray, "f above"], Float[np.ndarray, " f"]] | None,
) -> tuple[Float[np.ndarray, "n_out _"], Float[np.ndarray, " n_out"]]:
    """A map of contexts as one in which the coarser latents stand for the features made of them."""
    weight, own = np.split(weight, [weight.shape[1] - config.grid_features], axis=1)
    if features is not None:
        # one product and one sum after another: a matrix product sums in an order of its own
        made = np.zeros((len(weight), features[0].shape[1]), weight.dtype)
        for k in range(config.grid_features):
            made = made + own[:, k : k + 1] * features[0][k]
            bias = bias + own[:, k] * features[1][k]
        weight = np.concatenate([weight, made], axis=1)
    return weight, bias


def networks(config, arrays: Arrays, unit: int, per_grid: bool) -> list[Network]:
    """The integer network of each grid, from real arrays; one object where grids share it."""
    def of_grid(n):
        which = n if len(arrays.networks) > 1 else 0
        film = [(gamma[n], beta[n]) for gamma, beta in arrays.film]
        return network(config, arrays.networks[which], film, unit,
                       arrays.branches[which] if arrays.branches else None, arrays.features)

    total = len(latents.exponents(config))
    return [of_grid(n) for n in range(total)] if per_grid else [of_grid(0)] * total


def _in_bins(config, weight, bias, q, shifted=True):
    """The last layer, so that it gives mu / q and ln(scale / q) (entropy.laplace_scale)."""
    factor = np.array([1 / q, -0.5])
    shift = np.array([0.0, -float(np.float32(config.log_scale_shift)) / 2 - _ln(q)])
    return weight * factor[:, None], bias * factor + shift * shifted


def _log_scale_range(config, q):
    ends = (round((_ln(float(np.float32(s))) - _ln(q)) * 2**INDEX_BITS)
            for s in (config.scale_min, config.scale_max))
    return tuple(min(max(v, -MAX_LOG_SCALE), MAX_LOG_SCALE) for v in ends)


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
MAX_UNIFORM_BITS, _MOST_BITS = 8, 31  # of one table, and of what lies beyond another
FAMILY = UNIFORM + MAX_UNIFORM_BITS + 1
"""Table k FAMILY + n, n < UNIFORM, is of the k-th of `DISTRIBUTIONS`; of Laplace's without it."""
LEVEL_STEP = 8
"""A network array's scale is one of every eighth of the levels. Of a few hundred integers a finer
one would save less than the bits that say which."""


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
    """The table's cumulative probabilities before rounding, times what they share out of 2^16. The
    order is 1, 2, .. radius, escape, -radius, .. -1, 0: the likeliest symbol has to be last."""
    family, number = divmod(number, FAMILY)
    level, fraction = divmod(number, FRACTIONS)
    tails = [*DISTRIBUTIONS.values()][family].tails
    scale, radius = _scale(level), int(RADIUS[level])
    mu = (fraction - FRACTIONS // 2) / FRACTIONS
    edges = np.arange(radius + 1) + 0.5
    above, below = tails(edges - mu, scale) / 2, tails(edges + mu, scale) / 2  # mass beyond each
    probability = np.concatenate([above[0] - above, above[0] + below[::-1], [1.0]])
    return probability * (TOTAL - (2 * radius + 2))


class Tables(dict[int, Frequencies]):
    """All tables by number, each made when it is first asked for."""

    def __missing__(self, number: int) -> Frequencies:
        if UNIFORM <= number < FAMILY:
            table = Frequencies(np.arange(2 ** (number - UNIFORM) + 1) << (16 - number + UNIFORM))
        else:
            whole = np.rint(cumulative(number)).astype(np.int64)
            table = Frequencies(whole + np.arange(len(whole)))  # no symbol without a width
        self[number] = table
        return table


# Coders -----------------------------------------------------------------------------------------

LABELS = (*range(16), *dict.fromkeys(PART_OF.values()))
"""What symbols are counted under: grids, then the parts of the networks."""


class Writer:
    """Keeps what it is given, and then writes it."""

    def __init__(self):
        self.tables = Tables()
        self._parts: list[tuple] = []

    def code(self, tables, symbols, label):
        """Write symbols, each by the table of that number; `label`: places in `LABELS`, or one."""
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
        list(map(self._tables.__getitem__, {*tables.tolist()}))  # the decoder only looks them up
        return np.array(self._decoder.decode_many(self._tables, tables), np.int64)


# Integers as symbols: written or read by the same functions, so that the two cannot drift apart ---


def _code_near(coder, tables, values, label):
    """Integers near zero by their tables, after them those that were too large for the table."""
    radius = RADIUS[tables % FAMILY >> INDEX_BITS]
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
    """Integers beyond a radius: signs, then the excess in Elias' gamma code. An excess of n + 1
    bits is n ones and a zero, then the n bits after its leading one: 1, the likeliest, is a bit."""
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


def _code_uniform(coder, values, bits: int, label):
    """Integers of `bits` equally likely bits each, low bits first."""
    decoded = np.zeros(len(values), np.int64)
    for first in range(0, bits, MAX_UNIFORM_BITS):
        width = min(MAX_UNIFORM_BITS, bits - first)
        part = (values >> first) & ((1 << width) - 1)
        decoded |= coder.code(np.full(len(values), UNIFORM + width), part, label) << first
    return decoded


def code_array(coder: Any, values: Int[np.ndarray, " n"], label: int) -> Int[np.ndarray, " n"]:
    """The integers of one network array: the level of their scale, then they (App. B.3, Eq. 3).
    With a large scale the low bits are uniform: they are cut off and coded apart, so that the table
    of what is left has at most a thousand symbols. Where they are read, `values` are zeros."""
    level = np.array([_best_level(values) // LEVEL_STEP])
    bits = (LOG_SCALES // LEVEL_STEP).bit_length() - 1
    level = int(_code_uniform(coder, level, bits, label)[0]) * LEVEL_STEP
    # scale / 2^low_bits stays below 32 or so
    low_bits = max(0, math.ceil((level / LEVELS_PER_E - 8.5) / math.log(2)))
    # a cell [h 2^b, (h + 1) 2^b) has its middle at (h + 1/2) 2^b - 1/2
    mu = -(FRACTIONS // 2) + (FRACTIONS // 2 >> low_bits)
    level -= round(low_bits * math.log(2) * LEVELS_PER_E)
    tables, _ = table_number(np.full(len(values), mu), np.full(len(values), level))
    high = _code_near(coder, tables, values >> low_bits, label)
    return (high << low_bits) + _code_uniform(coder, values, low_bits, label)


def _best_level(values) -> int:
    """The scale of fewest bits. With t = e^(-1/2s) zero has the probability 1 - t, and k another
    t^(2|k| - 1) (1 - t^2) / 2."""
    size, others = np.abs(values).sum(), np.count_nonzero(values)
    levels = np.arange(0, LOG_SCALES, LEVEL_STEP)
    log_t = -0.5 / np.exp(levels / LEVELS_PER_E - 5)
    likelihood = ((values.size - others) * np.log(-np.expm1(log_t)) + (2 * size - others) * log_t
                  + others * np.log(-np.expm1(2 * log_t)))
    return int(levels[np.argmax(likelihood)])


# The walk ---------------------------------------------------------------------------------------


def walk(coder: Any, contents: Contents) -> Contents:
    """Code a file's payload: write what is in `contents`, or read what is None there."""
    config, shape, coded = contents
    coded = _code_networks(coder, config, len(shape), coded)
    plan = Plan(config, shape)
    real = header.real_arrays(coded.networks, coded.steps, np.float64)
    predictors = networks(config, real, plan.unit, plan.per_grid)
    buffer, symbols = np.zeros(plan.size), np.zeros(len(plan.order), np.int64)
    known = None if coded.symbols is None else np.asarray(coded.symbols, np.int64)[plan.order]
    family = FAMILY * [*DISTRIBUTIONS].index(config.latent_distribution)
    for step, halved in plan.steps():
        plan.halve(buffer, halved)
        predicted = [predictors[(grid := plan.grid[part])[0]](plan.contexts(buffer, part), grid)
                     for part in plan.parts(step)]
        mu, log_scale = map(np.concatenate, zip(*predicted, strict=True))
        tables, center = table_number(mu, log_scale_level(log_scale))
        tables += family
        residual = None if known is None else known[step] - center
        values = _code_near(coder, tables, residual, plan.grid[step]) + center
        symbols[plan.order[step]] = values
        put(buffer, plan, step, values)
    return contents._replace(coded=coded._replace(symbols=symbols))


def _code_networks(coder, config, ndim, coded) -> Quantized:
    """The integers of all network arrays, maybe their steps: written, or read if there are none."""
    shapes, arrays = header.array_shapes(config, ndim), coded.networks
    if arrays is None:
        arrays = jax.tree.map(lambda a: np.zeros(a.shape, np.int64), shapes)
    steps, known = [], iter(coded.steps)

    def code(path, like, values):
        label = LABELS.index(PART_OF[path[0].name])
        if config.steps_per_array:
            number = np.array([ARRAY_STEPS.index(next(known, ARRAY_STEPS[0]))])
            bits = (len(ARRAY_STEPS) - 1).bit_length()
            steps.append(ARRAY_STEPS[int(_code_uniform(coder, number, bits, label)[0])])
        array = code_array(coder, values.reshape(-1), label)
        if np.abs(array).max(initial=0) > MAX_INTEGER:
            raise BitstreamError("a network's weight is beyond all limits; the file is damaged")
        return array.reshape(like.shape)

    arrays = jax.tree_util.tree_map_with_path(code, shapes, arrays)
    return coded._replace(networks=arrays, steps=tuple(steps) or coded.steps)


def put(buffer: Float[np.ndarray, " size"], plan: Plan, places: slice, values) -> None:
    """Latents into the buffer, as contexts see them."""
    clipped = np.minimum(np.maximum(values, -MAX_LATENT), MAX_LATENT)
    buffer[plan.positions[places]] = clipped * plan.unit
