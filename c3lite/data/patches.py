"""A video as patches, each fitted by itself (Sec. 3.3), and how large they are (App. A.4). They lie
in a regular grid from the first frame's upper left corner; those at the far ends are smaller."""

import itertools
from collections.abc import Sequence
from typing import SupportsFloat

import numpy as np
from jaxtyping import Num

Shape = Sequence[int]
Clip = Num[np.ndarray, "3 *_"]


def patch_size(rd_weight: SupportsFloat, shape: Shape | None = None) -> tuple[int, ...]:
    """(frames, height, width) of the paper's patches at a rate weight lambda (App. A.4), with the
    clip's `shape` none larger. Raises ValueError for a rate weight that is not positive."""
    rd_weight = float(rd_weight)
    if not rd_weight > 0:
        raise ValueError(f"a rate weight is greater than 0, not {rd_weight}")
    frames = 30 if rd_weight <= 2e-4 else 60
    size = (frames, 180, 240) if rd_weight <= 1e-3 else (75, 270, 320)
    if shape is None:
        return size
    _check(size, shape, larger=True)
    return tuple(map(min, size, map(int, shape)))


def patch_slices(shape: Shape, patch: Shape) -> list[tuple[slice, ...]]:
    """Where the patches of a clip lie: a slice for each axis, in raster order (time slowest). Both
    shapes are (frames, height, width). Raises ValueError when they do not fit each other."""
    _check(patch, shape)
    sides = ([slice(i, min(i + step, end)) for i in range(0, end, step)]
             for end, step in zip(shape, patch, strict=True))
    return list(itertools.product(*sides))


def split_patches(video: Clip, patch: Shape) -> list[Clip]:
    """The patches of a clip (3, frames, height, width), in the order of `patch_slices`, as views.
    Raises ValueError for a patch (frames, height, width) that is empty or larger than the clip."""
    return [video[(slice(None), *part)] for part in patch_slices(video.shape[1:], patch)]


def join_patches(patches: Sequence[Clip], shape: Shape) -> Clip:
    """The clip of `shape` (frames, height, width) whose `split_patches` these are, in their order.
    Raises ValueError when number or shapes are not those of a clip of that shape."""
    patches = [np.asarray(p) for p in patches]
    if not patches:
        raise ValueError("there are no patches to join")
    places = patch_slices(shape, patches[0].shape[1:])
    if len(places) != len(patches):
        raise ValueError(f"a clip of {by(shape)} has {len(places)} patches of "
                         f"{by(patches[0].shape[1:])}, not {len(patches)}")
    video = np.empty((3, *shape), np.result_type(*patches))
    for n, (part, place) in enumerate(zip(patches, places, strict=True)):
        target = video[(slice(None), *place)]
        if part.shape != target.shape:
            raise ValueError(f"patch {n} has shape {part.shape}, and {target.shape} is its place")
        target[...] = part
    return video


def _check(patch: Shape, shape: Shape, larger: bool = False) -> None:
    if len(patch) != len(shape):
        raise ValueError(f"a patch of {len(patch)} axes, {by(patch)}, does not cut a clip of "
                         f"{len(shape)}, {by(shape)}")
    if min(shape) < 1:
        raise ValueError(f"there is no pixel in a clip of {by(shape)}")
    if min(patch) < 1:
        raise ValueError(f"a patch has at least one pixel along each axis, not {by(patch)}")
    if not larger and any(p > s for p, s in zip(patch, shape, strict=True)):
        raise ValueError(f"a patch of {by(patch)} is larger than the clip of {by(shape)}")


def by(shape: Shape) -> str:
    """"30 x 180 x 240", for people."""
    return " x ".join(map(str, shape))
