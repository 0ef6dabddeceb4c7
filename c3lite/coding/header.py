"""What a file says: its contents as values, and the bytes that come before the payload.

    magic, version | CRC of the rest | config, steps, shape | CRC of the latents | payload

Which fields of a config a decoder needs is marked in `config.py`. A config is one byte if it is a
known one, and is written out otherwise. Version 2 was made for the fields and choices of its day;
whatever else a config has follows as pairs of a field's number and its value, after a mark at which
older programs stop. What is written is never changed, only appended to.
"""

import functools
import itertools
import math
import struct
import typing
import zlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Integer, PyTree

from c3lite import config as presets
from c3lite.config import C3, Config, coded_fields, edit, field_types
from c3lite.ingredients.upsampling import UPSAMPLINGS
from c3lite.model.context import ancestors, check_mask, context_count, masked_count
from c3lite.model.latents import exponents

MAGIC = b"C3l"
VERSION = 3
OLDEST = 2
FIRST_OF_VERSION_3 = 22
"""Number of the first config field that version 2 did not know: all that version 3 added."""

MAX_SIDE = 2**14
MAX_FRAMES = 2**12
MAX_PIXELS = 2**25
"""Frames x height x width: one 8K picture. Longer videos are coded in patches."""
MAX_CONTEXT = 2**13
"""Entries of a context window."""
MAX_REACH = 255
"""No context reaches farther, in latents."""
MAX_PARAMETERS = 2**20
MAX_SYMBOL = 2**30
ARRAY_STEPS = tuple(float(np.float32(2.0 ** (-k / 2))) for k in range(1, 33))
"""What `steps_per_array` chooses from: 0.7 to 1.5e-5, two an octave."""


class BitstreamError(ValueError):
    """Bytes that are no whole file of ours, or a fit that cannot be written as one."""


# Contents ----------------------------------------------------------------------------------------


class Quantized(NamedTuple):
    """Everything that goes into a file, as integers."""

    symbols: Integer[Array | np.ndarray, " latents"] | None
    """Quantized latents in step units, grids one after another, finest first."""
    networks: PyTree
    """Whole numbers; times the steps they are the networks that the decoder has. Of a fit:
    `parameters.Networks`. Read from a file: `Arrays`, whose leaves have the same order."""
    steps: tuple[float, ...]
    """Of weights and of biases; maybe two more, of the entropy model's; or one of each array."""


class Contents(NamedTuple):
    """What a file says. As a fit has these fields too, both can be encoded."""

    config: Config
    """What a decoder needs; other fields have their defaults."""
    shape: tuple[int, ...]
    """(height, width) or (frames, height, width)."""
    coded: Quantized


class Arrays(NamedTuple):
    """All coded arrays, or their shapes, by their roles; what there is none of is empty. Pairs are
    (weight, bias). The order is that of the file, and of `parameters.Networks`' leaves."""

    upsampling: Any
    """The learned kernel, or None."""
    layers: list[tuple]
    """Synthesis' 1x1 layers."""
    convs: list[tuple]
    """Its residual convolutions."""
    branch: list[tuple]
    """Its linear branch."""
    networks: list[list[tuple]]
    """The layers of each entropy network."""
    film: list[tuple]
    """(scale - 1, shift) of each hidden layer, a row a grid."""
    branches: list[tuple]
    """The linear branch of each entropy network."""
    features: list[tuple]
    """The features of each grid that has some."""


PART_OF = dict(zip(
    Arrays._fields, ("upsampling", *3 * ("synthesis",), *4 * ("entropy",)), strict=True))
"""By role: the part of the networks that an array belongs to."""


def array_shapes(config: Config, ndim: int) -> Arrays:
    """The shapes (`jax.ShapeDtypeStruct`) of all coded arrays."""
    def pair(weight, bias):
        return jax.ShapeDtypeStruct(weight, np.int32), jax.ShapeDtypeStruct(bias, np.int32)

    def dense(*widths):
        return [pair((n_out, n_in), (n_out,)) for n_in, n_out in itertools.pairwise(widths)]

    kernel, total = UPSAMPLINGS[config.upsampling], len(exponents(config))
    size = (1, 3, 3) if config.synthesis_per_frame and ndim == 3 else (3,) * ndim
    contexts = [context_count(config, ndim, n)
                for n in range(total if config.entropy_per_grid else 1)]
    sources = [len(ancestors(config, n)) for n in range(total)]
    return Arrays(
        pair(kernel.kernel_shape(config.num_grids, ndim), ())[0] if kernel.is_learned else None,
        dense(config.num_grids, *config.synthesis_widths, 3),
        [pair((3, 3, *size), (3,))] * config.synthesis_residual_convs,
        dense(config.num_grids, 3) if config.linear_branches else [],
        [dense(n, *config.entropy_widths, 2) for n in contexts],
        [pair((total, n), (total, n)) for n in config.entropy_widths if config.entropy_film],
        [dense(n, 2)[0] for n in contexts if config.linear_branches],
        [dense(n, config.grid_features)[0] for n in sources if n])


