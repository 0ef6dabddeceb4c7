"""Videos of your own, read as arrays: Y4M, raw planes, what FFmpeg decodes, folders of pictures."""

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np
from jaxtyping import Float32

from c3lite.data import images, yuv
from c3lite.data.images import DataError
from c3lite.data.patches import by
from c3lite.data.progress import with_bar

PICTURES = (".png", ".bmp", ".tif", ".tiff", ".ppm", ".jpg", ".jpeg", ".webp")
"""Files that count as frames in a folder."""

CLIPS = (".y4m", ".yuv", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mpg",
         ".mpeg", ".wmv", ".flv", ".ogv", ".3gp", ".ivf", ".264", ".h264", ".265", ".h265", ".hevc")
"""Names' ends that the command line takes for clips; `video` looks inside all but `.yuv`."""

RAW_FORMATS = {
    f"{kind}{'' if depth == 8 else f'{depth}le'}": (chroma, depth) for kind, chroma in {
        "yuv420p": (2, 2), "yuv422p": (1, 2), "yuv444p": (1, 1), "gray": None}.items()
    for depth in (8, 10, 12, 16)}
"""Pixel formats of raw files: rows and columns that share a chroma sample, if any, and bits."""

RAW_SIZE = r"(?<!\d)(\d{2,5})[xX](\d{2,5})(?!\d)"  # width x height in a name
RAW_WORDS = (r"(?:yuv|i)?(420|422|444)(?:p(\d*))?(?:le|bits?)?",
             r"(gr[ae]y|400)(?:p?(\d+))?(?:le|bits?)?",
             r"()(\d+)[ _-]?bits?", r"()(8|10|12|14|16)(?:b|le)")
"""What words in a raw file's name say: the kind of its planes, and bits."""

# AVColorSpace's numbers for what the streams say; 2 is "unspecified"
STATED_MATRIX: dict[int, yuv.Matrix] = {1: "bt709", 5: "bt601", 6: "bt601"}
UNSPECIFIED, FULL_RANGE = 2, 2


class _Frame(NamedTuple):
    size: tuple[int, int]
    name: str
    rgb: Callable[[slice, slice], Float32[np.ndarray, "3 height width"]]


