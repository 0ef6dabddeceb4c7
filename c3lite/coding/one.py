"""A fit as bytes, and back: the container, and the walk that codes everything in it (App. B.3).

    magic, version | CRC of the rest | config, steps, shape | CRC of the latents | payload

The payload is one range-coder stream: the networks' integers, then the latents in the order of
`wavefront.Plan`, each with a frequency table from the integer entropy network (`integer.py`).
`_walk` codes both. It is handed a coder that either writes the symbols it is given or reads them,
so that encoder and decoder cannot drift apart.

Promised: the same latents and networks on every machine, and by every backend of the range coder;
pixels within one 8-bit step between machines, the same ones on one machine (`decoder.py`).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float

from c3lite.coding import integer_entropy as integer
from c3lite.coding import pixels as decoder
from c3lite.coding.order import Plan
from c3lite.coding.rangecoder import Decoder, Encoder
from c3lite.config import (
    ADAPTIVE_CLIC,
    ADAPTIVE_KODAK,
    ADAPTIVE_UVG,
    C3,
    C3_CLIC,
    COOL_CHIC,
    COOL_CHIC_V2,
    Config,
    edit,
)
from c3lite.fitting.fit import Fit
from c3lite.model import latents
from c3lite.model.context import MAX_REACH, context_count

MAGIC = b"C3l"
VERSION = 2

MAX_SIDE = 2**14
MAX_FRAMES = 2**12
MAX_PIXELS = 2**25
"""Frames x height x width: one 8K picture. Longer videos are coded in patches."""
MAX_CONTEXT = 2**13
"""Entries of a context window."""
MAX_PARAMETERS = 2**20
MAX_INTEGER = 2**24
"""Largest integer of a network: what float32 holds exactly."""
MAX_SYMBOL = 2**30


class BitstreamError(ValueError):
    """Bytes that are no whole file of ours, or a fit that cannot be written as one."""


class _Contents(NamedTuple):
    """What a file says."""

    config: Config
    shape: tuple[int, ...]
    weight_step: float
    bias_step: float
    arrays: list[np.ndarray]
    """The networks' integers, in the order of `decoder.array_infos`."""
    symbols: np.ndarray


# The walk ---------------------------------------------------------------------------------------


@runtime_checkable
class _Coder(Protocol):
    def code(self, tables, symbols, label) -> np.ndarray:
        """Write `symbols`, each by the table of that number, or read and return them.

        `label` (a number, or one a symbol) is what `inspect` counts them under.
        """


class _Writer:
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
        encoder = Encoder(backend=backend)
        low, high, _ = self._intervals()
        encoder.encode_intervals(low, high, integer.TOTAL)
        return encoder.finish(verify=False)  # `encode` decodes it all

    def bits(self) -> Float[np.ndarray, " labels"]:
        """Code length by label."""
        low, high, labels = self._intervals()
        return np.bincount(labels, -np.log2((high - low) / integer.TOTAL), minlength=_LABELS)


class _Reader:
    def __init__(self, data, backend: str):
        self._tables = integer.Tables()
        self._decoder = Decoder(data, backend=backend)

    def code(self, tables, symbols, label):
        return np.array(self._decoder.decode_many(self._tables, tables), np.int64)


_PARTS = ("upsampling", "synthesis", "entropy")
_LABELS = 16 + len(_PARTS)
"""Grids 0..15, then the parts of the networks."""


def _code_laplace(coder: _Coder, tables, values, label):
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


def _code_array(coder, values, n: int, label):
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


def _walk(
    coder: _Coder,
    config: Config,
    shape: tuple[int, ...],
    weight_step: float,
    bias_step: float,
    known: _Contents | None = None,
    batch: int = 2048,
) -> _Contents:
    """Code a file's payload: write what is `known`, or read it."""
    steps = _walk_steps(coder, config, shape, weight_step, bias_step, known, batch)
    contents, _, _ = next(steps)
    for _ in steps:
        pass
    return contents


