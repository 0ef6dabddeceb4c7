"""Images by name, so that any process can load them: `kodim05[192:320,288:480]`."""

import functools
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from c3lite import data
from c3lite.data.patches import patch_slices
from c3lite.fitting.fit import check_image

_NAME = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<part>\d+:\d+(, ?\d+:\d+){1,2})\])?")

Pictures = Mapping[str, Float[np.ndarray, "3 ..."]]
"""Images that have no name to load them by, under the names that jobs call them."""

FRAMES_AT_ONCE = 10  # of a clip that is read frame by frame

_CLIPS = {"bunny": lambda _, **part: data.bunny(**part),
          "uvg": lambda name, **part: data.uvg(name, **part), "video": data.clips.own}


def load(name: str) -> Float[np.ndarray, "3 *shape"]:
    """The image of a name, float32 in [0, 1]: `kodim05`, `clic2020/NAME`, the clips `bunny`,
    `uvg/NAME` and `video/NAME`, a file or folder of C3LITE_DATA, or a path that `data.image` reads;
    a part with a slice of rows and columns, `kodim05[192:320,288:480]`, and of a clip of frames
    before them. Raises `ValueError` for a name that is none, and what `data` raises."""
    base, slices = _parsed(name)
    starts = tuple(start for start, _ in slices)
    sizes = tuple(stop - start for start, stop in slices)
    try:
        if _is_clip(base):
            part = {"patch": sizes, "start": starts} if slices else {}
            return _CLIPS[base.partition("/")[0]](base.partition("/")[2], **part)
        return data.crop(_whole(base), *starts, *sizes) if slices else _whole(base)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _parsed(name: str) -> tuple[str, list[tuple[int, int]]]:
    """The name without its part, and the start and stop of each axis of that; none of a whole."""
    match = _NAME.fullmatch(name)
    if not match:
        raise ValueError(f"{name!r} names no image: write kodim05, clic2020/NAME or a path, and a "
                         "crop as [top:bottom,left:right]")
    slices = [tuple(map(int, side.split(":"))) for side in (match["part"] or "").split(",") if side]
    if any(start >= stop for start, stop in slices):
        raise ValueError(f"{name} is an empty part")
    if slices and _is_clip(match["name"]) != (len(slices) == 3):
        axes = "frames, rows and columns" if _is_clip(match["name"]) else "rows and columns"
        raise ValueError(f"{name}: a part has {axes}")
    return match["name"], slices


def _is_clip(base: str) -> bool:
    return base == "bunny" or base.startswith(("uvg/", "video/"))


def _whole(name: str) -> Float[np.ndarray, "3 height width"]:
    if kodak := re.fullmatch(r"kodim(\d\d)", name):
        return data.kodak(int(kodak[1]))
    if name.startswith("clic2020/"):
        return data.clic2020(name.removeprefix("clic2020/"))
    if not os.path.splitext(name)[1]:
        raise ValueError("no such image: there are kodim01 to kodim24, clic2020/NAME, bunny, "
                         "uvg/NAME, video/NAME, and paths of files, with their extension")
    return data.image(name)


def digest(x: Float[np.ndarray, "3 *shape"]) -> str:
    """SHA-256 of the pixels and their shape."""
    return hashlib.sha256(repr(x.shape).encode() + x.tobytes()).hexdigest()


class Images(Mapping):
    """Images and clips by name, and the patches of clips (`patches` names them).

    images: names for `load`; arrays, which get the names image1, image2, ...; or arrays by name.
    All but UVG's sequences are read now: one is 15 GB, and only its patches are read, when they are
    asked for. Errors as for `load` and `fit.check_image`.
    """

    def __init__(self, images: Mapping[str, Float[np.ndarray, "3 *shape"]] | Sequence):
        if isinstance(images, str):
            raise ValueError(f"images are a list of names or arrays, not one name: [{images!r}]")
        if not isinstance(images, Mapping):
            images = {x if isinstance(x, str) else f"image{i}": x
                      for i, x in enumerate(images, start=1)}
        self._loaded = {name for name, x in images.items() if isinstance(x, str)}
        uvg = {name: _parsed(x) for name, x in images.items()
               if isinstance(x, str) and x.startswith("uvg/")}  # which is not read for its shape
        self._shapes = {name: tuple(stop - start for start, stop in slices)
                        or data.uvg_shape(base.removeprefix("uvg/"))
                        for name, (base, slices) in uvg.items()}
        self._images = {
            name: None if name in self._shapes else
            check_image(load(x) if name in self._loaded else x) for name, x in images.items()}
        self._parts: dict[str, tuple[str, tuple[slice, ...]]] = {}
        self.digest = functools.cache(lambda name: digest(self[name]))
        """Of an image or patch by name, computed once."""

    @classmethod
    def of(cls, images: Mapping | Sequence) -> "Images":
        """`images` themselves where they are `Images`."""
        return images if isinstance(images, cls) else cls(images)

    def __iter__(self) -> Iterator[str]:
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, name: str) -> Float[np.ndarray, "3 *shape"]:
        whole, part = self._parts.get(name, (name, ()))
        x = self._images[whole]
        return check_image(load(name) if x is None else x[(slice(None), *part)])

    def can_be_loaded(self, name: str) -> bool:
        """Whether `load` gives it; otherwise it is an array that was passed in."""
        return self._parts.get(name, (name,))[0] in self._loaded

    def shape(self, name: str) -> tuple[int, ...]:
        """(height, width) or (frames, height, width)."""
        if name in self._parts:
            return tuple(side.stop - side.start for side in self._parts[name][1])
        return self._shapes[name] if name in self._shapes else self._images[name].shape[1:]

    def frames(self, name: str) -> Iterator[Float[np.ndarray, "3 height width"]]:
        """The frames of a clip, one after another; never the whole clip, where it is not held."""
        count, *sides = self.shape(name)
        parts = [name] if self._images[name] is not None else self.patches(
            name, (min(FRAMES_AT_ONCE, count), *sides))
        for part in parts:
            yield from np.moveaxis(self[part], 1, 0)

    def patches(self, name: str, size: Sequence[int]) -> list[str]:
        """Names of the patches of a clip, in the order of `split_patches`."""
        base, slices = _parsed(name)
        corner = [start for start, _ in slices] or [0] * len(size)
        names = []
        for part in patch_slices(self.shape(name), size):
            sides = (f"{at + side.start}:{at + side.stop}"
                     for at, side in zip(corner, part, strict=True))
            names.append(f"{base}[{','.join(sides)}]")
            self._parts[names[-1]] = name, part
        return names