def take_apart(config: Config, arrays: Sequence[np.ndarray]) -> Arrays:
    """Arrays in the order of the file, by their roles."""
    return jax.tree.unflatten(jax.tree.structure(array_shapes(config, 2)), arrays)


def array_steps(arrays: PyTree, steps: Sequence) -> PyTree:
    """The step of each array, of `Arrays` or of `parameters.Networks`, from `Quantized.steps`."""
    structure = jax.tree.structure(arrays)
    if len(steps) == structure.num_leaves:
        return jax.tree.unflatten(structure, steps)

    def step_of(path, _):
        of_entropy = PART_OF.get(path[0].name, path[0].name) == "entropy"
        return steps[2 * (of_entropy and len(steps) == 4) + is_bias(path)]

    return jax.tree_util.tree_map_with_path(step_of, arrays)


def is_bias(path) -> bool:
    """Whether the array at a path takes the bias step: biases of layers, and the shift of FiLM."""
    last = path[-1]  # a field of a layer, or a place in a pair
    return getattr(last, "name", None) == "bias" or getattr(last, "idx", 0) == 1


def real_arrays(arrays: Arrays, steps: Sequence[float], dtype: type) -> Arrays:
    """What the decoder has: the arrays' integers times their steps (`Quantized.steps`)."""
    return jax.tree.map(lambda a, step: dtype(a) * dtype(step), arrays, array_steps(arrays, steps))


# Numbers ----------------------------------------------------------------------------------------

_COMMON_FLOATS = (0.0, 1.0, 8.0, 0.4, 0.3, 1e-3, 150.0, math.exp(5),
                  5e-5, 1e-4, 5e-4, 3e-3, 6e-3, 1e-2)
"""Written as one byte; any other float32 takes five. Append only."""
_OTHER_FLOAT = 255


class Output:
    """Bytes of a header, as they grow. Its calls return what they are given."""

    def __init__(self):
        self.data = bytearray()

    def byte(self, value: int) -> int:
        self.data.append(value)
        return value

    def unsigned(self, value: int) -> int:
        """7 bits a byte, low ones first; the top bit says that more follow."""
        left = value
        while left >= 128:
            self.data.append(left & 127 | 128)
            left >>= 7
        self.data.append(left)
        return value

    def signed(self, value: int) -> int:
        self.unsigned(2 * value if value >= 0 else -2 * value - 1)
        return value

    def float(self, value: float) -> float:
        common = [np.float32(v) for v in _COMMON_FLOATS]
        if np.float32(value) in common:
            self.byte(common.index(np.float32(value)))
        else:
            self.data += struct.pack("<Bf", _OTHER_FLOAT, value)
        return value


class Input:
    """Bytes of a header, as they are read; raises `BitstreamError` at their end. The calls are
    those of `Output`, arguments unused, so that one function can write and read."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        if self.at + n > len(self.data):
            raise BitstreamError("the file ends within its header")
        self.at += n
        return self.data[self.at - n : self.at]

    def byte(self, _=None) -> int:
        return self.take(1)[0]

    def unsigned(self, _=None) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise BitstreamError("a number in the header has more than five bytes")

    def signed(self, _=None) -> int:
        value = self.unsigned()
        return -(value + 1 >> 1) if value & 1 else value >> 1

    def float(self, _=None) -> float:
        code = self.byte()
        if code == _OTHER_FLOAT:
            return struct.unpack("<f", self.take(4))[0]
        if code >= len(_COMMON_FLOATS):
            raise BitstreamError(f"the header has a number of unknown kind {code}")
        return float(np.float32(_COMMON_FLOATS[code]))


# The config -------------------------------------------------------------------------------------

_KNOWN = (C3, presets.C3_CLIC, presets.COOL_CHIC, presets.COOL_CHIC_V2, *presets.ADAPTIVE_KODAK,
          *presets.ADAPTIVE_CLIC, *presets.ADAPTIVE_UVG)
"""Configs that a file names by one byte instead of writing them out. Append only: with this the
presets are part of the format, and a test holds what each stands for."""
_EXTENDED = 127
"""In place of a known config's number: one is written out, beyond what version 2 can hold."""


