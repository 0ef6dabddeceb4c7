"""A fit as bytes, and back.

Promised: the same latents and networks on every machine, and by every backend of the range coder;
pixels within one 8-bit step between machines, the same ones on one machine (`pixels.py`).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from c3lite.coding.contents import Coded, Contents, array_infos
from c3lite.coding.header import (
    MAX_SYMBOL,
    BitstreamError,
    as_decoded,
    check_limits,
    latents_crc,
    pack,
    unpack,
)
from c3lite.coding.pixels import synthesize
from c3lite.coding.walk import MAX_INTEGER, PARTS, Reader, Writer, walk
from c3lite.config import Config, coded_fields
from c3lite.model.latents import grid_shapes


def encode(fit: Any, *, backend: str = "auto") -> bytes:
    """The file of a fit, or of whatever has its `config`, `shape` and `coded`.

    It is decoded before it is returned.

    Args:
        backend: of the range coder: "auto", "range-coder" or "python"; the bytes are the same.

    Raises:
        BitstreamError: when the fit is beyond the format's limits (parameters that are not finite,
            sides), or the decoder does not give back its config, latents and networks.
    """
    contents = _contents(fit)
    data = pack(contents, _written(contents).finish(backend))
    decoded, ours = read(data, backend), contents.coded
    same = (decoded.config == contents.config
            and np.array_equal(decoded.coded.symbols, ours.symbols)
            and all(map(np.array_equal, decoded.coded.networks, ours.networks)))
    if not same:
        raise BitstreamError("the decoder does not give back what was encoded; please report this")
    return data


def _contents(fit: Any) -> Contents:
    """What a fit's file says. Raises `BitstreamError` for a fit that cannot be written."""
    coded, shape = fit.coded, tuple(fit.shape)
    check_limits(fit.config, shape)
    arrays = [np.asarray(a) for a in jax.tree.leaves(coded.networks)]
    for array in arrays:
        if not (np.isfinite(array).all() and np.abs(array).max(initial=0) <= MAX_INTEGER):
            raise BitstreamError("a network's weights are not finite, or too large for the format")
    symbols = np.asarray(coded.symbols)
    if np.abs(symbols.astype(np.int64)).max(initial=0) > MAX_SYMBOL:
        raise BitstreamError(f"a latent is larger than the limit of {MAX_SYMBOL}")
    steps = (float(np.float32(step)) for step in (coded.weight_step, coded.bias_step))
    return Contents(as_decoded(fit.config, len(shape)), shape,
                    Coded(symbols, [a.astype(np.int64) for a in arrays], *steps))


def _written(contents: Contents) -> Writer:
    writer, coded = Writer(), contents.coded
    walk(writer, contents.config, contents.shape, coded.weight_step, coded.bias_step, known=coded)
    return writer


def decode(data: bytes, *, backend: str = "auto") -> Float[np.ndarray, "3 *shape"]:
    """The image or video of a file: float32 multiples of 1/255, (3, *shape).

    The same as the fit's `reconstruction`.

    Raises:
        BitstreamError: for bytes that are not a whole and undamaged file.
    """
    config, shape, coded = read(data, backend)
    return synthesize(config, shape, *coded)


def read(data: bytes, backend: str = "auto") -> Contents:
    """All that a file says, its networks as a list of integer arrays. Raises `BitstreamError`."""
    header = unpack(bytes(data))
    contents = walk(Reader(header.payload, backend), header.config, header.shape,
                    header.weight_step, header.bias_step)
    symbols = contents.coded.symbols
    if (np.abs(symbols).max(initial=0) > MAX_SYMBOL
            or latents_crc(symbols) != header.latents_crc):
        raise BitstreamError("the latents' checksum does not fit: the payload is damaged, or was "
                             "written by a faulty encoder")
    return contents._replace(coded=contents.coded._replace(symbols=symbols.astype(np.int32)))


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
        fields = {name: getattr(self.config, name) for name in coded_fields()}
        if self.config.mask_shape is None:
            for name in ("mask_shape", "masked_grids", "mask_origins"):
                del fields[name]
        return {name: float(str(np.float32(v))) if isinstance(v, float) else v  # the shortest text
                for name, v in fields.items()}

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
        shapes = grid_shapes(self.config, self.shape)
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
    header, bits = unpack(data), _written(read(data)).bits()
    parts = dict.fromkeys(i.part for i in array_infos(header.config, len(header.shape)))
    return Info(header.version, header.shape, header.config, header.weight_step, header.bias_step,
                header.bytes, len(header.payload),
                {part: float(bits[16 + PARTS.index(part)]) for part in parts},
                tuple(bits[: header.config.num_grids].tolist()))
