"""Fits and clips as bytes, and back: what users write and read.

The file of one fit is a header and a payload (`header.py`). That of a clip of several patches is a
table of them, then those same bytes without the mark, version and checksum that the table holds:

    magic, version | CRC of the table | clip's shape, patch's shape, (length, CRC) of each | bodies

Each has its own checksum, so that damage to one leaves the others readable.

Promised: the same latents and networks on every machine, and by every backend of the range coder;
pixels within one 8-bit step between machines, the same ones on one machine (`pixels.py`).
"""

import itertools
import math
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from c3lite.coding import header
from c3lite.coding.header import BitstreamError, Contents, Quantized
from c3lite.coding.payload import MAX_INTEGER, Reader, Writer, walk
from c3lite.coding.pixels import synthesize
from c3lite.data.atomic import write_atomically
from c3lite.data.patches import join_patches, patch_slices

MAGIC = b"C3v"
HEAD = len(MAGIC) + 1 + 4
"""Bytes of mark, version and checksum; a single fit's file has as many."""
MAX_CLIP_FRAMES = 2**20
MAX_PATCHES = 2**16
MAX_DECODED = 2**28
"""Frames x height x width that `decode` gives back at once: 3 GB. Longer ones come as frames."""
MAX_BODY = 2**31


# One fit ----------------------------------------------------------------------------------------


def encode(fit: Any, *, backend: str = "auto") -> bytes:
    """The file of a fit, or of all patches of a clip. It is decoded before it is returned.

    Of a fit its `config`, `shape` and `coded` are read, of a clip its `fits`, `shape` and `patch`.
    `backend` is that of the range coder: "auto", "range-coder" or "python"; the bytes are the same.

    Raises `BitstreamError` when a fit is beyond the format's limits (parameters that are not
    finite, sides), or the decoder does not give back its config, latents and networks.
    """
    if hasattr(fit, "fits"):
        return _encode_clip(fit, backend)
    contents = _contents(fit)
    data = header.pack(contents, written(contents).finish(backend))
    decoded, ours = read(data, backend), contents.coded
    if decoded.config != contents.config or not all(map(
            np.array_equal, jax.tree.leaves(decoded.coded), jax.tree.leaves(ours))):
        raise BitstreamError("the decoder does not give back what was encoded; please report this")
    return data


def _contents(fit: Any) -> Contents:
    """What a fit's file says. Raises `BitstreamError` for a fit that cannot be written."""
    coded, shape = fit.coded, tuple(fit.shape)
    header.check_limits(fit.config, shape)
    arrays = [np.asarray(a) for a in jax.tree.leaves(coded.networks)]
    for array in arrays:
        if not np.abs(array).max(initial=0) <= MAX_INTEGER:  # nor NaN, which fails comparisons
            raise BitstreamError("a network's weights are not finite, or too large for the format")
    symbols = np.asarray(coded.symbols)
    if np.abs(symbols.astype(np.int64)).max(initial=0) > header.MAX_SYMBOL:
        raise BitstreamError(f"a latent is larger than the limit of {header.MAX_SYMBOL}")
    steps = tuple(float(np.float32(step)) for step in coded.steps)
    if len(steps) != (header.count_of_steps(fit.config) or len(arrays)):
        raise BitstreamError("the config and the number of quantization steps do not fit")
    if fit.config.steps_per_array and not set(steps) <= set(header.ARRAY_STEPS):
        raise BitstreamError("a quantization step is none of header.ARRAY_STEPS")
    networks = header.take_apart(fit.config, [a.astype(np.int64) for a in arrays])
    return Contents(header.as_decoded(fit.config, len(shape)), shape,
                    Quantized(symbols, networks, steps))


def written(contents: Contents) -> Writer:
    """All of the payload, in a writer."""
    writer = Writer()
    walk(writer, contents)
    return writer


def read(data: bytes, backend: str = "auto") -> Contents:
    """All that a fit's file says. Raises `BitstreamError` unless it is whole and undamaged."""
    return read_payload(header.unpack(bytes(data)), backend)


