"""The payload of a file: the order in which latents are coded, and the walk along it (App. B.3).

First the networks' integers, then the latents, each with a frequency table from the integer entropy
network (`integer_entropy.py`), which reads its contexts from a flat buffer. `walk` is handed a
coder that either writes the symbols it is given or reads them, so that encoder and decoder cannot
drift apart.

A latent can be decoded once its whole context is. rank = a . position, with the smallest integers
a such that a . offset <= -1 for every offset of the context, says when: all positions of one rank
are independent of each other (a wavefront), for windows, masks, images and videos alike. For a
7x7 window a = (4, 1): 512x768 latents in 2,812 steps instead of 393,216.

All grids advance together. Where grid n also sees the halved finer grid (Eq. 10), its ranks are
2^n a . position + c_n: the slope with which the finer grid arrives, delayed by its window. Where
it has features of the coarser grids, those have the same slopes and are ahead of it by one a grid.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from c3lite.coding import integer_entropy as integer
from c3lite.coding.header import Contents
from c3lite.model import context as ctx
from c3lite.model import latents
from c3lite.model.context import HALVE_TAPS
from c3lite.model.kernels import Offset


def wavefront_weights(offsets: Sequence[Offset], ndim: int) -> tuple[int, ...]:
    """The smallest a >= 0 with a . offset <= -1 for every offset, last axis first.

    (4, 1) for a 7x7 window, (25, 5, 1) for 3x9x9. Raises `ValueError` for an offset that is not
    before zero in raster order.
    """
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


def _linear(shape, slopes, constant):
    """constant + slopes . position for every position of a grid, flattened."""
    axes = (np.arange(n, dtype=np.int64) * a for n, a in zip(shape, slopes, strict=True))
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
    """Whether grids differ in network or context, so that a step holds latents of one grid only."""
    mixed: bool
    """Whether it holds those of several all the same, as with features: each grid's are predicted
    by themselves, and all are coded together."""
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
        self.mixed = config.grid_features > 0
        self.per_grid = (config.entropy_per_grid or config.entropy_film or len(set(own)) > 1
                         or self.mixed)
        self._firsts = np.cumsum([0, *map(math.prod, self.shapes)])
        self._ancestors = [self._places_above(config, n) for n in range(count)]
        self._sort(np.concatenate(ranks))
        self._plan_halving(halving, plane)

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

    def _places_above(self, config, n):
        """For every latent of grid n where the latents lie that its features are made of."""
        columns = []
        for m, ratio in ctx.ancestors(config, n):
            axes = ((np.arange(side) >> ratio) * stride
                    for side, stride in zip(self.shapes[n], self.strides, strict=True))
            columns.append(self.starts[m] + functools.reduce(np.add.outer, axes).reshape(-1))
        return np.stack(columns, axis=1).astype(np.int32) if columns else None

    def contexts(
        self, buffer: Float[np.ndarray, " size"], step: slice | Int[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n context"]:
        """What the network sees of latents of one grid, or of grids that are all alike."""
        n = self.grid[step][0]
        places = self.positions[step][:, None] + self.displacements[n]
        if self._ancestors[n] is not None:
            above = self._ancestors[n].take(self.order[step] - self._firsts[n], axis=0)
            places = np.concatenate([places, above], axis=1)
        return buffer.take(places)

    def _flat(self, offset):
        return _dot(offset, self.strides)

    def _sort(self, ranks):
        counts = [math.prod(s) for s in self.shapes]
        positions = np.concatenate([_linear(s, self.strides, start)
                                    for s, start in zip(self.shapes, self.starts, strict=True)])
        grid = np.repeat(np.arange(len(counts)), counts)
        # grids with different networks take turns within a rank
        apart = self.per_grid and not self.mixed
        keys = ranks * len(counts) + grid if apart else ranks
        if keys.max() < 2**16:
            keys = keys.astype(np.uint16)  # sorted by radix: ten times faster
        self.order = np.argsort(keys, kind="stable")
        keys = keys[self.order]
        self.positions, self.grid = positions[self.order], grid[self.order]
        self._ends = np.append(np.flatnonzero(np.diff(keys)) + 1, len(keys))
        self._ranks = ranks[self.order[self._ends - 1]]

    def _plan_halving(self, ranks, plane):
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
        taps = [np.array(HALVE_TAPS, np.float64)] * len(self.strides)
        self._taps = functools.reduce(np.multiply.outer, taps).reshape(-1) / self.unit
        self._halved_ends = np.searchsorted(ranks[order], self._ranks, side="right")

    def steps(self) -> Iterator[tuple[slice, slice]]:
        """For each step its latents (places in the file) and what is to be halved before it."""
        first = halved = 0
        for end, halved_end in zip(self._ends.tolist(), self._halved_ends.tolist(), strict=True):
            yield slice(first, end), slice(halved, halved_end)
            first, halved = end, halved_end

    def parts(self, step: slice) -> list[slice]:
        """A step's latents, those of each grid apart if grids differ in features."""
        if not self.mixed:
            return [step]
        ends = step.start + 1 + np.flatnonzero(np.diff(self.grid[step]))
        edges = [step.start, *ends.tolist(), step.stop]
        return [slice(*pair) for pair in itertools.pairwise(edges)]

    def halve(self, buffer: Float[np.ndarray, " size"], part: slice) -> None:
        """Compute the halved entries `part` of the buffer, all of whose sources are there.

        Exact: whole numbers far below 2^53, divided by the power of two that they contain.
        """
        targets = self._targets[part]
        if len(targets):
            buffer[targets] = buffer.take(self._sources[part]) @ self._taps


# The walk ---------------------------------------------------------------------------------------


def walk(coder: Any, contents: Contents) -> Contents:
    """Code a file's payload: write what is in `contents`, or read what is None there."""
    config, shape, coded = contents
    known = coded.symbols
    plan = Plan(config, shape)
    buffer, symbols = np.zeros(plan.size), np.zeros(len(plan.order), np.int64)
    arrays = integer.code_networks(coder, config, len(shape), coded.networks)
    networks = integer.networks(config, arrays, *coded.entropy_steps, plan.unit, plan.per_grid)
    if known is not None:
        known = np.asarray(known, np.int64)[plan.order]
    for step, halved in plan.steps():
        plan.halve(buffer, halved)
        predicted = [networks[plan.grid[part.start]](plan.contexts(buffer, part))
                     for part in plan.parts(step)]
        values = integer.code_latents(
            coder, *map(np.concatenate, zip(*predicted, strict=True)), plan.grid[step],
            None if known is None else known[step])
        symbols[plan.order[step]] = values
        put(buffer, plan, step, values)
    return contents._replace(coded=coded._replace(symbols=symbols, networks=arrays))


def put(buffer: Float[np.ndarray, " size"], plan: Plan, places: slice, values) -> None:
    """Latents into the buffer, as contexts see them."""
    clipped = np.minimum(np.maximum(values, -integer.MAX_LATENT), integer.MAX_LATENT)
    buffer[plan.positions[places]] = clipped * plan.unit
