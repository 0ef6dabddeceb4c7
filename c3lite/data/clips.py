"""Clips by name: the UVG set, a real clip that ships, and one whose motion is yours to set."""

import re
from importlib.resources import as_file, files

import numpy as np
from jaxtyping import Float32

from c3lite.data import images, videos
from c3lite.data.images import DataError

Clip = Float32[np.ndarray, "3 frames height width"]

UVG_NAMES = ("Beauty", "Bosphorus", "HoneyBee", "Jockey", "ReadySetGo", "ShakeNDry", "YachtRide")
"""The UVG set: 1920 x 1080, 120 frames a second, 8 bits, 4:2:0; 600 frames each, ShakeNDry 300."""


def uvg(name: str, *, frames: int | None = None, patch: tuple[int, int, int] | None = None,
        start: int | tuple[int, int, int] = 0) -> Clip:
    """A sequence of the UVG set, or a part of it, from the folder `uvg` of C3LITE_DATA.

    The files of the set's 1080p, 8-bit download as they are named there,
    `Beauty_1920x1080_120fps_420_8bit_YUV.yuv`, or `.y4m`; also a short `Beauty.y4m`. Read as
    BT.709, limited range. Source: Mercat, Viitanen and Vanne, "UVG dataset", 2020, ultravideo.fi;
    CC BY-NC 3.0. A whole sequence is 15 GB as floats: ask for a part. `name` is one of `UVG_NAMES`
    (else ValueError; DataError without its file), other arguments and errors are as for `video`.
    """
    sequence = _uvg_name(name)
    folder = images.user_folder("uvg")
    usual = f"{sequence}_1920x1080_120fps_420_8bit_YUV.yuv"
    if folder is None or not folder.is_dir():
        raise DataError(f"UVG is not downloaded by itself: put {usual} (or .y4m) from "
                        "ultravideo.fi into DIR/uvg and set C3LITE_DATA=DIR")
    pattern = re.compile(r"(.*?)(_1920x1080_120fps_420_8bit_yuv(_raw|_y4m)?)?\.(yuv|y4m)")
    for file in sorted(folder.iterdir()):
        match = pattern.fullmatch(file.name.casefold())
        if match and _plain(match[1]) == _plain(sequence):
            return videos.video(
                file, frames=frames, patch=patch, start=start, matrix="bt709", full_range=False)
    raise DataError(f"there is no {usual} (or .y4m) in {folder}")


def uvg_shape(name: str) -> tuple[int, int, int]:
    """(frames, height, width) of one of `UVG_NAMES`, without its file; `ValueError` for others."""
    return 300 if _uvg_name(name) == "ShakeNDry" else 600, 1080, 1920


def _uvg_name(name: str) -> str:
    for known in UVG_NAMES:
        if _plain(known) == _plain(name):
            return known
    raise ValueError(f"the UVG set has {', '.join(UVG_NAMES)}, not {name!r}")


def _plain(name: str) -> str:
    return name.casefold().replace("readysteadygo", "readysetgo")


def own(name: str, **part) -> Clip:
    """A clip of your own, a file or folder of `video` in C3LITE_DATA, or a part of it. Other
    arguments, and errors, are as for `video`; `DataError` where C3LITE_DATA is not set."""
    folder = images.user_folder("video")
    if folder is None:
        raise DataError(f"video/{name} is a clip of yours: put it into DIR/video and set "
                        "C3LITE_DATA=DIR")
    return videos.video(folder / name, **part)


def bunny(*, frames: int | None = None, patch: tuple[int, int, int] | None = None,
          start: int | tuple[int, int, int] = 0) -> Clip:
    """A shipped piece of the animation Big Buck Bunny: 33 frames of 180 x 320, nearly no camera
    motion. Arguments and errors as for `video`.

    (c) Blender Foundation, CC BY 3.0; `c3lite/data/assets/video/SOURCES.md` says how it was made.
    """
    shipped = files("c3lite") / "data" / "assets" / "video"
    with as_file(shipped / "bunny_320x180_25fps_33f.mkv") as file:
        return videos.video(file, frames=frames, patch=patch, start=start)


def moving_window(dx: int, dy: int, *, frames: int = 8, height: int = 64, width: int = 96,
                  photo: int = 19, corner: tuple[int, int] | None = None) -> Clip:
    """A window that moves over a Kodak photo by (dx, dy) pixels a frame: a clip of known motion.

    Frame t is the photo from (y + t dy, x + t dx) on, so that current[y, x] = previous[y + dy,
    x + dx], and (dx, dy), of either sign, is what `c3lite.motion.displacement` measures. Positive
    dx: the window moves right, what it shows moves left.

    photo: 1 to 24; 19 and 23 ship with c3lite.
    corner: (y, x) of the window's upper left in the first frame; by default its way is centered.

    Raises ValueError when the window leaves the photo, or is empty; `DataError` without the photo.
    """
    if min(frames, height, width) < 1:
        raise ValueError("a clip has at least one frame, row and column, not "
                         f"{frames} x {height} x {width}")
    picture = images.kodak(photo)
    whole, side = np.array(picture.shape[1:]), np.array([height, width])
    way = np.array([dy, dx]) * (frames - 1)
    first = (whole - side - way) // 2 if corner is None else np.array(corner)
    least, most = first + np.minimum(way, 0), first + np.maximum(way, 0) + side
    for axis, (step, kind) in enumerate([(f"dy = {dy}", "rows"), (f"dx = {dx}", "columns")]):
        if least[axis] < 0 or most[axis] > whole[axis]:
            raise ValueError(
                f"the window leaves photo {photo}: {frames} frames with {step} need {kind} "
                f"{least[axis]} to {most[axis] - 1}, and it has 0 to {whole[axis] - 1}; take fewer "
                "frames, a smaller window or less motion")
    y, x = map(int, first)
    return np.stack([images.crop(picture, y + t * dy, x + t * dx, height, width)
                     for t in range(frames)], axis=1)