def read_payload(head: header.Header, backend: str = "auto") -> Contents:
    """The header's contents with latents and networks. Raises `BitstreamError` for damage."""
    contents = walk(Reader(head.payload, backend), head.contents)
    symbols = contents.coded.symbols
    if (np.abs(symbols).max(initial=0) > header.MAX_SYMBOL
            or header.latents_crc(symbols) != head.latents_crc):
        raise BitstreamError("the latents' checksum does not fit: the payload is damaged, or was "
                             "written by a faulty encoder")
    return contents._replace(coded=contents.coded._replace(symbols=symbols.astype(np.int32)))


def _pixels(head: header.Header, backend: str) -> Float[np.ndarray, "3 *shape"]:
    config, shape, coded = read_payload(head, backend)
    arrays = header.real_arrays(coded.networks, coded.steps, np.float32)
    return synthesize(config, shape, coded.symbols, arrays)


# A clip in patches ------------------------------------------------------------------------------


class Patch(NamedTuple):
    """A line of the table."""

    number: int
    place: tuple[slice, ...]
    length: int
    crc: bytes
    start: int
    """Of its body in the file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(frames, height, width)."""
        return tuple(part.stop - part.start for part in self.place)

    def __str__(self) -> str:
        spans = zip(("frames", "rows", "columns"), self.place, strict=True)
        return f"patch {self.number} (" + ", ".join(
            f"{name} {part.start} to {part.stop - 1}" for name, part in spans) + ")"


class PatchTable(NamedTuple):
    """The beginning of a clip's file."""

    shape: tuple[int, ...]
    patch: tuple[int, ...]
    patches: list[Patch]
    bytes: int
    """Of the file before the first body."""


def is_video(data: bytes) -> bool:
    """Whether a file is one of patches."""
    return bytes(data[: len(MAGIC)]) == MAGIC


def holds_frames(data: bytes) -> bool:
    """Whether a file holds a video, in one patch or many. Raises `BitstreamError` as `decode`."""
    return is_video(data) or len(header.unpack(bytes(data)).contents.shape) == 3


def _encode_clip(clip: Any, backend: str) -> bytes:
    out, bodies = header.Output(), []
    version = max(header.version_of(fit.config) for fit in clip.fits)
    for side in (*clip.shape, *clip.patch):
        out.unsigned(side)
    for fit in clip.fits:
        body = encode(fit, backend=backend)[HEAD:]
        bodies.append(body)
        out.unsigned(len(body))
        out.data += header.checksum(body, version)
    return b"".join([header.with_crc(MAGIC, version, bytes(out.data)), *bodies])


