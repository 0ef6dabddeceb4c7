"""The decoder's floating-point half, in NumPy: from integers to pixels (App. A.1.2, A.1.3).

The same formulas as latents.py and synthesis.py, without compilation: what a file decodes to, and
what `Fit.reconstruction` is. On one machine the pixels are always the same; between machines, whose
matrix products sum in other orders, an 8-bit value may differ by one step.
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer, Real

from c3lite.coding.products import along, product
from c3lite.model import context as ctx
from c3lite.model import latents

BLOCK = 2**11
"""Pixels that pass through all layers together: they fit into a core's cache."""


class ArrayInfo(NamedTuple):
    """One array of the networks, in the order of the file."""

    part: str
    """"upsampling", "synthesis" or "entropy"."""
    shape: tuple[int, ...]
    is_bias: bool


def array_infos(config, ndim: int) -> Iterator[ArrayInfo]:
    """All coded arrays, in the order of `jax.tree.leaves` of `parameters.Networks`."""
    if config.upsampling == "learned":
        yield ArrayInfo("upsampling", (8,) * ndim, False)
    widths = (config.num_grids, *config.synthesis_widths, 3)
    for n_in, n_out in itertools.pairwise(widths):
        yield ArrayInfo("synthesis", (n_out, n_in), False)
        yield ArrayInfo("synthesis", (n_out,), True)
    size = (1, 3, 3) if config.synthesis_per_frame and ndim == 3 else (3,) * ndim
    for _ in range(config.synthesis_residual_convs):
        yield ArrayInfo("synthesis", (3, 3, *size), False)
        yield ArrayInfo("synthesis", (3,), True)
    for n in range(config.num_grids if config.entropy_per_grid else 1):
        widths = (ctx.context_count(config, ndim, n), *config.entropy_widths, 2)
        for n_in, n_out in itertools.pairwise(widths):
            yield ArrayInfo("entropy", (n_out, n_in), False)
            yield ArrayInfo("entropy", (n_out,), True)
    for width in config.entropy_widths if config.entropy_film else ():
        yield ArrayInfo("entropy", (config.num_grids, width), False)
        yield ArrayInfo("entropy", (config.num_grids, width), True)


Pair = tuple[np.ndarray, np.ndarray]


class Arrays(NamedTuple):
    """A flat list of the coded arrays, taken apart."""

    upsampling: np.ndarray | None
    layers: list[Pair]
    """(weight, bias) of synthesis' 1x1 layers."""
    convs: list[Pair]
    """(weight, bias) of its residual convolutions."""
    networks: list[list[Pair]]
    """(weight, bias) of the layers of each entropy network."""
    film: list[Pair]
    """(scale - 1, shift) of each hidden layer, a row a grid."""


def take_apart(config, arrays: Sequence[np.ndarray]) -> Arrays:
    """Arrays in the order of `array_infos`, by their roles."""
    left = iter(arrays)

    def pairs(n):
        return [(next(left), next(left)) for _ in range(n)]

    kernel = next(left) if config.upsampling == "learned" else None
    layers = pairs(len(config.synthesis_widths) + 1)
    convs = pairs(config.synthesis_residual_convs)
    networks = [pairs(len(config.entropy_widths) + 1)
                for _ in range(config.num_grids if config.entropy_per_grid else 1)]
    return Arrays(kernel, layers, convs, networks,
                  pairs(len(config.entropy_widths)) if config.entropy_film else [])


def synthesize(
    config,
    shape: tuple[int, ...],
    symbols: Integer[np.ndarray, " latents"],
    arrays: Sequence[Real[np.ndarray, "..."]],
    weight_step: float,
    bias_step: float,
) -> Float[np.ndarray, "3 *shape"]:
    """Pixels, multiples of 1/255 in [0, 1], float32.

    Args:
        symbols: latents in step units, grids one after another, finest first.
        arrays: the networks' integers, in the order of `array_infos`.
    """
    if len(shape) == 3:
        return np.stack(list(synthesize_frames(
            config, shape, symbols, arrays, weight_step, bias_step)), 1)
    upsampled, to_pixels = image_steps(config, shape, symbols, arrays, weight_step, bias_step)
    return to_pixels(upsampled())