def as_decoded(config: Config, ndim: int) -> Config:
    """What a decoder has of a config: the marked fields, numbers as float32, masks of videos only.
    Raises `BitstreamError` for masked grids without a position."""
    fields = decoder_fields(config, ndim)
    if "mask_shape" in fields:
        try:
            check_mask(config, ndim)
        except ValueError as error:
            raise BitstreamError(str(error)) from error
        count = masked_count(config)
        origins = tuple(tuple(map(int, origin)) for origin in config.mask_origins[:count])
        fields |= {"masked_grids": count, "mask_origins": origins}
    return Config(**{
        name: float(np.float32(value)) if field_types()[name] is float else value
        for name, value in fields.items()})


def decoder_fields(config: Config, ndim: int) -> dict[str, Any]:
    """The marked fields of a config; those of masks only where there are some."""
    left_out = () if config.mask_shape is not None and ndim == 3 else (
        "mask_shape", "masked_grids", "mask_origins")
    return {name: getattr(config, name) for name in coded_fields() if name not in left_out}


def write_config(out: Output, config: Config, ndim: int) -> None:
    """Write what `as_decoded` gave."""
    written, known = _written_out(config, ndim), _known(ndim)
    if written in known:
        out.byte(known.index(written) + 1 | (ndim == 3) << 7)
    else:
        out.data += written
    for step in itertools.chain(*config.mask_origins):
        out.signed(step)


def read_config(source: Input) -> tuple[Config, int]:
    """The config and the number of dimensions. Raises what `Config` raises."""
    first = source.byte()
    number, ndim, fields = first & 127, 3 if first >> 7 else 2, source
    if 0 < number < _EXTENDED:
        known = _known(ndim)
        if number > len(known):
            raise BitstreamError(f"the header names preset {number}, and there are {len(known)}: "
                                 "a newer c3lite is needed, or the file is damaged")
        fields = Input(known[number - 1])
        number = fields.byte() & 127
    values = _code_version_2(fields)
    if number == _EXTENDED:
        names = {number: name for name, number in coded_fields().items()}
        for _ in range(fields.unsigned()):
            number = fields.unsigned()
            if number not in names:
                raise BitstreamError(f"the header has a field of unknown number {number}: a newer "
                                     "c3lite is needed, or the file is damaged")
            values[names[number]] = _code_value(fields, field_types()[names[number]])
    if "mask_shape" in values:
        values["masked_grids"] = count = min(values["masked_grids"], values["num_grids"])
        values["mask_origins"] = tuple((source.signed(), source.signed()) for _ in range(count))
    return Config(**values), ndim


@functools.cache
def _known(ndim: int) -> list[bytes]:
    """What the numbers 1, 2, ... stand for, written out."""
    somewhere = (edit(config, mask_origins=((0, 0),) * masked_count(config))
                 if config.mask_shape else config for config in _KNOWN)  # none have a place yet
    return list(dict.fromkeys(_written_out(as_decoded(c, ndim), ndim) for c in somewhere))


def _written_out(config: Config, ndim: int) -> bytes:
    """All fields of a decoder but the masks' places, after a byte in place of a preset's number."""
    out = Output()
    out.byte((ndim == 3) << 7)
    values = _code_version_2(out, config)
    values["mask_origins"] = config.mask_origins
    # what does not come back follows
    left = [name for name in coded_fields()
            if getattr(config, name) != values.get(name, getattr(Config(), name))]
    if left:
        out.data[0] |= _EXTENDED
        out.unsigned(len(left))
    for name in left:
        out.unsigned(coded_fields()[name])
        _code_value(out, field_types()[name], getattr(config, name))
    return bytes(out.data)


