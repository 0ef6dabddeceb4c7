"""Clips by name: the UVG set, a real clip that ships, and one whose motion is yours to set."""

import re
from importlib.resources import as_file, files

import numpy as np
from jaxtyping import Float32

from c3lite.data import images, videos
from c3lite.data.images import DataError
from c3lite.data.patches import by

Clip = Float32[np.ndarray, "3 frames height width"]

UVG_NAMES = ("Beauty", "Bosphorus", "HoneyBee", "Jockey", "ReadySetGo", "ShakeNDry", "YachtRide")
"""The seven sequences of the UVG set: 1920 x 1080, 120 frames a second, 8 bits, 4:2:0; 600 frames
each, ShakeNDry 300."""

_UVG = {name.casefold(): name for name in UVG_NAMES} | {"readysteadygo": "ReadySetGo"}


def uvg(name: str, *, frames: int | None = None, patch: tuple[int, int, int] | None = None,
        start: int | tuple[int, int, int] = 0) -> Clip:
    """A sequence of the UVG set, one of `UVG_NAMES`, or a part of it, as for `video`: as floats, a
    whole one is 15 GB.

    From the folder `uvg` of C3LITE_DATA, files of the set's 1080p, 8-bit download by their names,
    `Beauty_1920x1080_120fps_420_8bit_YUV.yuv`, or `.y4m`; also a short `Beauty.y4m`. Read as
    BT.709, limited range. Source: Mercat, Viitanen and Vanne, "UVG dataset", 2020, ultravideo.fi;
    CC BY-NC 3.0. Raises ValueError for another name, DataError when the file is not there, and what
    `video` raises.
    """
    sequence = _uvg_name(name)
    folder = images._user_folder("uvg")
    usual = f"{sequence}_1920x1080_120fps_420_8bit_YUV.yuv"
    if folder is None or not folder.is_dir():
        raise DataError(f"UVG is not downloaded by itself: put {usual} (or .y4m) from "
                        "ultravideo.fi into DIR/uvg and set C3LITE_DATA=DIR")
    pattern = re.compile(r"(.*?)(_1920x1080_120fps_420_8bit_yuv(_raw|_y4m)?)?\.(yuv|y4m)")
    for file in sorted(folder.iterdir()):
        match = pattern.fullmatch(file.name.casefold())
        if match and _UVG.get(match[1]) == sequence:
            return videos.video(
                file, frames=frames, patch=patch, start=start, matrix="bt709", full_range=False)
    raise DataError(f"there is no {usual} (or .y4m) in {folder}")


def uvg_shape(name: str) -> tuple[int, int, int]:
    """(frames, height, width) of a sequence of the UVG set, without its file. Raises `ValueError`
    for another name."""
    return 300 if _uvg_name(name) == "ShakeNDry" else 600, 1080, 1920


def _uvg_name(name: str) -> str:
    if name.casefold() not in _UVG:
        raise ValueError(f"the UVG set has {', '.join(UVG_NAMES)}, not {name!r}")
    return _UVG[name.casefold()]


def bunny(*, frames: int | None = None, patch: tuple[int, int, int] | None = None,
          start: int | tuple[int, int, int] = 0) -> Clip:
    """A shipped piece of the animation Big Buck Bunny, (c) Blender Foundation, CC BY 3.0: 33 frames
    of 180 x 320, nearly no camera motion. Arguments and errors as for `video`."""
    shipped = files("c3lite") / "data" / "assets" / "video"
    with as_file(shipped / "bunny_320x180_25fps_33f.mkv") as file:
        return videos.video(file, frames=frames, patch=patch, start=start)


def moving_window(dx: int, dy: int, *, frames: int = 8, height: int = 64, width: int = 96,
                  photo: int = 19) -> Clip:
    """A window that moves over a Kodak photo by (dx, dy) pixels a frame: a clip of known motion.

    Frame t is the photo from (y + t dy, x + t dx) on, so that current[y, x] = previous[y + dy,
    x + dx], and (dx, dy), of either sign, is what `c3lite.motion.displacement` measures. The way
    lies in the middle of the photo, number 1 to 24, of which 19 and 23 ship with c3lite.

    Raises ValueError when the way is longer than the photo, or the window empty; `DataError` when
    the photo cannot be had.
    """
    if min(frames, height, width) < 1:
        raise ValueError("a clip has at least one frame, row and column, not "
                         + by((frames, height, width)))
    picture = images.kodak(photo)
    whole, side = np.array(picture.shape[1:]), np.array([height, width])
    way = np.array([dy, dx]) * (frames - 1)
    needed = side + np.abs(way)
    if (needed > whole).any():
        raise ValueError(
            f"the window leaves photo {photo}: {frames} frames with (dx, dy) = ({dx}, {dy}) need "
            f"{by(needed.tolist())} pixels, and it has {by(whole.tolist())}; take fewer frames, a "
            "smaller window or less motion")
    y, x = map(int, (whole - side - way) // 2)
    return np.stack([images.crop(picture, y + t * dy, x + t * dx, height, width)
                     for t in range(frames)], axis=1)
