"""Files of one fit, and of a video's patches: what users write and read.

A single fit is what `one.py` writes. A video of several patches is a table of them, then
those same bytes without the mark, version and checksum that the table already holds:

    magic, version | CRC of the table | clip's shape, patch's shape, (length, CRC) of each | bodies

Each has its own checksum, so that damage to one leaves the others readable.
"""

from __future__ import annotations

import dataclasses
import math
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from c3lite.coding import header, one
from c3lite.coding.header import BitstreamError, Input, Output
from c3lite.coding.one import Info
from c3lite.data.atomic import write_atomically
from c3lite.data.patches import join_patches, patch_slices

MAGIC = b"C3v"
HEAD = len(MAGIC) + 1 + 4
"""Bytes of mark, version and checksum; a single fit's file has as many."""
MAX_PATCHES = 2**16
MAX_DECODED = 2**28
"""Frames x height x width that `decode` gives back at once: 3 GB. Longer ones come as frames."""
MAX_BODY = 2**31


def encode(fit: Any, *, backend: str = "auto") -> bytes:
    """The file of a fit, or of all patches of a clip. It is decoded before it is returned.

    Of a fit its `config`, `shape` and `coded` are read, of a clip its `fits`, `shape` and `patch`.

    Args:
        backend: of the range coder: "auto", "range-coder" or "python"; the bytes are the same.

    Raises:
        BitstreamError: when a fit is beyond the format's limits (parameters that are not finite,
            sides), or the decoder does not give back its latents and networks.
    """
    if not hasattr(fit, "fits"):
        return one.encode(fit, backend=backend)
    out = Output()
    for side in (*fit.shape, *fit.patch):
        out.unsigned(side)
    bodies = []
    for part in fit.fits:
        data = one.encode(part, backend=backend)
        bodies.append(data[HEAD:])
        out.unsigned(len(data) - HEAD)
        out.data += data[HEAD - 4 : HEAD]
    table = bytes(out.data)
    head = MAGIC + bytes([header.VERSION]) + struct.pack("<I", zlib.crc32(table))
    return b"".join([head, table, *bodies])


@dataclasses.dataclass(frozen=True)
class _Patch:
    number: int
    place: tuple[slice, ...]
    length: int
    crc: bytes
    start: int
    """Of its body in the file."""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(part.stop - part.start for part in self.place)

    def __str__(self) -> str:
        spans = zip(("frames", "rows", "columns"), self.place, strict=True)
        return f"patch {self.number} (" + ", ".join(
            f"{name} {part.start} to {part.stop - 1}" for name, part in spans) + ")"


@dataclasses.dataclass(frozen=True)
class _Table:
    shape: tuple[int, int, int]
    patch: tuple[int, int, int]
    patches: list[_Patch]
    version: int
    bytes: int
    """Of the file before the first body."""


def is_video(data: bytes) -> bool:
    """Whether a file is one of patches."""
    return bytes(data[: len(MAGIC)]) == MAGIC


def holds_frames(data: bytes) -> bool:
    """Whether a file holds a video, in one patch or many. Raises `BitstreamError` as `decode`."""
    return is_video(data) or len(header.unpack(bytes(data)).shape) == 3