def _walk_steps(
    coder: _Coder, config: Config, shape: tuple[int, ...], weight_step: float, bias_step: float,
    known: _Contents | None = None, batch: int = 2048,
) -> Iterator[tuple[_Contents, Plan, int]]:
    """The walk as a generator: what is known so far, and how many latents of the plan's order.

    First come the networks, with no latent yet; the symbols are filled in from step to step. Known
    latents all have their contexts at once; they are evaluated `batch` at a time. The numbers are
    the same as in the decoder's wavefronts.
    """
    arrays = []
    for i, info in enumerate(decoder.array_infos(config, len(shape))):
        values = None if known is None else known.arrays[i].reshape(-1)
        label = 16 + _PARTS.index(info.part)
        array = _code_array(coder, values, math.prod(info.shape), label)
        if np.abs(array).max(initial=0) > MAX_INTEGER:
            raise BitstreamError("a network's weight is beyond all limits; the file is damaged")
        arrays.append(array.reshape(info.shape))

    plan = Plan(config, shape)
    networks = _networks(config, plan, arrays, weight_step, bias_step)
    buffer = np.zeros(plan.size)
    symbols = np.zeros(len(plan.order), np.int64)
    contents = _Contents(config, shape, weight_step, bias_step, arrays, symbols)
    yield contents, plan, 0
    if known is not None:
        values = known.symbols.astype(np.int64)[plan.order]
        _put(buffer, plan, slice(None), values)
        plan.halve(buffer, slice(None))
        tables, centers = np.empty_like(symbols), np.empty_like(symbols)
        for n in range(config.num_grids) if plan.per_grid else (0,):
            places = np.flatnonzero(plan.grid == n) if plan.per_grid else np.arange(len(values))
            for first in range(0, len(places), batch):
                some = places[first : first + batch]
                tables[some], centers[some] = _predict(networks, plan, buffer, some, n)
        residuals = values - centers
    for step, halved in plan.steps():
        if known is None:
            plan.halve(buffer, halved)
            table, center = _predict(networks, plan, buffer, step, plan.grid[step.start])
            residual = None
        else:
            table, center, residual = tables[step], centers[step], residuals[step]
        decoded = _code_laplace(coder, table, residual, plan.grid[step]) + center
        symbols[plan.order[step]] = decoded
        if known is None:
            _put(buffer, plan, step, decoded)
        yield contents, plan, step.stop


def _networks(config, plan, arrays, weight_step, bias_step) -> list[integer.Network]:
    """The integer network of each grid; one object where grids share it."""
    parts = decoder.take_apart(config, arrays)

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


# The container ----------------------------------------------------------------------------------

# The names and numbers below are part of the format: append only.
_UPSAMPLINGS = ("bilinear", "bicubic", "lanczos", "learned")
_ACTIVATIONS = ("gelu", "relu")
_FLAGS = ("finest_grid", "upsampling_recursive", "synthesis_per_frame", "rgb_activation",
          "entropy_per_grid", "entropy_film", "residual_layers")
_WIDTHS = ("synthesis_widths", "entropy_widths")
_FLOATS = ("quantization_step", "log_scale_shift", "scale_min", "scale_max")
_COMMON_FLOATS = (0.0, 1.0, 8.0, 0.4, 0.3, 1e-3, 150.0, math.exp(5),
                  5e-5, 1e-4, 5e-4, 3e-3, 6e-3, 1e-2)
"""Written as one byte; any other float32 takes five."""
_OTHER_FLOAT = 255


class Output:
    """Bytes of a header, as they grow."""

    def __init__(self):
        self.data = bytearray()

    def byte(self, value: int):
        self.data.append(value)

    def unsigned(self, value: int):
        """7 bits a byte, low ones first; the top bit says that more follow."""
        while value >= 128:
            self.data.append(value & 127 | 128)
            value >>= 7
        self.data.append(value)

    def signed(self, value: int):
        self.unsigned(2 * value if value >= 0 else -2 * value - 1)

    def float(self, value: float):
        common = [np.float32(v) for v in _COMMON_FLOATS]
        if np.float32(value) in common:
            self.byte(common.index(np.float32(value)))
        else:
            self.data += struct.pack("<Bf", _OTHER_FLOAT, value)


