"""Images by name, so that a job can be sent to another process: `kodim05[192:320,288:480]`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from c3lite import data
from c3lite.fit import check_image

_NAME = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<part>\d+:\d+(, ?\d+:\d+){1,2})\])?")


def load(name: str) -> Float[np.ndarray, "3 *shape"]:
    """The image of a name, float32 in [0, 1].

    Names: `kodim05`, `clic2020/NAME`, the clips `bunny` and `uvg/NAME`, or a path that
    `data.image` reads. A part is written as a slice of rows and columns,
    `kodim05[192:320,288:480]`, and of a clip as one of frames, rows and columns.

    Raises `ValueError` for a name that is none, `data.DataError` or `OSError` when the file cannot
    be had; each says which and what to do.
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise ValueError(f"{name!r} names no image: write kodim05, clic2020/NAME or a path, and a "
                         "crop as [top:bottom,left:right]")
    slices = [tuple(map(int, side.split(":"))) for side in (match["part"] or "").split(",") if side]
    if any(start >= stop for start, stop in slices):
        raise ValueError(f"{name} is an empty part")
    try:
        return _load(match["name"], slices)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _load(name: str, slices: Sequence[tuple[int, int]]) -> Float[np.ndarray, "3 *shape"]:
    sizes = tuple(stop - start for start, stop in slices)
    starts = tuple(start for start, _ in slices)
    if name == "bunny" or name.startswith("uvg/"):
        if len(slices) == 2:
            raise ValueError("a part of a clip has frames, rows and columns")
        part = {"patch": sizes, "start": starts} if slices else {}
        return data.bunny(**part) if name == "bunny" else data.uvg(name[len("uvg/"):], **part)
    if len(slices) == 3:
        raise ValueError("a part of an image has rows and columns")
    whole = _image(name)
    return data.crop(whole, *starts, *sizes) if slices else whole


def _image(name: str) -> Float[np.ndarray, "3 height width"]:
    if kodak := re.fullmatch(r"kodim(\d\d)", name):
        return data.kodak(int(kodak[1]))
    if name.startswith("clic2020/"):
        return data.clic2020(name.removeprefix("clic2020/"))
    if not os.path.splitext(name)[1]:
        raise ValueError("no such image: there are kodim01 to kodim24, clic2020/NAME, bunny, "
                         "uvg/NAME, and paths of files, with their extension")
    return data.image(name)


def named(
    images: Mapping[str, Float[np.ndarray, "3 *shape"]] | Sequence,
) -> dict[str, Float[np.ndarray, "3 *shape"]]:
    """Images by name: from names, or from arrays (which get the names image1, image2, ...)."""
    if isinstance(images, Mapping):
        return {name: check_image(x) for name, x in images.items()}
    if isinstance(images, str):
        raise ValueError(f"images are a list of names or arrays, not one name: [{images!r}]")
    return {x if isinstance(x, str) else f"image{i}": check_image(load(x) if isinstance(x, str)
                                                                  else x)
            for i, x in enumerate(images, start=1)}
