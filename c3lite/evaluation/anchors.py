"""Classic codecs on the same pixels: JPEG, WebP and AVIF for images, HEVC for videos.

The image is rounded to 8 bits, encoded in memory and decoded, and the PSNR is of what comes back. A
file counts with its headers, and holds nothing else. Settings (Pillow's libraries, PyAV's libx265):

- JPEG (libjpeg-turbo): 4:4:4 chroma, baseline, optimized Huffman tables.
- WebP (libwebp): lossy, whose chroma is always 4:2:0, so PSNR ends near 43 dB; slowest method.
- AVIF (libavif): 4:4:4 chroma, speed 4 of 0 (slowest) to 10: seconds for 768×512 on 2 cores.
- HEVC (libx265): 4:2:0 chroma, preset "medium", no B-frames, constant QP: see `hevc`.

Small pictures pay for headers: some 280 bytes in a JPEG, 300 in an AVIF, 30 in a WebP.
"""

import io
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from operator import index as as_index
from typing import Any, SupportsIndex

import av
import numpy as np
import PIL.Image
from jaxtyping import ArrayLike, Float, Float32

from c3lite.data import images, videos, yuv
from c3lite.data.progress import with_bar
from c3lite.evaluation import metrics

Image = Float[ArrayLike, "3 H W"]
"""Floats in [0, 1]."""
FPS = 30  # written into HEVC's streams, where it changes nothing else


@dataclass(frozen=True, eq=False)
class Coded:
    """An image or a video as a codec left it."""

    codec: str
    """"jpeg", "webp", "avif" or "hevc"."""
    quality: int
    """As given to the codec; its scale is the codec's own (HEVC's QP: small is good)."""
    data_bytes: int
    """Of the whole file, or stream."""
    bpp: float
    psnr: float
    """Of the reconstruction against the image, in dB; of a video, the mean over its frames."""
    reconstruction: Float32[np.ndarray, "3 *shape"] = field(repr=False)
    """What was decoded, in [0, 1], multiples of 1/255."""


def _coded(codec, quality, data_bytes, reconstruction, x) -> Coded:
    return Coded(codec, quality, data_bytes, metrics.bpp(8 * data_bytes, x.shape[1:]),
                 metrics.quality(reconstruction, x), reconstruction)


def jpeg(image: Image, quality: SupportsIndex) -> Coded:
    """JPEG, 4:4:4, of libjpeg's quality 1 (smallest) to 100. Raises `ValueError` for a wrong shape,
    type, quality or values outside [0, 1], `TypeError` for a quality that is no integer."""
    return _code("JPEG", image, _quality(quality, 1), subsampling=0, optimize=True)


def webp(image: Image, quality: SupportsIndex) -> Coded:
    """Lossy WebP, 4:2:0, at most 16383 pixels a side. As `jpeg`, with quality 0 to 100."""
    return _code("WEBP", image, _quality(quality, 0), method=6)


def avif(image: Image, quality: SupportsIndex) -> Coded:
    """AVIF, 4:4:4. As `webp`."""
    return _code("AVIF", image, _quality(quality, 0), subsampling="4:4:4", speed=4)


def rd_curve(image: Image, codec: Callable[[Any, int], Coded],
             qualities: Iterable[SupportsIndex] = (5, 15, 30, 50, 70, 85, 95)) -> list[Coded]:
    """One image at several qualities, in their order. Raises what `codec`, say `jpeg`, does."""
    return [codec(image, quality) for quality in qualities]


def at_bpp(image: Image, codec: Callable[[Any, int], Coded], bpp: float | int) -> Coded:
    """The file nearest to a rate, for a comparison at equal rates: `at_bpp(photo, jpeg, fit.bpp)`.

    Bisects over the qualities 1 to 100, with which the rate rises (WebP's by and large), by the
    ratio of the rates. Beyond a codec's smallest or largest rate it is that one, so look at the
    result's `bpp`. Raises what `codec` does, and `ValueError` for a rate that is not positive.
    """
    if not (math.isfinite(bpp) and bpp > 0):
        raise ValueError(f"a rate is a positive number of bits per pixel, not {bpp}")
    low, high, tried = 1, 100, []
    while low <= high:
        quality = (low + high) // 2
        tried.append(codec(image, quality))
        if tried[-1].bpp < bpp:
            low = quality + 1
        else:
            high = quality - 1
    return min(tried, key=lambda coded: abs(math.log(coded.bpp / bpp)))


