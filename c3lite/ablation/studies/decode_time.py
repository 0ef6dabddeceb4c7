"""What decoding takes: seconds by component, to put beside the MACs that are usually counted."""

import dataclasses
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from c3lite.ablation import notebook
from c3lite.ablation.notebook import POSITIVE_COUNT, list_of
from c3lite.ablation.table import TextTable, number
from c3lite.coding import files, header
from c3lite.coding import pixels as decoder
from c3lite.config import PRESETS, Config
from c3lite.evaluation.complexity import DecodingCost, macs_per_pixel
from c3lite.fitting.fit import Fit
from c3lite.model import latents
from c3lite.model.codec import Codec

PARAMETERS = {name: notebook.PARAMETERS[name] for name in (
    "preset", "steps", "stage2_steps", "is_result")} | {
    "image": notebook.TEXT, "rd_weight": notebook.POSITIVE_NUMBER,
    "codecs": list_of({"enum": list(PRESETS)}, "a list of " + ", ".join(PRESETS), 1),
    "shapes": list_of({"type": "array", "items": POSITIVE_COUNT, "minItems": 2, "maxItems": 2},
                      "a list of pairs [height, width]", 1),
    "starts": POSITIVE_COUNT, "repeats": POSITIVE_COUNT}
"""What `complexity.ipynb` may set."""


class DecodeTime(DecodingCost):
    """CPU seconds to decode a file with `c3lite.decode`; entropy with reading the networks, and
    synthesis with rounding to 8 bits."""


def decode_times(several: Iterable[bytes], repeats: int = 3) -> list[DecodeTime]:
    """Of each component of several files, the least CPU time (all threads) in `repeats` runs. Files
    take turns, as a machine has fast and slow minutes. Raises as `decode`."""
    turns = zip(*([*map(_decode, several)] for _ in range(repeats)), strict=True)
    return [DecodeTime(*map(min, zip(*runs, strict=True))) for runs in turns]


def _decode(data: bytes) -> tuple[float, ...]:
    times = [time.process_time()]
    config, shape, coded = files.read(data)
    times.append(time.process_time())
    parts = header.real_arrays(coded.networks, coded.steps, np.float32)
    up = decoder.upsampled(config, shape, coded.symbols, parts.upsampling)
    times.append(time.process_time())
    decoder.to_pixels(config, up, parts)
    times.append(time.process_time())
    return tuple(np.diff(times).tolist())


def tiled(fit: Fit, shape: tuple[int, ...]) -> Fit:
    """A fit for data of another shape: the networks, `image` and `reconstruction` of `fit`, and its
    latents laid like tiles. A range coder has no memory, so copies cost what originals do."""
    grids = []
    for grid, side in zip(fit.grids, latents.grid_shapes(fit.config, shape), strict=True):
        grid = np.tile(grid, [-(-b // a) for a, b in zip(grid.shape, side, strict=True)])
        grids.append(grid[tuple(map(slice, side))].reshape(-1))
    coded = fit.coded._replace(symbols=np.concatenate(grids))
    codec = jax.eval_shape(lambda: Codec(fit.config, shape, key=jax.random.key(0)))
    return dataclasses.replace(fit, codec=codec, coded=coded)


class Decoding(NamedTuple):
    """What one file took."""

    codec: str
    config: Config
    shape: tuple[int, ...]
    bytes: int
    seconds: DecodeTime


def measure(fits: Mapping[str, Fit], shape: Sequence[int], repeats: int = 3) -> list[Decoding]:
    """Decode, in turns, a file of each fit's networks with its latents tiled to `shape`."""
    data = [files.encode(tiled(fit, tuple(shape))) for fit in fits.values()]
    found = [Decoding(codec, fit.config, tuple(shape), len(data), seconds)
             for (codec, fit), data, seconds in zip(
                 fits.items(), data, decode_times(data, repeats), strict=True)]
    for d in found:
        print(f"{d.codec}, {'x'.join(map(str, shape))}: {d.seconds.total:.3f} s of CPU", flush=True)
    return found


def table(decodings: Iterable[Decoding]) -> TextTable:
    """Seconds and MACs per pixel by component."""
    rows = []
    for codec, config, shape, size, seconds in decodings:
        macs, pixels = macs_per_pixel(config, shape), math.prod(shape)
        rows.append((
            codec, "x".join(map(str, shape)), number(8 * size / pixels, 2),
            *(number(1e3 * s, 0) for s in (*seconds, seconds.total)),
            number(1e6 * seconds.total / pixels, 2),
            *(number(m, 0) for m in (*macs, macs.total)),
            *(number(1e9 * s / (m * pixels), 2) for s, m in zip(seconds, macs, strict=True))))
    return TextTable(
        ("codec", "size", "bpp", "entropy ms", "upsampling ms", "synthesis ms", "in all ms",
         "us/pixel", "entropy MACs/pixel", "upsampling", "synthesis", "in all", "entropy ns/MAC",
         "upsampling", "synthesis"), rows)