def _read_table(data: bytes) -> _Table:
    """The table, checked. Nothing large is allocated."""
    source = Input(data)
    source.take(len(MAGIC))
    version = header.read_version(source)
    (crc,) = struct.unpack("<I", source.take(4))
    begin = source.at
    sides = [source.unsigned() for _ in range(6)]
    shape, patch = tuple(sides[:3]), tuple(sides[3:])
    frames, *picture = shape
    if not (1 <= min(sides) and max(picture) <= header.MAX_SIDE and frames <= 2**20):
        raise BitstreamError(f"a clip of {shape} in patches of {patch} is beyond the limits")
    if any(p > s for p, s in zip(patch, shape, strict=True)):
        raise BitstreamError(f"patches of {patch} are larger than the clip of {shape}")
    count = math.prod(-(-s // p) for s, p in zip(shape, patch, strict=True))
    if count > MAX_PATCHES:
        raise BitstreamError(f"{count} patches are more than the limit of {MAX_PATCHES}")
    if 5 * count > len(data) - source.at:  # two numbers a patch
        raise BitstreamError("the file ends within its header")
    entries = []
    for _ in range(count):
        entries.append((source.unsigned(), source.take(4)))
    if zlib.crc32(memoryview(data)[begin : source.at]) != crc:
        raise BitstreamError("the checksum of the table of patches does not fit: the file's "
                             "beginning is damaged")
    at, patches = source.at, []
    for number, (place, (length, own)) in enumerate(
            zip(patch_slices(shape, patch), entries, strict=True)):
        if length > MAX_BODY:
            raise BitstreamError(f"patch {number} of {length} bytes is beyond the limits")
        patches.append(_Patch(number, place, length, own, at))
        at += length
    if at < len(data):
        raise BitstreamError(f"there are {len(data) - at} bytes after the last patch; the file is "
                             "damaged")
    return _Table(shape, patch, patches, version, source.at)


def _file_of(data: bytes, table: _Table, number: int) -> bytes:
    """The file of a patch alone. Raises `BitstreamError`, naming the patch, where it is damaged."""
    if not 0 <= number < len(table.patches):
        raise ValueError(f"the file has patches 0 to {len(table.patches) - 1}, not {number}")
    patch = table.patches[number]
    body = bytes(data[patch.start : patch.start + patch.length])
    if len(body) < patch.length:
        raise BitstreamError(f"{patch} is not complete: the file ends before it does")
    if zlib.crc32(body) != struct.unpack("<I", patch.crc)[0]:
        raise BitstreamError(f"{patch} is damaged: its checksum does not fit")
    return header.MAGIC + bytes([table.version]) + patch.crc + body


def _of_patch(patch: _Patch, file: bytes, read):
    """`read(file)`, its errors with the patch's name."""
    try:
        shape = header.unpack(file).shape
        if shape != patch.shape:
            raise BitstreamError(f"it says that it is {shape}, and its place is {patch.shape}")
        return read(file)
    except BitstreamError as error:
        raise BitstreamError(f"{patch} is damaged: {error}") from error


def decode(
    data: bytes, *, backend: str = "auto", skip_damaged: bool = False
) -> Float[np.ndarray, "3 *shape"]:
    """The image or video of a file: float32 multiples of 1/255, (3, *shape).

    The same as the fit's `reconstruction`. With `skip_damaged`, patches of a video that cannot be
    read are gray (0.5), and a warning names each.

    Raises:
        BitstreamError: for bytes that are not a whole and undamaged file; it names the patch.
    """
    if not is_video(data):
        return one.decode(data, backend=backend)
    table = _read_table(data)
    if math.prod(table.shape) > MAX_DECODED:
        raise BitstreamError(f"a clip of {table.shape} is too large to be decoded at once; "
                             "decode_frames gives its frames, decode_patch its patches")
    if not skip_damaged:
        for patch in table.patches:  # all checksums before any work
            _file_of(data, table, patch.number)
    parts = []
    for patch in table.patches:
        try:
            parts.append(decode_patch(data, patch.number, backend=backend))
        except BitstreamError as error:
            if not skip_damaged:
                raise
            warnings.warn(str(error), stacklevel=2)
            parts.append(np.full((3, *patch.shape), 0.5, np.float32))
    return join_patches(parts, table.shape)


def decode_patch(
    data: bytes, number: int, *, backend: str = "auto"
) -> Float[np.ndarray, "3 frames height width"]:
    """One patch of a video's file, in the order of `split_patches`. The others are not read.

    Raises `BitstreamError` when it is damaged, `ValueError` for a number there is not.
    """
    if not is_video(data):
        raise BitstreamError("the file is not one of patches; decode reads it")
    table = _read_table(data)
    file = _file_of(data, table, number)
    return _of_patch(table.patches[number], file,
                     lambda file: one.decode(file, backend=backend))


def decode_frames(
    data: bytes, *, backend: str = "auto"
) -> Iterator[Float[np.ndarray, "3 height width"]]:
    """The frames of a video in turn: those of `decode`, with the memory of one row of patches.

    Raises:
        BitstreamError: as `decode`, when the damaged patch is reached.
    """
    if not is_video(data):
        frames = one.decode(data, backend=backend)
        if frames.ndim != 4:
            raise BitstreamError("the file holds an image, which has no frames")
        yield from frames.swapaxes(0, 1)
        return
    table = _read_table(data)
    starts = sorted({patch.place[0].start for patch in table.patches})
    for start in starts:
        row = [patch for patch in table.patches if patch.place[0].start == start]
        parts = [decode_patch(data, patch.number, backend=backend) for patch in row]
        yield from join_patches(parts, (row[0].shape[0], *table.shape[1:])).swapaxes(0, 1)


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What is in a video's file, and what it costs."""

    version: int
    shape: tuple[int, ...]
    """(frames, height, width) of the clip."""
    patch: tuple[int, ...]
    """Of its patches; those at the ends may be smaller."""
    patches: tuple[Info, ...]
    """Each as if it were a file of its own."""
    header_bytes: int
    """The table and what comes before it."""
    bytes: int
    """Of the whole file."""

    @property
    def bpp(self) -> float:
        """Bits per pixel of the whole file."""
        return 8 * self.bytes / math.prod(self.shape)

    def as_dict(self) -> dict:
        """All of it, ready for JSON."""
        return {"version": self.version, "shape": self.shape, "patch": self.patch,
                "bytes": self.bytes, "bpp": self.bpp, "header_bytes": self.header_bytes,
                "patches": [patch.as_dict() for patch in self.patches]}

    def __repr__(self) -> str:
        size, patch_size = (" x ".join(map(str, s)) for s in (self.shape, self.patch))
        lines = [f"c3lite video file, version {self.version}: {size} in {len(self.patches)} "
                 f"patches of {patch_size}, {self.bytes} bytes, {self.bpp:.4f} bpp"]
        for n, patch in enumerate(self.patches):
            origins = ", ".join(map(str, patch.config.mask_origins))
            masks = f", masks at {origins}" if origins else ""
            lines.append(f"  patch {n:<4} {'x'.join(map(str, patch.shape)):14} {patch.bytes:9} "
                         f"bytes {patch.bpp:8.4f} bpp{masks}")
        return "\n".join(lines)


def inspect(data: bytes) -> Info | VideoInfo:
    """What a file holds: header, config, sizes, and the code length of each network and grid.

    Decodes the latents, and codes them again to count. Raises `BitstreamError` as `decode`.
    """
    if not is_video(data):
        return one.inspect(data)
    table = _read_table(data)
    parts = tuple(_of_patch(patch, _file_of(data, table, patch.number), one.inspect)
                  for patch in table.patches)
    return VideoInfo(table.version, table.shape, table.patch, parts, table.bytes, len(data))


def save(fit: Any, path: str | os.PathLike) -> int:
    """Write a fit's file, atomically; an existing one is replaced. Returns its bytes.

    Raises `BitstreamError` as `encode`, and `OSError` when the file cannot be written.
    """
    data = encode(fit)
    write_atomically(path, lambda file: file.write(data))
    return len(data)


def load(path: str | os.PathLike) -> Float[np.ndarray, "3 *shape"]:
    """The image or video in a file (`decode`). Raises also `OSError` when it cannot be read."""
    return decode(Path(path).read_bytes())