class Input:
    """Bytes of a header, as they are read. Raises `BitstreamError` at their end."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        if self.at + n > len(self.data):
            raise BitstreamError("the file ends within its header")
        self.at += n
        return self.data[self.at - n : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def unsigned(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise BitstreamError("a number in the header has more than five bytes")

    def signed(self) -> int:
        value = self.unsigned()
        return -(value + 1 >> 1) if value & 1 else value >> 1

    def float(self) -> float:
        code = self.byte()
        if code == _OTHER_FLOAT:
            return struct.unpack("<f", self.take(4))[0]
        if code >= len(_COMMON_FLOATS):
            raise BitstreamError(f"the header has a number of unknown kind {code}")
        return float(np.float32(_COMMON_FLOATS[code]))


_KNOWN = (C3, C3_CLIC, COOL_CHIC, COOL_CHIC_V2, *ADAPTIVE_KODAK, *ADAPTIVE_CLIC, *ADAPTIVE_UVG)
"""Configs that a file names by one byte instead of writing them out. Append only: with this the
presets are part of the format, and a test holds what each stands for."""


def _write_config(out: Output, config: Config, ndim: int):
    """The fields that a decoder needs."""
    structure, known = _structure(config, ndim), _known(ndim)
    number = known.index(structure) + 1 if structure in known else 0
    out.byte(number | (ndim == 3) << 7)
    if not number:
        out.data += structure
    if config.mask_shape is not None and ndim == 3:
        for origin in config.mask_origins[: _mask_count(config)]:
            for step in origin:
                out.signed(int(step))


def _read_config(source: Input) -> tuple[Config, int]:
    """The config and the number of dimensions. Raises what `Config` raises."""
    first = source.byte()
    number, ndim = first & 127, 3 if first >> 7 else 2
    known = _known(ndim)
    if number > len(known):
        raise BitstreamError(f"the header names preset {number}, and there are {len(known)}")
    fields = _read_structure(Input(known[number - 1]) if number else source)
    if "mask_shape" in fields:
        fields["mask_origins"] = tuple(
            (source.signed(), source.signed()) for _ in range(fields["masked_grids"]))
    return edit(Config(), **fields), ndim


@functools.cache
def _known(ndim: int) -> list[bytes]:
    """What the numbers 1, 2, ... stand for; 0 is a config written out."""
    return list(dict.fromkeys(_structure(config, ndim) for config in _KNOWN))


def _mask_count(config: Config) -> int:
    return min(config.masked_grids, config.num_grids)


def _structure(config: Config, ndim: int) -> bytes:
    """All fields of a decoder but the masks' places."""
    out = Output()
    masked = config.mask_shape is not None and ndim == 3
    out.byte(config.num_grids - 1 | _UPSAMPLINGS.index(config.upsampling) << 4 | masked << 7)
    out.byte(sum(getattr(config, flag) << i for i, flag in enumerate(_FLAGS))
             | _ACTIVATIONS.index(config.activation) << len(_FLAGS))
    # depths together in one byte
    synthesis, entropy = (getattr(config, name) for name in _WIDTHS)
    out.byte(len(synthesis) | len(entropy) << 4)
    for width in synthesis + entropy:
        out.unsigned(width)
    out.byte(config.synthesis_residual_convs | len(config.context_size) << 4)
    for side in config.context_size:
        out.byte(side)
    out.byte(config.previous_grid_size)
    if masked:
        for side in config.mask_shape:
            out.byte(side)
        out.byte(_mask_count(config))
    for name in _FLOATS:
        out.float(float(getattr(config, name)))
    return bytes(out.data)


def _read_structure(source: Input) -> dict[str, Any]:
    first, flags = source.byte(), source.byte()
    fields: dict[str, Any] = {
        "num_grids": (first & 15) + 1, "upsampling": _UPSAMPLINGS[first >> 4 & 3],
        "activation": _ACTIVATIONS[flags >> len(_FLAGS)]}
    fields |= {flag: bool(flags >> i & 1) for i, flag in enumerate(_FLAGS)}
    depths = source.byte()
    for name, depth in zip(_WIDTHS, (depths & 15, depths >> 4), strict=True):
        fields[name] = tuple(source.unsigned() for _ in range(depth))
    sizes = source.byte()
    fields["synthesis_residual_convs"] = sizes & 15
    fields["context_size"] = tuple(source.byte() for _ in range(sizes >> 4))
    fields["previous_grid_size"] = source.byte()
    if first >> 7:
        fields["mask_shape"] = (source.byte(), source.byte())
        fields["masked_grids"] = min(source.byte(), fields["num_grids"])
    fields |= {name: source.float() for name in _FLOATS}
    if not all(math.isfinite(fields[name]) for name in _FLOATS):
        raise ValueError("a scale or bin width is not finite")
    return fields