def read_table(data: bytes) -> PatchTable:
    """The table, checked. Nothing large is allocated."""
    source = header.Input(data)
    source.take(len(MAGIC))
    version, crc = header.check_version(source), source.take(4)
    sides = [source.unsigned() for _ in range(6)]
    shape, patch = tuple(sides[:3]), tuple(sides[3:])
    if min(sides) < 1 or max(shape[1:]) > header.MAX_SIDE or shape[0] > MAX_CLIP_FRAMES:
        raise BitstreamError(f"a clip of {shape} in patches of {patch} is beyond the limits")
    if any(p > s for p, s in zip(patch, shape, strict=True)):
        raise BitstreamError(f"patches of {patch} are larger than the clip of {shape}")
    count = math.prod(-(-s // p) for s, p in zip(shape, patch, strict=True))
    if count > MAX_PATCHES:
        raise BitstreamError(f"{count} patches are more than the limit of {MAX_PATCHES}")
    entries = [(source.unsigned(), source.take(4)) for _ in range(count)]
    if header.checksum(memoryview(data)[HEAD : source.at], version) != crc:
        raise BitstreamError("the checksum of the table of patches does not fit: the file's "
                             "beginning is damaged")
    at, patches = source.at, []
    for number, (place, (length, own)) in enumerate(
            zip(patch_slices(shape, patch), entries, strict=True)):
        if length > MAX_BODY:
            raise BitstreamError(f"patch {number} of {length} bytes is beyond the limits")
        patches.append(Patch(number, place, length, own, at))
        at += length
    if at < len(data):
        raise BitstreamError(f"there are {len(data) - at} bytes after the last patch; the file is "
                             "damaged")
    return PatchTable(shape, patch, patches, source.at)


def of_patch(data: bytes, patch: Patch, read: Callable) -> Any:
    """`read` of the header and payload of a patch, errors with the patch's name."""
    body = bytes(data[patch.start : patch.start + patch.length])
    if len(body) < patch.length:
        raise BitstreamError(f"{patch} is not complete: the file ends before it does")
    try:
        head = header.unpack(header.MAGIC + data[len(MAGIC) : len(MAGIC) + 1] + patch.crc + body)
        if head.contents.shape != patch.shape:
            raise BitstreamError(f"it says that it is {head.contents.shape}, and its place is "
                                 f"{patch.shape}")
        return read(head)
    except BitstreamError as error:
        raise BitstreamError(f"{patch} is damaged: {error}") from error


def decode(data: bytes, *, backend: str = "auto",
           skip_damaged: bool = False) -> Float[np.ndarray, "3 *shape"]:
    """The image or video of a file: float32 multiples of 1/255, (3, *shape).

    The same as the fit's `reconstruction`. With `skip_damaged`, patches of a video that cannot be
    read are gray (0.5), and a warning names each. Raises `BitstreamError` for bytes that are not a
    whole and undamaged file; it names the patch.
    """
    if not is_video(data):
        return _pixels(header.unpack(bytes(data)), backend)
    table = read_table(data)
    if math.prod(table.shape) > MAX_DECODED:
        raise BitstreamError(f"a clip of {table.shape} is too large to be decoded at once; "
                             "decode_frames gives its frames, decode_patch its patches")
    if not skip_damaged:
        for patch in table.patches:  # all checksums before any work
            of_patch(data, patch, lambda head: None)
    parts = []
    for patch in table.patches:
        try:
            parts.append(_decode_patch(data, patch, backend))
        except BitstreamError as error:
            if not skip_damaged:
                raise
            warnings.warn(str(error), stacklevel=2)
            parts.append(np.full((3, *patch.shape), 0.5, np.float32))
    return join_patches(parts, table.shape)


def decode_patch(data: bytes, number: int, *,
                 backend: str = "auto") -> Float[np.ndarray, "3 frames height width"]:
    """One patch of a video's file, in the order of `split_patches`. The others are not read. Raises
    `BitstreamError` when it is damaged, `ValueError` for a number there is not."""
    if not is_video(data):
        raise BitstreamError("the file is not one of patches; decode reads it")
    table = read_table(data)
    if not 0 <= number < len(table.patches):
        raise ValueError(f"the file has patches 0 to {len(table.patches) - 1}, not {number}")
    return _decode_patch(data, table.patches[number], backend)


def _decode_patch(data, patch, backend):
    return of_patch(data, patch, lambda head: _pixels(head, backend))


def decode_frames(data: bytes, *,
                  backend: str = "auto") -> Iterator[Float[np.ndarray, "3 height width"]]:
    """The frames of a video in turn: those of `decode`, with the memory of one row of patches.
    Raises `BitstreamError` as `decode`, when the damaged patch is reached."""
    if not is_video(data):
        frames = decode(data, backend=backend)
        if frames.ndim != 4:
            raise BitstreamError("the file holds an image, which has no frames")
        yield from frames.swapaxes(0, 1)
        return
    table = read_table(data)
    for _, row in itertools.groupby(table.patches, lambda patch: patch.place[0].start):
        row = list(row)
        parts = [_decode_patch(data, patch, backend) for patch in row]
        yield from join_patches(parts, (row[0].shape[0], *table.shape[1:])).swapaxes(0, 1)


def save(fit: Any, path: str | os.PathLike) -> int:
    """Write a fit's file, atomically; an existing one is replaced. Returns its bytes. Raises
    `BitstreamError` as `encode`, and `OSError` when the file cannot be written."""
    data = encode(fit)
    write_atomically(path, lambda file: file.write(data))
    return len(data)


def load(path: str | os.PathLike) -> Float[np.ndarray, "3 *shape"]:
    """The image or video in a file (`decode`). Raises also `OSError` when it cannot be read."""
    return decode(Path(path).read_bytes())