def video(
    path: str | os.PathLike[str], *,
    frames: int | None = None, patch: tuple[int, int, int] | None = None,
    start: int | tuple[int, int, int] = 0,
    size: tuple[int, int] | None = None, pixel_format: str | None = None,
    matrix: yuv.Matrix | None = None, full_range: bool | None = None,
    alpha: Literal["refuse", "composite"] = "refuse",
) -> Float32[np.ndarray, "3 frames height width"]:
    """A clip of your own, or a part of it, values in [0, 1].

    `path` is one of

    - a folder of pictures that `image` reads, in the order of the last number in their names, or of
      the names if there are no numbers;
    - `.yuv`: raw planes, frame after frame, whose size, format and depth are stated in the name, as
      in "clip_1920x1080_422_10bit.yuv" or "clip_1920x1080_yuv422p10le.yuv" (without format and
      depth: 4:2:0, 8 bits), or by `size` and `pixel_format`, which overrule it;
    - anything else as FFmpeg decodes it: Y4M, MP4, MKV, ... Planar YUV of 8 to 16 bits (4:2:0,
      4:2:2, 4:4:4), gray, and 8-bit RGB; of the first video stream the frames that players show.

    Colors (`c3lite.data.yuv` has the formulas): the matrix and the range that the file states, or
    else BT.709 from 720 rows on and BT.601 below, and limited range. Each chroma sample serves all
    its pixels, not interpolated; RGB of 8-bit files is rounded to 8 bits. Pixels and frames are
    taken as stored: no deinterlacing, rotation, pixel aspect or frame rate.

    Args:
        frames: how many; None: all from `start` on.
        patch: (frames, height, width), to read only such a part, which begins at `start`.
        start: the first frame, counted from 0, or (frame, y, x).
        size: (height, width) of a raw file.
        pixel_format: of a raw file: yuv420p, yuv422p, yuv444p or gray; with "10le", "12le" or
            "16le" behind it, of so many bits.
        matrix: "bt601" or "bt709", whatever the file states.
        full_range: luma from 0 to 255 (True) or from 16 to 235 (False), whatever the file states.
        alpha: of pictures in a folder, as for `image`.

    Raises FileNotFoundError when there is nothing at `path`; DataError for what is there and cannot
    be read (empty, cut off, damaged, a pipe, another pixel format, frames missing or of different
    sizes); ValueError for a part that is not inside the clip, impossible values, or a raw file
    whose name does not say enough or contradicts itself. Each names the file.
    """
    file = Path(path).expanduser()
    count, rows, columns, first = _part(frames, patch, start)
    if matrix not in (None, *yuv.KR_KB):
        raise ValueError(f'matrix is "bt601" or "bt709", not {matrix!r}')
    if not file.exists():
        raise FileNotFoundError(f"there is no file or folder {file} (looked in {Path.cwd()})")
    if not (file.is_file() or file.is_dir()):
        raise DataError(f"{file} is a pipe or a device; a clip is read from a file or a folder")
    raw = file.is_file() and file.suffix.lower() == ".yuv"
    if size is not None and not raw:
        raise ValueError(f"size is for raw .yuv files; {file} knows its own")
    if file.is_file() and file.stat().st_size == 0:
        raise DataError(f"{file} is empty (0 bytes)")
    if raw:
        source = _raw(file, size, pixel_format, matrix, full_range, first)
    elif file.is_dir():
        source = _folder(file, first, alpha)
    else:
        source = _decoded(file, matrix, full_range, first)

    taken: list[np.ndarray] = []
    whole = None
    for frame in with_bar(islice(source, count), f"reading {file.name}", "frame", count):
        if whole is None:
            whole = frame.size
            if (rows.stop or 0) > whole[0] or (columns.stop or 0) > whole[1]:
                raise ValueError(
                    f"rows {rows.start} to {rows.stop - 1} and columns {columns.start} to "
                    f"{columns.stop - 1} of the patch are not all inside the {by(whole)} of {file}")
        if frame.size != whole:
            raise DataError(f"{frame.name} is {by(frame.size)}, and the frames before it are "
                            f"{by(whole)}: one clip has one size")
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
    if frames is not None and frames < 1:
        raise ValueError(f"a clip has at least one frame, not {frames}")
    if patch is None:
        if y or x:
            raise ValueError(f"a start of {corner} needs a patch: without one, frames are whole")
        return frames, slice(None), slice(None), first
    if len(patch) != 3 or min(patch) < 1:
        raise ValueError(f"patch is (frames, height, width), each at least 1, not {tuple(patch)}")
    if frames not in (None, patch[0]):
        raise ValueError(f"{frames} frames and a patch of {patch[0]} frames exclude each other")
    return patch[0], slice(y, y + patch[1]), slice(x, x + patch[2]), first


