"""Videos of your own, read as arrays: Y4M, raw planes, what FFmpeg decodes, folders of pictures."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from c3lite.data import images, yuv
from c3lite.data.images import DataError

PICTURES = (".png", ".bmp", ".tif", ".tiff", ".ppm", ".jpg", ".jpeg", ".webp")
"""Files that count as frames in a folder."""

RAW_FORMATS = {
    f"yuv{kind}p{deep}": (down, across, 10 if deep else 8)
    for kind, (down, across) in {"420": (2, 2), "422": (1, 2), "444": (1, 1)}.items()
    for deep in ("", "10le")
}
"""Pixel formats of raw files: rows and columns that share a chroma sample, and bits."""

# AVColorSpace's numbers for what the streams say; 2 is "unspecified"
STATED_MATRIX: dict[int, yuv.Matrix] = {1: "bt709", 5: "bt601", 6: "bt601"}
UNSPECIFIED, FULL_RANGE = 2, 2


class _Frame(NamedTuple):
    size: tuple[int, int]
    name: str
    rgb: Callable[[slice, slice], Float32[np.ndarray, "3 height width"]]


def video(
    path: str | os.PathLike[str],
    *,
    frames: int | None = None,
    patch: tuple[int, int, int] | None = None,
    start: int | tuple[int, int, int] = 0,
    size: tuple[int, int] | None = None,
    pixel_format: str = "yuv420p",
    matrix: yuv.Matrix | None = None,
    full_range: bool | None = None,
) -> Float32[np.ndarray, "3 frames height width"]:
    """A clip of your own, or a part of it, values in [0, 1].

    Kinds of `path`:

    - a folder of frames (PNG and others that `image` reads), in the order of the last number in
      their names, no number left out; the names' order if there are no numbers;
    - `.yuv`: raw planes, frame after frame, with `size` or the usual "1920x1080" in its name;
    - anything else as FFmpeg decodes it: Y4M, MP4, MKV, ... Planar YUV of 8 to 16 bits (4:2:0,
      4:2:2, 4:4:4), gray, and 8-bit RGB; of several streams the first video.

    Colors (`c3lite.data.yuv` has the formulas): the matrix and the range that the file states.
    Where it does not, BT.709 from 720 rows on and BT.601 below, and limited range. `matrix` and
    `full_range` overrule both. "C420jpeg" in a Y4M file says where chroma is, not its range. Each
    chroma sample serves all its pixels, not interpolated; RGB of 8-bit files is rounded to 8 bits.
    Pixels and frames are taken as stored: no deinterlacing, rotation, pixel aspect or frame rate.

    Args:
        frames: how many; None: all from `start` on.
        patch: (frames, height, width), to read only such a part; its upper left corner, first
            frame, is `start`.
        start: the first frame, counted from 0, or (frame, y, x).
        size: (height, width) of a raw file.
        pixel_format: of a raw file: yuv420p, yuv422p, yuv444p, or with "10le" behind it.
        matrix: "bt601" or "bt709".
        full_range: luma from 0 to 255 (True) or from 16 to 235 (False).

    Raises:
        FileNotFoundError: when there is nothing at `path`.
        DataError: for a file that is empty, cut off, damaged, without frames, or of a pixel format
            not listed above; a folder with frames missing or of different sizes.
        ValueError: for a part that is empty or reaches outside the clip, a raw file without a size
            or of odd size, or impossible values. Each names the file.
    """
    file = Path(path).expanduser()
    count, rows, columns, first = _part(frames, patch, start)
    if matrix not in (None, *yuv.KR_KB):
        raise ValueError(f'matrix is "bt601" or "bt709", not {matrix!r}')
    if not file.exists():
        raise FileNotFoundError(f"there is no file or folder {file} (looked in {Path.cwd()})")
    raw = file.is_file() and file.suffix.lower() == ".yuv"
    if size is not None and not raw:
        raise ValueError(f"size is for raw .yuv files; {file} knows its own")
    if file.is_file() and file.stat().st_size == 0:
        raise DataError(f"{file} is empty (0 bytes)")
    if raw:
        source = _raw(file, size, pixel_format, matrix, full_range, first)
    elif file.is_dir():
        source = _folder(file, first)
    else:
        source = _decoded(file, matrix, full_range, first)

    taken: list[np.ndarray] = []
    whole = None
    for frame in tqdm(islice(source, count), f"reading {file.name}", count, delay=2,
                      file=sys.stdout, unit="frame", leave=False, ncols=100):
        if whole is None:
            whole = frame.size
            _check_inside(file, whole, rows, columns)
        if frame.size != whole:
            raise DataError(f"{frame.name} is {_by(frame.size)}, and the frames before it are "
                            f"{_by(whole)}: one clip has one size")
        taken.append(frame.rgb(rows, columns))
    if not taken and first == 0:
        raise DataError(f"{file} holds no frame")
    if not taken or (count is not None and len(taken) < count):
        last = "" if count in (None, 1) else f" to {first + count - 1}"
        there = first + len(taken) if taken else f"at most {first}"
        raise ValueError(f"{file} has {there} frames; frame {first}{last} (counted from 0) was "
                         "asked for")
    return np.stack(taken, axis=1)


def _part(frames, patch, start) -> tuple[int | None, slice, slice, int]:
    """Number of frames (None: all), rows, columns and the first frame."""
    corner = (start, 0, 0) if np.ndim(start) == 0 else tuple(start)
    if len(corner) != 3 or min(corner) < 0:
        raise ValueError(f"start is a frame or (frame, y, x), counted from 0, not {start!r}")
    first, y, x = corner
    if patch is not None:
        if len(patch) != 3 or min(patch) < 1:
            raise ValueError("patch is (frames, height, width), each at least 1, "
                             f"not {tuple(patch)}")
        if frames not in (None, patch[0]):
            raise ValueError(f"{frames} frames and a patch of {patch[0]} frames exclude each other")
        return patch[0], slice(y, y + patch[1]), slice(x, x + patch[2]), first
    if frames is not None and frames < 1:
        raise ValueError(f"a clip has at least one frame, not {frames}")
    if y or x:
        raise ValueError(f"a start of {corner} needs a patch: without one, frames are whole")
    return frames, slice(None), slice(None), first


def _check_inside(file: Path, size: tuple[int, int], rows: slice, columns: slice) -> None:
    if (rows.stop or 0) > size[0] or (columns.stop or 0) > size[1]:
        raise ValueError(
            f"rows {rows.start} to {rows.stop - 1} and columns {columns.start} to "
            f"{columns.stop - 1} of the patch are not all inside the {_by(size)} of {file}")


def _raw(file, size, pixel_format, matrix, full_range, first) -> Iterator[_Frame]:
    if pixel_format not in RAW_FORMATS:
        raise ValueError(f"unknown pixel format {pixel_format!r} of {file}: "
                         f"{', '.join(RAW_FORMATS)} can be read")
    if size is None:
        named = re.search(r"(?<!\d)(\d{2,5})x(\d{2,5})(?!\d)", file.name)
        if named is None:
            raise ValueError(f"{file} has no header: give its size=(height, width)")
        size = int(named[2]), int(named[1])
    height, width = size
    down, across, depth = RAW_FORMATS[pixel_format]
    if min(size) < 1 or height % down or width % across:
        raise ValueError(f"{file} cannot be {pixel_format} of {_by(size)} (height x width): its "
                         f"sides are multiples of {down} and {across}")
    shapes = [size, *2 * [(height // down, width // across)]]
    sample = np.dtype(np.uint8 if depth == 8 else "<u2")
    samples = sum(h * w for h, w in shapes)
    frame_bytes = samples * sample.itemsize
    total, rest = divmod(file.stat().st_size, frame_bytes)
    if rest:
        raise DataError(
            f"{file} is cut off, or not {pixel_format} of {_by(size)} (height x width): after "
            f"{total} whole frames of {frame_bytes:,} bytes it has {rest:,} bytes more")
    stored = np.memmap(file, sample, "r").reshape(total, samples)
    ends = np.cumsum([h * w for h, w in shapes])[:-1]
    for t in range(first, total):
        parts = np.split(stored[t], ends)
        planes = [part.reshape(s) for part, s in zip(parts, shapes, strict=True)]
        yield _from_planes(f"frame {t} of {file}", planes, matrix, bool(full_range), depth)


def _from_planes(name, planes, matrix, full_range, depth) -> _Frame:
    height, width = planes[0].shape
    chosen = matrix or yuv.assumed_matrix(height)
    return _Frame((height, width), name, lambda rows, columns: yuv.to_rgb(
        planes, chosen, full_range, depth, rows, columns))


def _folder(folder: Path, first: int) -> Iterator[_Frame]:
    found = sorted(f for f in folder.iterdir()
                   if f.suffix.lower() in PICTURES and not f.name.startswith("."))
    numbers = [int(n[-1]) if (n := re.findall(r"\d+", f.stem)) else None for f in found]
    if found and None not in numbers:
        found = [f for _, f in sorted(zip(numbers, found, strict=True))]
        missing = sorted(set(range(min(numbers), max(numbers) + 1)) - set(numbers))
        if missing:
            some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
            raise DataError(f"{folder} has frames {min(numbers)} to {max(numbers)} without {some}: "
                            "put them there, or number the others without a gap")
        if len(set(numbers)) < len(numbers):
            twice = next(n for n in numbers if numbers.count(n) > 1)
            raise DataError(f"{folder} has two frames numbered {twice}")
    for file in found[first:]:
        picture = images.image(file)
        yield _Frame(picture.shape[1:], str(file),
                     lambda rows, columns, picture=picture: picture[:, rows, columns])


def _decoded(file: Path, matrix, full_range, first) -> Iterator[_Frame]:
    try:
        with av.open(str(file)) as container:
            if not container.streams.video:
                raise DataError(f"{file} has no video in it")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            number = -1
            for number, frame in enumerate(container.decode(stream)):
                if number == 0 and container.format.name == "yuv4mpegpipe":
                    _check_length(file, frame)
                if frame.is_corrupt:
                    raise DataError(f"frame {number} of {file} is damaged")
                if number >= first:
                    yield _from_frame(f"frame {number} of {file}", frame, matrix, full_range)
            if number + 1 < stream.frames:
                raise DataError(f"{file} is cut off: it says that it has {stream.frames} frames, "
                                f"and {number + 1} can be read")
    except av.FFmpegError as error:
        raise DataError(f"{file} could not be read as a video: {error.strerror}") from error


def _check_length(file: Path, frame: av.VideoFrame) -> None:
    """FFmpeg passes over a last Y4M frame that is cut off; we do not."""
    with file.open("rb") as stream:
        header = len(stream.readline())
        if stream.readline() != b"FRAME\n":
            return  # frames with parameters have headers of any length
    samples = sum(c.height * c.width * -(-c.bits // 8) for c in frame.format.components)
    whole, rest = divmod(file.stat().st_size - header, len(b"FRAME\n") + samples)
    if rest:
        raise DataError(f"{file} is cut off after {whole} whole frames")


def _from_frame(name: str, frame: av.VideoFrame, matrix, full_range) -> _Frame:
    kind = frame.format
    depth = kind.components[0].bits
    if kind.has_palette or kind.is_bayer or any(c.is_alpha for c in kind.components):
        raise DataError(_unreadable(name, kind.name))
    if kind.is_rgb:
        if depth != 8:
            raise DataError(_unreadable(name, kind.name))
        pixels = frame.to_ndarray(format="rgb24").transpose(2, 0, 1)
        return _Frame((frame.height, frame.width), name, lambda rows, columns: (
            pixels[:, rows, columns].astype(np.float32) / np.float32(255)))
    planar = len({c.plane for c in kind.components}) == len(kind.components)
    if not planar or kind.is_big_endian or len(kind.components) not in (1, 3) or depth < 8:
        raise DataError(_unreadable(name, kind.name))
    if matrix is None and frame.colorspace != UNSPECIFIED and len(kind.components) == 3:
        if frame.colorspace not in STATED_MATRIX:
            raise DataError(f"{name} states color matrix {frame.colorspace} (ITU-T H.273), neither "
                            'BT.601 nor BT.709: matrix="bt709" reads it as if it were that one')
        matrix = STATED_MATRIX[frame.colorspace]
    if full_range is None:
        full_range = frame.color_range == FULL_RANGE or kind.name.startswith("yuvj")
    sample = np.dtype(np.uint8 if depth == 8 else "<u2")
    planes = []
    for c in kind.components:
        plane = frame.planes[c.plane]
        lines = np.frombuffer(plane, sample).reshape(-1, plane.line_size // sample.itemsize)
        planes.append(lines[: c.height, : c.width])
    return _from_planes(name, planes, matrix, full_range, depth)


def _unreadable(name: str, pixel_format: str) -> str:
    return (f"{name} has pixel format {pixel_format}, which c3lite does not read: convert it, for "
            "example with ffmpeg -i IN -pix_fmt yuv420p OUT.mkv")


def _by(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