class _Header(NamedTuple):
    config: Config
    shape: tuple[int, ...]
    weight_step: float
    bias_step: float
    latents_crc: int
    payload: bytes
    version: int
    bytes: int
    """Everything but the payload."""


def _pack(contents: _Contents, payload: bytes) -> bytes:
    out = Output()
    _write_config(out, contents.config, len(contents.shape))
    out.float(contents.weight_step)
    out.float(contents.bias_step)
    for side in contents.shape:
        out.unsigned(side)
    out.data += struct.pack("<I", _latents_crc(contents.symbols))
    rest = bytes(out.data) + payload
    return MAGIC + bytes([VERSION]) + struct.pack("<I", zlib.crc32(rest)) + rest


def _latents_crc(symbols) -> int:
    return zlib.crc32(np.asarray(symbols, "<i4").tobytes())


def _unpack(data: bytes) -> _Header:
    """The header and the payload's bytes, checked. Nothing large is allocated."""
    source = Input(data)
    if len(data) < len(MAGIC) or source.take(len(MAGIC)) != MAGIC:
        raise BitstreamError("this is not a c3lite file: it does not start with its mark")
    version = source.byte()
    check_version(version)
    (crc,) = struct.unpack("<I", source.take(4))
    if zlib.crc32(memoryview(data)[source.at :]) != crc:
        raise BitstreamError("the checksum does not fit: the file is damaged or not complete")
    try:
        config, ndim = _read_config(source)
    except BitstreamError:
        raise
    except (ValueError, TypeError) as error:
        raise BitstreamError(f"the file's header is impossible: {error}") from error
    weight_step, bias_step = source.float(), source.float()
    if not (0 < weight_step < 1 and 0 < bias_step < 1):
        raise BitstreamError("a quantization step in the header is not between 0 and 1")
    shape = tuple(source.unsigned() for _ in range(ndim))
    check_limits(config, shape)
    (latents_crc,) = struct.unpack("<I", source.take(4))
    return _Header(config, shape, weight_step, bias_step, latents_crc, data[source.at :],
                   version, source.at)


def check_version(version: int) -> None:
    """Raise `BitstreamError` for a version of the format that this program does not read."""
    if version > VERSION:
        raise BitstreamError(f"this file has version {version} of the format, and this c3lite "
                             f"reads version {VERSION}: a newer c3lite is needed")
    if version < VERSION:
        raise BitstreamError(f"the file says version {version}, which was never released")


def shape_of(data: bytes) -> tuple[int, ...]:
    """(height, width) or (frames, height, width) of a file. Raises `BitstreamError`."""
    return _unpack(data).shape


def check_limits(config: Config, shape: tuple[int, ...]) -> None:
    """Raise `BitstreamError` where a file may not declare this; nothing is allocated."""
    if len(shape) not in (2, 3):
        raise BitstreamError(f"a file holds an image or a video, not {len(shape)} dimensions")
    *frames, height, width = shape
    if not (1 <= min(height, width) and max(height, width) <= MAX_SIDE):
        raise BitstreamError(f"sides are 1 to {MAX_SIDE}, not {height} x {width}")
    if not all(1 <= n <= MAX_FRAMES for n in frames):
        raise BitstreamError(f"a video has 1 to {MAX_FRAMES} frames, not {frames[0]}")
    if math.prod(shape) > MAX_PIXELS:
        raise BitstreamError(f"{math.prod(shape)} pixels are more than the limit of {MAX_PIXELS}")
    windows = [math.prod(config.context_size), config.previous_grid_size ** len(shape),
               math.prod(config.mask_shape or ())]
    if max(windows) > MAX_CONTEXT:
        raise BitstreamError(f"a context of {max(windows)} is more than the limit of {MAX_CONTEXT}")
    reach = [abs(step) for origin in config.mask_origins for step in origin]
    if max((*reach, *config.context_size, *(config.mask_shape or ()))) > MAX_REACH:
        raise BitstreamError(f"a context reaches farther than {MAX_REACH} latents")
    contexts = {context_count(config, len(shape), n) for n in range(config.num_grids)}
    if len(contexts) > 1 and not config.entropy_per_grid:
        raise BitstreamError("one entropy network cannot serve contexts of different sizes")
    if len(config.synthesis_widths) > 15 or len(config.entropy_widths) > 15:
        raise BitstreamError("a network has more than 15 hidden layers")
    if config.synthesis_residual_convs > 15:
        raise BitstreamError("there are more than 15 residual convolutions")
    parameters = sum(math.prod(info.shape) for info in decoder.array_infos(config, len(shape)))
    if parameters > MAX_PARAMETERS:
        raise BitstreamError(f"{parameters} parameters are more than the limit of {MAX_PARAMETERS}")