def image_steps(
    config,
    shape: tuple[int, int],
    symbols: Integer[np.ndarray, " latents"],
    arrays: Sequence[Real[np.ndarray, "..."]],
    weight_step: float,
    bias_step: float,
) -> tuple[Callable[[], np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """What `synthesize` does for an image: upsampling, and then the rest, which takes its result.
    """
    parts = _real(config, shape, arrays, weight_step, bias_step)

    def upsampled():
        grids = [_times_step(config, grid) for grid in _grids(config, shape, symbols)]
        return upsample(config, grids, shape, parts.upsampling)

    def to_pixels(x):
        x = _pixelwise(config, x, parts.layers)
        act = ACTIVATIONS[config.activation]
        for i, (weight, bias) in enumerate(parts.convs):
            x = residual_conv(x, weight, bias)
            if i < len(parts.convs) - 1:
                x = act(x)
        return _to_8_bits(x)

    return upsampled, to_pixels


def synthesize_frames(
    config,
    shape: tuple[int, int, int],
    symbols: Integer[np.ndarray, " latents"],
    arrays: Sequence[Real[np.ndarray, "..."]],
    weight_step: float,
    bias_step: float,
) -> Iterator[Float[np.ndarray, "3 height width"]]:
    """The frames of a video in turn; arguments as for `synthesize`, which is all of them together.

    `symbols` may be filled in meanwhile: a frame reads only the latents that `frames_needed` names.
    """
    parts = _real(config, shape, arrays, weight_step, bias_step)
    grids = _grids(config, shape, symbols)
    frames = (_pixelwise(config, up, parts.layers)
              for up in _upsampled_frames(config, grids, shape, parts.upsampling))
    act = ACTIVATIONS[config.activation]
    for i, (weight, bias) in enumerate(parts.convs):
        frames = _convolved_frames(frames, weight, bias)
        if i < len(parts.convs) - 1:
            frames = map(act, frames)
    return map(_to_8_bits, frames)


def frames_needed(config, shape: tuple[int, int, int]) -> Integer[np.ndarray, "frames grids"]:
    """For each frame the last frame of each grid that it is made of."""
    frames, sides = shape[0], latents.grid_shapes(config, shape)
    ahead = 0 if config.synthesis_per_frame else config.synthesis_residual_convs
    at = np.minimum(np.arange(frames) + ahead, frames - 1)
    if config.upsampling == "learned":
        return np.tile([side[0] - 1 for side in sides], (frames, 1))
    last = []
    for n in range(len(sides)):
        path = _path(config, shape, sides, n, 0)
        reads = np.eye(frames)
        if len(set(path)) > 1:
            reads = latents.path_matrix(path, config.upsampling)
        # the last column that is read by this row or an earlier one
        ends = [np.flatnonzero(row)[-1] for row in reads]
        last.append(np.maximum.accumulate(ends)[at])
    return np.stack(last, 1)


def _real(config, shape, arrays, weight_step, bias_step) -> Arrays:
    infos = array_infos(config, len(shape))
    return take_apart(config, [
        np.float32(k) * np.float32(bias_step if info.is_bias else weight_step)
        for k, info in zip(arrays, infos, strict=True)])


def _grids(config, shape, symbols):
    """The grids as views of the flat symbols."""
    grids, first = [], 0
    for grid_shape in latents.grid_shapes(config, shape):
        n = math.prod(grid_shape)
        grids.append(symbols[first : first + n].reshape(grid_shape))
        first += n
    return grids


def _times_step(config, grid):
    return grid.astype(np.float32) * np.float32(config.quantization_step)


def _to_8_bits(x):
    return np.rint(np.clip(x, 0, 1) * np.float32(255)) / np.float32(255)


def _path(config, shape, grid_shapes, n, axis):
    """The sizes through which an axis of grid n is resized."""
    sides = (shape, *grid_shapes)
    stops = sides[n + 1 :: -1] if config.upsampling_recursive else (sides[n + 1], shape)
    return tuple(stop[axis] for stop in stops)


def _upsampled_frames(config, grids, shape, kernel):
    """`upsample`, frame by frame: along rows and columns once a grid's frame, then along time."""
    if config.upsampling == "learned":
        whole = upsample(config, [_times_step(config, g) for g in grids], shape, kernel)
        yield from np.moveaxis(whole, 1, 0)
        return
    sides = [grid.shape for grid in grids]
    paths = [[_path(config, shape, sides, n, axis) for axis in range(3)] for n in range(len(grids))]
    planes: list[dict] = [{} for _ in grids]
    for t in range(shape[0]):
        up = np.empty((len(grids), *shape[1:]), np.float32)
        for n, grid in enumerate(grids):
            weights = {t: np.float32(1)}
            if len(set(paths[n][0])) > 1:
                row = latents.path_matrix(paths[n][0], config.upsampling)[t]
                weights = {int(k): row[k] for k in np.flatnonzero(row)}
            planes[n] = {k: planes[n][k] if k in planes[n] else _resized(
                _times_step(config, grid[k]), paths[n][1:], config.upsampling) for k in weights}
            up[n] = sum(weight * planes[n][k] for k, weight in weights.items())
        yield up


def _resized(grid, paths, method):
    """A grid along all of its axes, last axis first."""
    for axis in reversed(range(grid.ndim)):
        if len(set(paths[axis])) > 1:
            matrix = latents.path_matrix(paths[axis], method)
            grid = along(matrix, grid, axis)
    return grid


def _convolved_frames(frames, weight, bias):
    """`residual_conv` frame by frame: the frames around one are its channels, edges replicated."""
    taps = weight.shape[2]
    flat = weight.swapaxes(1, 2).reshape(3, 3 * taps, *weight.shape[3:])
    window: collections.deque = collections.deque(maxlen=taps)
    for frame in _edge_padded(frames, taps // 2):
        window.append(frame)
        if len(window) == taps:
            around = window[0] if taps == 1 else np.concatenate(window)
            yield window[taps // 2] + conv(around, flat, bias)


def _edge_padded(frames, n):
    frames = iter(frames)
    last = next(frames)
    yield from [last] * (n + 1)
    for last in frames:
        yield last
    yield from [last] * n


def gelu(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The tanh approximation of GELU (networks.gelu)."""
    u = x * x
    u *= np.float32(0.044715 * math.sqrt(2 / math.pi))
    u += np.float32(math.sqrt(2 / math.pi))
    u *= x
    np.tanh(u, out=u)
    u += 1
    u *= x
    u *= np.float32(0.5)
    return u


ACTIVATIONS = {"gelu": gelu, "relu": lambda x: np.maximum(x, 0)}


def _pixelwise(config, x, layers):
    """The 1x1 layers, and the activation after them if there is one."""
    act = ACTIVATIONS[config.activation]
    flat = x.reshape(len(x), -1)
    out = np.empty((3, flat.shape[1]), np.float32)
    for first in range(0, flat.shape[1], BLOCK):
        y = flat[:, first : first + BLOCK]
        for weight, bias in layers[:-1]:
            z = product(weight, y) + bias[:, None]
            y = act(y + z if config.residual_layers and z.shape == y.shape else z)
        weight, bias = layers[-1]
        y = product(weight, y) + bias[:, None]
        out[:, first : first + BLOCK] = act(y) if config.rgb_activation else y
    return out.reshape(3, *x.shape[1:])


def residual_conv(
    x: Float[np.ndarray, "3 *shape"],
    weight: Float[np.ndarray, "3 3 *size"],
    bias: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "3 *shape"]:
    """x + conv(x), edges replicated (synthesis.ResidualConv)."""
    return x + conv(x, weight, bias)


def conv(
    x: Float[np.ndarray, "c_in *shape"],
    weight: Float[np.ndarray, "c_out c_in *size"],
    bias: Float[np.ndarray, " c_out"],
) -> Float[np.ndarray, "c_out *shape"]:
    """A convolution of few channels, edges replicated."""
    size, shape = weight.shape[2:], x.shape[1:]
    padded = np.pad(x, [(0, 0)] + [(k // 2, k // 2) for k in size], mode="edge")
    taps = list(itertools.product(*map(range, size)))
    # one row of the product's left side a tap and channel, a block of the first axis at a time
    kernel = np.stack([weight[(slice(None), slice(None), *tap)] for tap in taps], 1)
    kernel = kernel.reshape(len(weight), -1)
    out = np.empty((len(weight), *shape), np.float32)
    block = max(1, BLOCK // math.prod(shape[1:]))
    for first in range(0, shape[0], block):
        n = min(block, shape[0] - first)
        views = [padded[(slice(None), slice(first + tap[0], first + tap[0] + n),
                         *(slice(t, t + m) for t, m in zip(tap[1:], shape[1:], strict=True)))]
                 for tap in taps]
        rows = np.concatenate(views).reshape(kernel.shape[1], -1)
        y = product(kernel, rows) + bias[:, None]
        out[:, first : first + n] = y.reshape(-1, n, *shape[1:])
    return out


def upsample(
    config,
    grids: Sequence[Float[np.ndarray, "..."]],
    shape: tuple[int, ...],
    kernel: Float[np.ndarray, "*taps"] | None = None,
) -> Float[np.ndarray, "grids *shape"]:
    """Every grid at full resolution, finest first (latents.upsample)."""
    sides = (shape, *(grid.shape for grid in grids))
    if config.upsampling == "learned":
        raised = np.empty((0, *sides[-1]), np.float32)
        for n in reversed(range(len(grids))):
            raised = np.concatenate([grids[n][None], raised])
            if sides[n] != sides[n + 1]:
                raised = double(raised, kernel, sides[n])
        return raised
    return np.stack([
        _resized(grid, [_path(config, shape, sides[1:], n, axis) for axis in range(grid.ndim)],
                 config.upsampling) for n, grid in enumerate(grids)])


def double(
    grids: Float[np.ndarray, "n *shape"], kernel: Float[np.ndarray, "*taps"], shape: tuple[int, ...]
) -> Float[np.ndarray, "n ..."]:
    """Several grids by a transposed convolution of stride 2, cropped to `shape` (latents.double).

    Entry 2i + r of an axis reads the entries i + r - 2 .. i + r + 1 by the taps r, r + 2, r + 4,
    r + 6: one sum of 4^d shifted grids for each of the 2^d choices of r.
    """
    ndim = len(shape)
    padded = np.pad(grids, [(0, 0)] + [(2, 2)] * ndim, mode="edge")
    out = np.empty((len(grids), *(2 * n for n in grids.shape[1:])), np.float32)
    for r in itertools.product((0, 1), repeat=ndim):
        total = np.zeros(grids.shape, np.float32)
        for tap in itertools.product(range(4), repeat=ndim):
            part = (slice(s + t, s + t + n)
                    for s, t, n in zip(r, tap, grids.shape[1:], strict=True))
            total += kernel[tuple(2 * t + s for s, t in zip(r, tap, strict=True))] * padded[
                (slice(None), *part)]
        out[(slice(None), *(slice(s, None, 2) for s in r))] = total
    return out[(slice(None), *(slice(n) for n in shape))]
