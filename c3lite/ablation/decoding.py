"""What decoding takes: seconds by component, to put beside the MACs that are usually counted."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import NamedTuple

import jax
import numpy as np

from c3lite import bitstream, decoder, latents
from c3lite.codec import Codec
from c3lite.fit import Fit


class DecodeTime(NamedTuple):
    """CPU seconds to decode a file with `c3lite.decode`, by component; names as in `MACs`."""

    entropy: float
    """The roll-out: contexts, entropy network, range decoding, reading the networks."""
    upsampling: float
    synthesis: float
    """With rounding to 8 bits."""

    @property
    def total(self) -> float:
        """Of all parts together."""
        return sum(self)


def decode_time(data: bytes, repeats: int = 3) -> DecodeTime:
    """Decode a file `repeats` times: of each component, the least CPU time of this process.

    CPU time, not the clock's, so that a busy machine does not count; with a BLAS of several threads
    it is the sum over them. Raises `BitstreamError` as `decode`.
    """
    return DecodeTime(*map(min, zip(*(_decode(data) for _ in range(repeats)), strict=True)))


def _decode(data: bytes) -> DecodeTime:
    began = time.process_time()
    config, shape, weight_step, bias_step, arrays, symbols = bitstream._read(data)
    read = time.process_time()
    decoder.synthesize(config, shape, symbols, arrays, weight_step, bias_step)
    done = time.process_time()
    # once more, alone: what it took above
    grids = [grid.astype(np.float32) * np.float32(config.quantization_step)
             for grid in _grids(config, shape, symbols)]
    kernel = np.float32(weight_step) * arrays[0] if config.upsampling == "learned" else None
    again = time.process_time()
    decoder.upsample(config, grids, shape, kernel)
    upsampling = time.process_time() - again
    return DecodeTime(read - began, upsampling, max(done - read - upsampling, 0.0))


def _grids(config, shape: tuple[int, ...], symbols: np.ndarray) -> list[np.ndarray]:
    shapes = latents.grid_shapes(config, shape)
    ends = np.cumsum([math.prod(side) for side in shapes])[:-1]
    return [part.reshape(side) for part, side in zip(np.split(symbols, ends), shapes, strict=True)]


def tiled(fit: Fit, shape: tuple[int, ...]) -> Fit:
    """A fit for data of another shape: the networks of `fit`, and its latents laid like tiles.

    For measuring what decoding costs without fitting large images. A range coder has no memory, so
    copies cost what originals do. The result has no picture of its own: `image` and
    `reconstruction` stay those of `fit`.
    """
    grids = []
    for grid, side in zip(_grids(fit.config, fit.shape, fit.coded.symbols),
                          latents.grid_shapes(fit.config, shape), strict=True):
        grid = np.tile(grid, [-(-b // a) for a, b in zip(grid.shape, side, strict=True)])
        grids.append(grid[tuple(map(slice, side))].reshape(-1))
    coded = fit.coded._replace(symbols=np.concatenate(grids))
    codec = jax.eval_shape(lambda: Codec(fit.config, shape, key=jax.random.key(0)))
    return dataclasses.replace(fit, codec=codec, coded=coded)