# What users call --------------------------------------------------------------------------------


def encode(fit: Fit, *, backend: str = "auto") -> bytes:
    """The file of a fit.

    It is decoded before it is returned.

    Args:
        backend: of the range coder: "auto", "range-coder" or "python"; the bytes are the same.

    Raises:
        BitstreamError: when the fit is beyond the format's limits (parameters that are not finite,
            sides), or the decoder does not give back its latents and networks.
    """
    contents = _contents(fit)
    writer = _Writer()
    _walk(writer, *contents[:4], known=contents)
    data = _pack(contents, writer.finish(backend))
    decoded = _read(data, backend)
    same = np.array_equal(decoded.symbols, contents.symbols) and all(
        np.array_equal(a, b) for a, b in zip(decoded.arrays, contents.arrays, strict=True))
    if not same:
        raise BitstreamError("the decoder does not give back what was encoded; please report this")
    return data


def decode(data: bytes, *, backend: str = "auto") -> Float[np.ndarray, "3 *shape"]:
    """The image or video of a file: float32 multiples of 1/255, (3, *shape).

    The same as the fit's `reconstruction`.

    Raises:
        BitstreamError: for bytes that are not a whole and undamaged file.
    """
    contents = _read(data, backend)
    return decoder.synthesize(contents.config, contents.shape, contents.symbols, contents.arrays,
                              contents.weight_step, contents.bias_step)


def decode_frames(
    data: bytes, *, backend: str = "auto"
) -> Iterator[Float[np.ndarray, "3 height width"]]:
    """The frames of a video's file, each as soon as its latents have been read.

    The same as those of `decode`. Errors as there; but only after the last frame can it be known
    that the latents are those that were written (no damage of the file remains unnoticed until
    then, a decoder that differs from the encoder would).
    """
    header = _unpack(bytes(data))
    if len(header.shape) != 3:
        raise BitstreamError("the file holds an image, which has no frames")
    return _frames(header, backend)


def _frames(header, backend):
    config, shape = header.config, header.shape
    steps = _walk_steps(_Reader(header.payload, backend), *header[:4])
    contents, plan, done = next(steps)
    needed = decoder.frames_needed(config, shape)
    place = np.empty(len(plan.order), np.int64)  # of each latent in the order of the file
    place[plan.order] = np.arange(len(plan.order))
    first, complete = 0, np.zeros(shape[0], np.int64)
    for n, grid_shape in enumerate(plan.shapes):
        count = math.prod(grid_shape)
        last = place[first : first + count].reshape(grid_shape[0], -1).max(1)
        complete = np.maximum(complete, np.maximum.accumulate(last)[needed[:, n]])
        first += count
    frames = decoder.synthesize_frames(
        config, shape, contents.symbols, contents.arrays, header.weight_step, header.bias_step)
    for last in complete.tolist():
        while done <= last:
            _, _, done = next(steps)
        yield next(frames)
    for _ in steps:
        pass
    _check_latents(contents, header)