def _code_version_2(stream: Output | Input, config: Config | None = None) -> dict[str, Any]:
    """The fields that version 2 has a place for: written, or read where there is no config."""
    small: dict[str, int] = {}

    def bits(**widths: int):
        """One byte of several small numbers, low bits first."""
        at, byte = 0, 0
        for name, width in widths.items():
            value = 0 if config is None else _small_number(config, name)
            # a choice that has no room here is written after all else
            byte |= (value if value < 1 << width else 0) << at
            at += width
        byte = stream.byte(byte)
        for name, width in widths.items():
            small[name] = byte & (1 << width) - 1
            byte >>= width

    def sequence(name: str, code, length: int) -> tuple[int, ...]:
        return tuple(map(code, [None] * length if config is None else getattr(config, name)))

    bits(num_grids=4, upsampling=2, unused=1, mask_shape=1)
    bits(finest_grid=1, upsampling_recursive=1, synthesis_per_frame=1, rgb_activation=1,
         entropy_per_grid=1, entropy_film=1, residual_layers=1, activation=1)
    bits(synthesis_widths=4, entropy_widths=4)
    values = {name: sequence(name, stream.unsigned, small.pop(name))
              for name in ("synthesis_widths", "entropy_widths")}
    bits(synthesis_residual_convs=4, context_size=4)
    values["context_size"] = sequence("context_size", stream.byte, small.pop("context_size"))
    bits(previous_grid_size=8)
    if small.pop("mask_shape"):
        values["mask_shape"] = sequence("mask_shape", stream.byte, 2)
        bits(masked_grids=8)
    for name in ("quantization_step", "log_scale_shift", "scale_min", "scale_max"):
        values[name] = stream.float(None if config is None else getattr(config, name))
    del small["unused"]
    small["num_grids"] += 1
    return values | {name: _from_number(field_types()[name], value)
                     for name, value in small.items()}


def _small_number(config, name) -> int:
    if name == "unused":
        return 0
    value = getattr(config, name)
    if name == "num_grids":
        return value - 1
    if name == "mask_shape":
        return value is not None
    if isinstance(value, str):
        return typing.get_args(field_types()[name]).index(value)
    return len(value) if isinstance(value, tuple) else int(value)


def _from_number(hint, number: int):
    if typing.get_origin(hint) is not Literal:
        return hint(number)
    choices = typing.get_args(hint)
    if number >= len(choices):
        raise BitstreamError(f"the header has choice {number} of {', '.join(choices)}: a newer "
                             "c3lite is needed, or the file is damaged")
    return choices[number]


def _code_value(stream: Output | Input, hint, value=None):
    """One value of a field's type, written or read."""
    if hint is float:
        return stream.float(value)
    if hint is int:
        return stream.signed(value)
    if typing.get_origin(hint) is tuple:
        length = stream.unsigned(None if value is None else len(value))
        if length > MAX_CONTEXT:
            raise BitstreamError(f"a list of {length} numbers in the header is beyond the limits")
        part = typing.get_args(hint)[0]
        return tuple(_code_value(stream, part, entry)
                     for entry in ([None] * length if value is None else value))
    if isinstance(value, str):
        value = typing.get_args(hint).index(value)
    return _from_number(hint, stream.unsigned(value))


# The whole header -------------------------------------------------------------------------------


class Header(NamedTuple):
    """What comes before the payload, and the payload."""

    contents: Contents
    """Latents and networks are None: they are in the payload."""
    latents_crc: bytes
    payload: bytes
    bytes: int
    """Everything but the payload."""
    version: int
    """Of the format."""


def pack(contents: Contents, payload: bytes) -> bytes:
    """A whole file."""
    out, coded = Output(), contents.coded
    write_config(out, contents.config, len(contents.shape))
    for step in () if contents.config.steps_per_array else coded.steps:
        out.float(step)
    for side in contents.shape:
        out.unsigned(side)
    out.data += latents_crc(coded.symbols)
    return with_crc(MAGIC, version_of(contents.config), bytes(out.data) + payload)


def count_of_steps(config: Config) -> int:
    """How many steps the header has; with `steps_per_array` they are beside the arrays."""
    return 0 if config.steps_per_array else 4 if config.steps_per_network else 2


def version_of(config: Config) -> int:
    """The version of a config's file: 2, so that older programs read it, if it has nothing new."""
    new = [name for name, number in coded_fields().items() if number >= FIRST_OF_VERSION_3]
    return 3 if any(getattr(config, name) != getattr(C3, name) for name in new) else 2


def with_crc(magic: bytes, version: int, rest: bytes) -> bytes:
    """The mark, the version and a checksum before the rest of a file, or of its beginning."""
    return magic + bytes([version]) + checksum(rest, version) + rest


