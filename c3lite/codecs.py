"""Classic codecs on the same pixels: JPEG, WebP and AVIF, as Pillow's libraries encode them.

The image is rounded to 8 bits, encoded in memory, decoded again, and the PSNR is measured on what
comes back. A file is counted with its headers, and nothing else is put into it. Settings:

- JPEG (libjpeg-turbo): 4:4:4 chroma, baseline, optimized Huffman tables.
- WebP (libwebp): lossy, whose chroma is always 4:2:0, so PSNR ends near 43 dB; slowest method.
- AVIF (libavif): 4:4:4 chroma, speed 4 of 0 (slowest) to 10: seconds for 768×512 on 2 cores.

Small pictures pay for headers: some 280 bytes in a JPEG, 300 in an AVIF, 30 in a WebP.
"""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import index as as_index
from typing import Any, SupportsIndex

import numpy as np
import PIL.features
import PIL.Image
from jaxtyping import ArrayLike, Float, Float32

from c3lite import metrics


@dataclass(frozen=True, eq=False)
class Coded:
    """An image as a codec left it.

    Attributes:
        codec: "jpeg", "webp" or "avif".
        quality: as given to the codec; its scale is the codec's own.
        data_bytes: size of the whole file.
        bpp: 8 · data_bytes / (H · W).
        psnr: of the reconstruction against the image, in dB.
        reconstruction: the decoded image, (3, H, W), in [0, 1], multiples of 1/255.
    """

    codec: str
    quality: int
    data_bytes: int
    bpp: float
    psnr: float
    reconstruction: Float32[np.ndarray, "3 H W"] = field(repr=False)


def jpeg(image: Float[ArrayLike, "3 H W"], quality: SupportsIndex) -> Coded:
    """JPEG, 4:4:4.

    Args:
        image: values in [0, 1].
        quality: 1 (smallest) to 100, libjpeg's scale.

    Raises:
        ValueError: for another shape or type, values that are not in [0, 1], or another quality.
    """
    return _code("JPEG", image, _quality(quality, 1), subsampling=0, optimize=True)


def webp(image: Float[ArrayLike, "3 H W"], quality: SupportsIndex) -> Coded:
    """Lossy WebP, 4:2:0, at most 16383 pixels a side. As `jpeg`, with quality 0 to 100.

    Raises:
        RuntimeError: when Pillow was built without WebP.
    """
    return _code("WEBP", image, _quality(quality, 0), method=6)


def avif(image: Float[ArrayLike, "3 H W"], quality: SupportsIndex) -> Coded:
    """AVIF, 4:4:4. As `jpeg`, with quality 0 to 100.

    Raises:
        RuntimeError: when Pillow was built without AVIF (its wheels have it since 11.3).
    """
    return _code("AVIF", image, _quality(quality, 0), subsampling="4:4:4", speed=4)


def rd_curve(
    image: Float[ArrayLike, "3 H W"],
    codec: Callable[[Any, int], Coded],
    qualities: Iterable[SupportsIndex] = (5, 15, 30, 50, 70, 85, 95),
) -> list[Coded]:
    """One image at several qualities, in the order given.

    Args:
        image: (3, H, W), values in [0, 1].
        codec: one of this module's, for example `jpeg`.
        qualities: the codec's own.

    Raises:
        ValueError, RuntimeError: as the codec does.
    """
    return [codec(image, quality) for quality in qualities]


def _code(form: str, image: ArrayLike, quality: int, **settings: Any) -> Coded:
    x = np.asarray(image)
    if x.ndim != 3 or x.shape[0] != 3 or x.size == 0 or x.dtype.kind in "biuOc":
        raise ValueError(f"an image is floats of shape (3, H, W), not {x.dtype} of {x.shape}")
    if not (x.min() >= 0 and x.max() <= 1):  # false for NaN, too
        raise ValueError("the image's values are in [0, 1], and these are not")
    if not PIL.features.check({"JPEG": "jpg"}.get(form, form.lower())):
        raise RuntimeError(
            f"this Pillow ({PIL.__version__}) was built without {form}; install a newer Pillow"
        )
    pixels = np.round(255 * x.astype(np.float64)).astype(np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels.transpose(1, 2, 0)).save(file, form, quality=quality, **settings)
    with PIL.Image.open(file) as decoded:
        back = np.asarray(decoded.convert("RGB")).transpose(2, 0, 1)
    reconstruction = back.astype(np.float32) / np.float32(255)
    size = len(file.getbuffer())
    return Coded(
        codec=form.lower(),
        quality=quality,
        data_bytes=size,
        bpp=metrics.bpp(8 * size, x.shape[1:]),
        psnr=metrics.psnr(reconstruction, x),
        reconstruction=reconstruction,
    )


def _quality(quality: Any, lowest: int) -> int:
    # Pillow would clip it in silence, or take it for another setting.
    try:
        value = as_index(quality)
    except TypeError:
        raise ValueError(f"a quality is an integer, not {quality!r}") from None
    if not lowest <= value <= 100:
        raise ValueError(f"a quality is from {lowest} to 100, not {value}")
    return value