def hevc(video: Float[ArrayLike, "3 T H W"],
         qps: Iterable[SupportsIndex] = (22, 27, 32, 37)) -> list[Coded]:
    """HEVC as the paper's anchor: libx265, preset medium, no B-frames; one point a QP.

    What `ffmpeg -i CLIP -pix_fmt yuv420p -c:v libx265 -preset medium -qp QP -x265-params
    bframes=0:info=0 -f hevc OUT` does. Every byte of the stream counts; info=0 leaves out the
    kilobyte in which x265 describes itself. The paper names no QP, nor a quality (CRF) instead.

    RGB becomes 4:2:0 planes and comes back by `c3lite.data.yuv`, in limited range, BT.709 from 720
    rows on and else BT.601: the codec sees the very planes of a file read with this matrix.

    Raises `ValueError` unless values are in [0, 1], H and W even, 16 or more, QPs 0 (best) to 51.
    """
    x = _pixels(video, "a video", "(3, T, H, W)", 4)
    return [_coded("hevc", qp, len(stream), np.stack(list(decoded), axis=1), x)
            for qp, stream, decoded in _hevc(np.moveaxis(x, 1, 0), qps)]


def hevc_curve(frames: Callable[[], Iterable[Float[np.ndarray, "3 H W"]]],
               qps: Iterable[SupportsIndex] = (22, 27, 32, 37)) -> tuple[list[float], list[float]]:
    """Bits per pixel and PSNR of `hevc` at each QP, for a clip that need not fit into memory.
    `frames` gives the clip from its first frame on, each time it is called. Else as `hevc`."""
    rates, psnrs = [], []
    for _, stream, decoded in _hevc(frames(), qps):
        errors = [(metrics.psnr(ours, theirs), theirs.shape[1:])
                  for ours, theirs in zip(decoded, frames(), strict=True)]
        rates.append(metrics.bpp(8 * len(stream), (len(errors), *errors[0][1])))
        psnrs.append(float(np.mean([error for error, _ in errors])))
    return rates, psnrs


def _hevc(frames, qps) -> Iterator[tuple[int, bytes, Iterator[np.ndarray]]]:
    """For each QP the stream, and its decoded frames."""
    qps = [_quality(qp, 0, 51) for qp in qps]
    planes = []
    for frame in frames:
        height, width = _pixels(frame, "a frame", "(3, H, W)", 3).shape[1:]
        if height % 2 or width % 2 or min(height, width) < 16:
            raise ValueError("HEVC in 4:2:0 needs even sides of at least 16, not "
                             f"{height} x {width}: crop the clip")
        matrix = yuv.assumed_matrix(height)
        rounded = np.round(255 * frame.astype(np.float64)) / 255
        planes.append(yuv.to_planes(rounded, matrix, False))
    for qp in with_bar(qps, "HEVC", "QP"):
        stream = _encode_hevc(planes, qp)
        yield qp, stream, _decode_hevc(stream, matrix)


def _encode_hevc(planes: list[tuple[np.ndarray, ...]], qp: int) -> bytes:
    """The stream (Annex B) of 8-bit 4:2:0 frames."""
    height, width = planes[0][0].shape
    encoder = av.CodecContext.create("libx265", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, FPS), Fraction(FPS)
    # one frame at a time: the stream does not depend on the number of processors
    encoder.options = {"preset": "medium", "qp": str(qp),
                       "x265-params": "bframes=0:info=0:frame-threads=1:log-level=none"}
    packets = []
    for t, (y, cb, cr) in enumerate(planes):
        stacked = np.concatenate([plane.ravel() for plane in (y, cb, cr)])
        frame = av.VideoFrame.from_ndarray(stacked.reshape(-1, width), format="yuv420p")
        frame.pts = t
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return b"".join(map(bytes, packets))


def _decode_hevc(stream: bytes, matrix: yuv.Matrix) -> Iterator[np.ndarray]:
    """The frames of a stream, as `c3lite.data.video` reads it."""
    with av.open(io.BytesIO(stream), format="hevc") as container:
        for frame in container.decode(video=0):
            yield videos.read_frame("a frame", frame, matrix, False).rgb(slice(None), slice(None))


def _code(form: str, image: ArrayLike, quality: int, **settings: Any) -> Coded:
    x = _pixels(image, "an image", "(3, H, W)", 3)
    file = io.BytesIO()
    images.to_pillow(x.astype(np.float64)).save(file, form, quality=quality, **settings)
    with PIL.Image.open(file) as decoded:
        back = np.asarray(decoded.convert("RGB")).transpose(2, 0, 1)
    reconstruction = back.astype(np.float32) / np.float32(255)
    return _coded(form.lower(), quality, len(file.getbuffer()), reconstruction, x)


def _pixels(given: ArrayLike, kind: str, shape: str, axes: int) -> np.ndarray:
    x = np.asarray(given)
    if x.ndim != axes or x.shape[0] != 3 or x.size == 0 or x.dtype.kind in "biuOc":
        raise ValueError(f"{kind} is floats of shape {shape}, not {x.dtype} of {x.shape}")
    if not (x.min() >= 0 and x.max() <= 1):  # false for NaN, too
        raise ValueError(f"the values of {kind} are in [0, 1], and these are not")
    return x


def _quality(quality: SupportsIndex, lowest: int, highest: int = 100) -> int:
    value = as_index(quality)
    if not lowest <= value <= highest:  # Pillow would clip it in silence
        raise ValueError(f"a quality is from {lowest} to {highest}, not {value}")
    return value