def checksum(rest: bytes | memoryview, version: int) -> bytes:
    """Of what follows it. From version 3 on it begins with the version, which it guards too."""
    return struct.pack("<I", zlib.crc32(rest, version if version > 2 else 0))


def latents_crc(symbols: Integer[np.ndarray, " latents"]) -> bytes:
    """Catches a decoder whose integers differ from the encoder's."""
    return checksum(np.asarray(symbols, "<i4").tobytes(), OLDEST)


def unpack(data: bytes) -> Header:
    """The header and the payload's bytes, checked. Nothing large is allocated. Raises
    `BitstreamError` for anything but a whole and undamaged file of a known version."""
    source = Input(data)
    if len(data) < len(MAGIC) or source.take(len(MAGIC)) != MAGIC:
        raise BitstreamError("this is not a c3lite file: it does not start with its mark")
    version = check_version(source)
    if source.take(4) != checksum(memoryview(data)[source.at :], version):
        raise BitstreamError("the checksum does not fit: the file is damaged or not complete")
    try:
        config, ndim = read_config(source)
    except BitstreamError:
        raise
    except (ValueError, TypeError) as error:
        raise BitstreamError(f"the file's header is impossible: {error}") from error
    steps = tuple(source.float() for _ in range(count_of_steps(config)))
    if not all(0 < step < 1 for step in steps):
        raise BitstreamError("a quantization step in the header is not between 0 and 1")
    shape = tuple(source.unsigned() for _ in range(ndim))
    check_limits(config, shape)
    crc = source.take(4)
    return Header(Contents(config, shape, Quantized(None, None, steps)), crc, data[source.at :],
                  source.at, version)


def check_version(source: Input) -> int:
    """The format's version. Raises `BitstreamError` for one that this program cannot read."""
    version = source.byte()
    if version > VERSION:
        raise BitstreamError(f"this file has version {version} of the format, and this c3lite "
                             f"reads versions {OLDEST} to {VERSION}: a newer c3lite is needed")
    if version < OLDEST:
        raise BitstreamError(f"the file says version {version}, which was never released")
    return version


def check_limits(config: Config, shape: tuple[int, ...]) -> None:
    """Raise `BitstreamError` where a file may not declare this; nothing is allocated."""
    if len(shape) not in (2, 3):
        raise BitstreamError(f"a file holds an image or a video, not {len(shape)} dimensions")
    *frames, height, width = shape
    ndim, pixels = len(shape), math.prod(shape)
    if not (1 <= min(height, width) and max(height, width) <= MAX_SIDE):
        raise BitstreamError(f"sides are 1 to {MAX_SIDE}, not {height} x {width}")
    if not all(1 <= n <= MAX_FRAMES for n in frames):
        raise BitstreamError(f"a video has 1 to {MAX_FRAMES} frames, not {frames[0]}")
    if pixels > MAX_PIXELS:
        raise BitstreamError(f"{pixels} pixels are more than the limit of {MAX_PIXELS}")
    for name in coded_fields():
        value = getattr(config, name)
        if field_types()[name] is float and not math.isfinite(value):
            raise BitstreamError(f"a file holds finite numbers, and {name} is {value}")
    largest = max(math.prod(config.context_size), config.previous_grid_size**ndim,
                  math.prod(config.mask_shape or ()))
    if largest > MAX_CONTEXT:
        raise BitstreamError(f"a context of {largest} is more than the limit of {MAX_CONTEXT}")
    check_reach(config)
    contexts = {context_count(config, ndim, n) for n in range(len(exponents(config)))}
    if len(contexts) > 1 and not config.entropy_per_grid:
        raise BitstreamError("one entropy network cannot serve contexts of different sizes")
    if max(len(config.synthesis_widths), len(config.entropy_widths),
           config.synthesis_residual_convs) > 15:
        raise BitstreamError("a network has more than 15 hidden layers or residual convolutions")
    parameters = sum(math.prod(a.shape) for a in jax.tree.leaves(array_shapes(config, ndim)))
    if parameters > MAX_PARAMETERS:
        raise BitstreamError(f"{parameters} parameters are more than the limit of {MAX_PARAMETERS}")


def check_reach(config: Config) -> None:
    """Raise `BitstreamError` for a context that no file can hold: a mask too far away."""
    reach = max(map(abs, itertools.chain(
        *config.mask_origins, config.context_size, config.mask_shape or ())))
    if reach > MAX_REACH:
        raise BitstreamError(f"a context reaches {reach} latents, farther than the limit of "
                             f"{MAX_REACH}")
