"""What is in a file, and what each part of it costs (App. B.3)."""

import dataclasses
import itertools
import math

import numpy as np

from c3lite.coding import files, header
from c3lite.config import Config
from c3lite.data.patches import by
from c3lite.model.latents import exponents, grid_shapes


@dataclasses.dataclass(frozen=True)
class Info:
    """What is in a fit's file, and what it costs."""

    version: int
    shape: tuple[int, ...]
    """(height, width) or (frames, height, width)."""
    config: Config
    """Structure and constants of the decoder; what only the fit needed has its default."""
    steps: tuple[float, ...]
    """`Quantized.steps`, of the networks' integers."""
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
        return {name: float(str(np.float32(v))) if isinstance(v, float) else v  # the shortest text
                for name, v in header.decoder_fields(self.config, 3).items()}

    def as_dict(self) -> dict:
        """All of it, ready for JSON."""
        return vars(self) | {"bytes": self.bytes, "bpp": self.bpp, "config": self.structure()}

    def __repr__(self) -> str:
        pixels = math.prod(self.shape)
        lines = [f"c3lite file, version {self.version}: {by(self.shape)}, {self.bytes} bytes, "
                 f"{self.bpp:.4f} bpp",
                 f"  {'header':14}{8 * self.header_bytes:12.0f} bits"]
        grids = zip(grid_shapes(self.config, self.shape), self.grids_bits, strict=True)
        parts = self.networks_bits | {f"grid {n} {'x'.join(map(str, shape))}": bits
                                      for n, (shape, bits) in enumerate(grids)}
        lines += [f"  {name:14}{bits:12.0f} bits {bits / pixels:8.4f} bpp"
                  for name, bits in parts.items()]
        names = ("weights ", "biases ", "entropy model's ", "") * (len(self.steps) <= 4)
        steps = itertools.zip_longest(names[: len(self.steps)], self.steps, fillvalue="")
        lines.append("  steps: " + ", ".join(f"{name}{step:.3g}" for name, step in steps))
        lines.append("  " + ", ".join(f"{k}={v}" for k, v in self.structure().items()))
        return "\n".join(lines)


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

    bpp = Info.bpp

    def as_dict(self) -> dict:
        """All of it, ready for JSON."""
        return vars(self) | {"bpp": self.bpp, "patches": [part.as_dict() for part in self.patches]}

    def __repr__(self) -> str:
        lines = [f"c3lite video file, version {self.version}: {by(self.shape)} in "
                 f"{len(self.patches)} patches of {by(self.patch)}, {self.bytes} bytes, "
                 f"{self.bpp:.4f} bpp"]
        for n, patch in enumerate(self.patches):
            origins = ", ".join(map(str, patch.config.mask_origins))
            masks = f", masks at {origins}" if origins else ""
            lines.append(f"  patch {n:<4} {'x'.join(map(str, patch.shape)):14} {patch.bytes:9} "
                         f"bytes {patch.bpp:8.4f} bpp{masks}")
        return "\n".join(lines)


def inspect(data: bytes) -> Info | VideoInfo:
    """What a file holds: header, config, sizes, and the code length of each network and grid.
    Decodes the latents, and codes them again to count. Raises `BitstreamError` as `decode`."""
    if not files.is_video(data):
        return _info(header.unpack(bytes(data)))
    table = files.read_table(data)
    parts = tuple(files.of_patch(data, patch, _info) for patch in table.patches)
    version = data[len(files.MAGIC)]
    return VideoInfo(version, table.shape, table.patch, parts, table.bytes, len(data))


def _info(head):
    contents = files.read_payload(head)
    config, shape, coded = contents
    bits = files.written(contents).bits()
    return Info(head.version, shape, config, coded.steps, head.bytes, len(head.payload),
                {part: bits[part] for part in header.PART_OF.values() if bits[part]},
                tuple(bits[n] for n in range(len(exponents(config)))))