def _raw(file, size, pixel_format, matrix, full_range, first) -> Iterator[_Frame]:
    if size is None:
        sizes = {(int(h), int(w)) for w, h in re.findall(RAW_SIZE, file.name)}
        if len(sizes) != 1:
            raise ValueError(f"{file} has no header, and its name states {len(sizes)} sizes: name "
                             "it as in clip_1920x1080.yuv, or give its size=(height, width)")
        size, = sizes
    pixel_format = pixel_format or _stated_format(file)
    if pixel_format not in RAW_FORMATS:
        raise ValueError(f"{file} cannot be read as {pixel_format}: choose one of "
                         f"{', '.join(RAW_FORMATS)}")
    height, width = size
    chroma, depth = RAW_FORMATS[pixel_format]
    down, across = chroma or (1, 1)
    if min(size) < 1 or height % down or width % across:
        raise ValueError(f"{file} cannot be {pixel_format} of {by(size)} (height x width): its "
                         f"sides are multiples of {down} and {across}")
    shapes = [size, *(2 if chroma else 0) * [(height // down, width // across)]]
    frame = np.dtype([(f"plane {n}", "u1" if depth == 8 else "<u2", shape)
                      for n, shape in enumerate(shapes)])
    total, rest = divmod(file.stat().st_size, frame.itemsize)
    if rest:
        raise DataError(
            f"{file} is cut off, or not {pixel_format} of {by(size)} (height x width): after "
            f"{total} whole frames of {frame.itemsize:,} bytes it has {rest:,} bytes more")
    stored = np.memmap(file, frame, "r")
    for t in range(first, total):
        planes = [stored[t][name] for name in frame.names]
        if (most := max(plane.max() for plane in planes)) >= 2**depth:
            raise DataError(f"{file} is not {pixel_format}: frame {t} has a sample of {most}")
        yield _from_planes(f"frame {t} of {file}", planes, matrix, bool(full_range), depth)


def _stated_format(file: Path) -> str:
    """The pixel format that a raw file's name states in whole or in parts ("420", "10bit")."""
    kinds, depths, others = set(), set(), []
    name = re.sub(RAW_SIZE, "_", file.stem.lower())
    for word in re.findall(r"\d+[ _-]?bits?(?![a-z])|[a-z0-9]+", name):
        found = next(filter(None, (re.fullmatch(pattern, word) for pattern in RAW_WORDS)), None)
        if found:
            kind, depth = found.groups()
            if kind:
                kinds.add(f"yuv{kind}p" if kind in ("420", "422", "444") else "gray")
            if depth:
                depths.add(int(depth))
        elif word in ("rgb", "bgr", "yv12") or re.match(r"yuv\d|gr[ae]y\d", word) or (
                # hardware's formats have no bits, and names like "cuda"
                word in av.video.format.names and av.VideoFormat(word).bits_per_pixel):
            others.append(word)
    kind, depth = (*kinds, "yuv420p")[0], (*depths, 8)[0]
    pixel_format = kind if depth == 8 else f"{kind}{depth}le"
    if others or len(kinds) > 1 or len(depths) > 1 or pixel_format not in RAW_FORMATS:
        stated = ", ".join([*others, *sorted(kinds), *(f"{d} bits" for d in sorted(depths))])
        raise ValueError(f"the name of {file} states {stated}, which is not one format that can be "
                         f"read: rename it, or give the pixel_format ({', '.join(RAW_FORMATS)})")
    return pixel_format


def _from_planes(name, planes, matrix, full_range, depth) -> _Frame:
    height, width = planes[0].shape
    chosen = matrix or yuv.assumed_matrix(height)
    return _Frame((height, width), name, lambda rows, columns: yuv.to_rgb(
        planes, chosen, full_range, depth, rows, columns))


def _folder(folder: Path, first: int, alpha) -> Iterator[_Frame]:
    found = sorted(f for f in folder.iterdir()
                   if f.suffix.lower() in PICTURES and not f.name.startswith("."))
    numbers = {f: int(n[-1]) for f in found if (n := re.findall(r"\d+", f.stem))}
    if numbers:
        if other := [file for file in found if file not in numbers]:
            raise DataError(f"{other[0]} has no number, and other pictures beside it have: take it "
                            "out of the folder, or number it")
        found.sort(key=numbers.get)
        steps = [(a, b) for a, b in pairwise(sorted(numbers.values())) if b != a + 1]
        if twice := [a for a, b in steps if a == b]:
            raise DataError(f"{folder} has two frames numbered {twice[0]}")
        # numbers that count mostly go up by one; time stamps, or every tenth frame, lack nothing
        if steps and len(found) - 1 > 2 * len(steps):
            gaps = ", ".join(f"{a + 1}" if b == a + 2 else f"{a + 1} to {b - 1}"
                             for a, b in steps[:5]) + (", ..." if len(steps) > 5 else "")
            raise DataError(f"{folder} has frames {numbers[found[0]]} to {numbers[found[-1]]} "
                            f"without {gaps}: put them there, or number the others without a gap")
    for file in found[first:]:
        picture = images.image(file, alpha)
        yield _Frame(picture.shape[1:], str(file),
                     lambda rows, columns, picture=picture: picture[:, rows, columns])


def _decoded(file: Path, matrix, full_range, first) -> Iterator[_Frame]:
    try:
        # absolute: "12:30.y4m" alone would be a protocol called 12
        with av.open(str(file.absolute())) as container:
            if not container.streams.video:
                raise DataError(f"{file} has no video in it")
            stream = container.streams.video[0]
            codec = stream.codec_context
            if codec is None:
                raise DataError(f"{file} is of a codec that FFmpeg does not know")
            # With threads for frames, FFmpeg keeps errors to itself, and closing waits for ever if
            # PyAV's log is on. One thread costs nothing: RGB takes longer than decoding.
            codec.thread_count = 1
            frames, number = _check_length(file, container.format.name.split(",")[0], codec), 0
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise DataError(f"{file} is cut off or damaged after {number} frames")
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise DataError(f"frame {number} of {file} is damaged")
                    if number >= first:
                        yield read_frame(f"frame {number} of {file}", frame, matrix, full_range)
                    number += 1
                if number == frames:
                    return
    except av.FFmpegError as error:
        raise DataError(f"{file} could not be read as a video: {error.strerror}") from None


def _check_length(file: Path, container: str, codec: av.VideoCodecContext) -> int | None:
    """Walk through a file whose parts state their lengths, as FFmpeg does not mind a cut in them.

    Returns the number of frames of a Y4M file, else None. (What others state is no help: it counts
    gaps, and what an edit list hides. Of MPEG and Flash, a cut is seen where it damages a frame.)
    """
    at, parts, size, head = 0, 0, file.stat().st_size, b""
    with file.open("rb") as content:
        while at < size:
            content.seek(at)
            head = content.read(256)
            if (part := _part_bytes(container, head, codec)) is None:
                break
            at, parts = at + part, parts + 1
    if at > size or head[4:8] == b"moof":  # such a box is the table of contents of a next one
        raise DataError(f"{file} is cut off: it has {size:,} bytes, and its parts state "
                        "that there are more")
    return parts - 1 if container == "yuv4mpegpipe" else None


def _part_bytes(container: str, head: bytes, codec: av.VideoCodecContext) -> int | None:
    """Of the outermost part of a file that begins with `head`; None where it does not say."""
    if container == "mov":
        if len(head) < 8:
            return 8
        length = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4])
        # 0: up to the end; no name, no box: some programs leave zeros there
        return length if length and head[4:8].isalnum() else None
    if container == "avi" and head[:4] == b"RIFF":
        length = int.from_bytes(head[4:8], "little")
        return 8 + length if 0 < length < 2**32 - 1 else None
    if container == "matroska" and head[:4] in (b"\x1aE\xdf\xa3", b"\x18S\x80g"):
        width = 9 - head[4].bit_length()  # behind the name of header or segment
        length = int.from_bytes(head[4 : 4 + width]) - (1 << 7 * width)
        return 4 + width + length if length < (1 << 7 * width) - 1 else None
    if container == "yuv4mpegpipe" and head.strip():  # else blank lines after the last frame
        samples = sum(c.height * c.width * -(-c.bits // 8) for c in codec.format.components)
        line = head.split(b"\n")[0]
        return len(line) + 1 + (samples if line.startswith(b"FRAME") else 0)
    return None


def read_frame(name: str, frame: av.VideoFrame, matrix, full_range) -> _Frame:
    kind, parts = frame.format, frame.format.components
    depth = parts[0].bits
    planar = len({c.plane for c in parts}) == len(parts) in (1, 3) and not kind.is_big_endian
    if kind.has_palette or kind.is_bayer or any(c.is_alpha for c in parts) or not (
            depth == 8 if kind.is_rgb else planar and depth >= 8):
        raise DataError(f"{name} has pixel format {kind.name}, which c3lite does not read: convert "
                        "it, for example with ffmpeg -i IN -pix_fmt yuv420p OUT.mkv")
    if kind.is_rgb:
        pixels = frame.to_ndarray(format="rgb24").transpose(2, 0, 1)
        return _Frame((frame.height, frame.width), name, lambda rows, columns: (
            pixels[:, rows, columns].astype(np.float32) / np.float32(255)))
    if matrix is None and frame.colorspace != UNSPECIFIED and len(parts) == 3:
        if frame.colorspace not in STATED_MATRIX:
            raise DataError(f"{name} states color matrix {frame.colorspace} (ITU-T H.273), neither "
                            'BT.601 nor BT.709: matrix="bt709" (--matrix bt709 on the command '
                            "line) reads it as if it were that one")
        matrix = STATED_MATRIX[frame.colorspace]
    if full_range is None:
        full_range = frame.color_range == FULL_RANGE or kind.name.startswith("yuvj")
    sample = np.dtype(np.uint8 if depth == 8 else "<u2")
    planes = []
    for c in parts:
        plane = frame.planes[c.plane]
        lines = np.frombuffer(plane, sample).reshape(-1, plane.line_size // sample.itemsize)
        planes.append(lines[: c.height, : c.width])
    return _from_planes(name, planes, matrix, full_range, depth)