@dataclasses.dataclass(frozen=True)
class Info:
    """What is in a file, and what it costs."""

    version: int
    shape: tuple[int, ...]
    """(height, width) or (frames, height, width)."""
    config: Config
    """Structure and constants of the decoder; what only the fit needed has its default."""
    weight_step: float
    bias_step: float
    header_bytes: int
    payload_bytes: int
    networks_bits: dict[str, float]
    """Code length in the payload, by network."""
    grids_bits: tuple[float, ...]
    """Code length in the payload, by latent grid, finest first."""

    @property
    def bytes(self) -> int:
        """Of the whole file."""
        return self.header_bytes + self.payload_bytes

    @property
    def bpp(self) -> float:
        """Bits per pixel of the whole file."""
        return 8 * self.bytes / math.prod(self.shape)

    def structure(self) -> dict:
        """The fields of the config that are in the file."""
        names = ("num_grids", "upsampling", "activation", *_FLAGS, *_WIDTHS, *_FLOATS,
                 "synthesis_residual_convs", "context_size", "previous_grid_size")
        if self.config.mask_shape is not None:
            names += ("mask_shape", "masked_grids", "mask_origins")
        shortest = {name: float(str(np.float32(getattr(self.config, name)))) for name in _FLOATS}
        return {name: getattr(self.config, name) for name in names} | shortest

    def as_dict(self) -> dict:
        """All of it, ready for JSON."""
        return {"version": self.version, "shape": self.shape, "bytes": self.bytes, "bpp": self.bpp,
                "header_bytes": self.header_bytes, "payload_bytes": self.payload_bytes,
                "networks_bits": self.networks_bits, "grids_bits": self.grids_bits,
                "weight_step": self.weight_step, "bias_step": self.bias_step,
                "config": self.structure()}

    def __repr__(self) -> str:
        pixels = math.prod(self.shape)
        size = " x ".join(map(str, self.shape))
        lines = [f"c3lite file, version {self.version}: {size}, {self.bytes} bytes, "
                 f"{self.bpp:.4f} bpp",
                 f"  {'header':14}{8 * self.header_bytes:12.0f} bits"]
        parts = dict(self.networks_bits)
        shapes = latents.grid_shapes(self.config, self.shape)
        for n, (shape, bits) in enumerate(zip(shapes, self.grids_bits, strict=True)):
            parts[f"grid {n} {'x'.join(map(str, shape))}"] = bits
        lines += [f"  {name:14}{bits:12.0f} bits {bits / pixels:8.4f} bpp"
                  for name, bits in parts.items()]
        lines.append(f"  steps: weights {self.weight_step:g}, biases {self.bias_step:g}")
        lines.append("  " + ", ".join(f"{k}={v}" for k, v in self.structure().items()))
        return "\n".join(lines)


def inspect(data: bytes) -> Info:
    """What a file holds: header, config, sizes, and the code length of each network and grid.

    Decodes the file, and codes it again to count. Raises `BitstreamError` as `decode`.
    """
    contents = _read(data)
    header = _unpack(data)
    writer = _Writer()
    _walk(writer, *contents[:4], known=contents)
    bits = writer.bits()
    parts = dict.fromkeys(i.part for i in decoder.array_infos(header.config, len(header.shape)))
    return Info(header.version, header.shape, header.config, header.weight_step, header.bias_step,
                header.bytes, len(header.payload),
                {part: float(bits[16 + _PARTS.index(part)]) for part in parts},
                tuple(bits[: header.config.num_grids].tolist()))


def _contents(fit: Fit) -> _Contents:
    """What a fit's file says. Raises `BitstreamError` for a fit that cannot be written."""
    coded, shape = fit.coded, tuple(fit.shape)
    check_limits(fit.config, shape)
    out = Output()
    _write_config(out, fit.config, len(shape))
    config, _ = _read_config(Input(bytes(out.data)))  # numbers as float32, as the decoder has them
    arrays = [np.asarray(a) for a in jax.tree.leaves(coded.networks)]
    for array in arrays:
        if not (np.isfinite(array).all() and np.abs(array).max(initial=0) <= MAX_INTEGER):
            raise BitstreamError("a network's weights are not finite, or too large for the format")
    symbols = np.asarray(coded.symbols)
    if np.abs(symbols.astype(np.int64)).max(initial=0) > MAX_SYMBOL:
        raise BitstreamError(f"a latent is larger than the limit of {MAX_SYMBOL}")
    steps = (float(np.float32(step)) for step in (coded.weight_step, coded.bias_step))
    return _Contents(config, shape, *steps, [a.astype(np.int64) for a in arrays], symbols)


def _read(data: bytes, backend: str = "auto") -> _Contents:
    """All that a file says. Raises `BitstreamError`."""
    header = _unpack(bytes(data))
    contents = _walk(_Reader(header.payload, backend), *header[:4])
    _check_latents(contents, header)
    return contents._replace(symbols=contents.symbols.astype(np.int32))


def _check_latents(contents: _Contents, header: _Header) -> None:
    if (np.abs(contents.symbols).max(initial=0) > MAX_SYMBOL
            or _latents_crc(contents.symbols) != header.latents_crc):
        raise BitstreamError("the latents' checksum does not fit: the payload is damaged, or was "
                             "written by a faulty encoder")
