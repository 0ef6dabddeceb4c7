"""Between the stored planes of a video and RGB: luma and chroma of BT.601 or BT.709.

Exact arithmetic in NumPy instead of a scaler's tables, so that a test can invert it. By ITU-R
BT.601 and BT.709, Y = Kr R + Kg G + Kb B, Cb = (B - Y) / (2 - 2 Kb), Cr = (R - Y) / (2 - 2 Kr).
With d bits and s = 2**(d-8), limited range stores 16 s + 219 s Y and 128 s + 224 s C; full range
(JPEG's) stores (2**d - 1) Y and 2**(d-1) + (2**d - 1) C.

A chroma sample of a 2x2 block (4:2:0) serves all its pixels, and is their mean on the way back, so
that planes -> RGB -> planes loses nothing, and a codec that works on planes gets the file's own.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Shaped, UInt8

Matrix = Literal["bt601", "bt709"]

KR_KB: dict[str, tuple[float, float]] = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""Weights of red and blue in luma."""


def assumed_matrix(height: int) -> Matrix:
    """BT.709 from 720 rows on, BT.601 below: what players assume where a file does not say."""
    return "bt709" if height >= 720 else "bt601"


def to_rgb(planes: Sequence[Shaped[np.ndarray, "..."]], matrix: Matrix, full_range: bool,
           depth: int = 8, rows: slice = slice(None),
           columns: slice = slice(None)) -> Float32[np.ndarray, "3 height width"]:
    """RGB in [0, 1] of one frame's planes: Y, Cb, Cr, or Y alone (gray).

    Colors outside RGB are clipped. From 8-bit planes the result is rounded to multiples of 1/255,
    what a screen shows; deeper ones are not rounded.

    Args:
        planes: (H, W) luma, then two of chroma, ceil(H / k) x ceil(W / l) for whole k and l;
            unsigned integers of `depth` bits.
        rows, columns: the part of the picture wanted, all of it without.
    """
    height, width = planes[0].shape
    row, column = np.arange(height)[rows], np.arange(width)[columns]

    def part(plane):
        down, across = -(-height // plane.shape[0]), -(-width // plane.shape[1])
        return plane[np.ix_(row // down, column // across)].astype(np.float64)

    scale, top = 2 ** (depth - 8), 2**depth - 1
    black, luma_range, chroma_range = (
        (0, top, top) if full_range else (16 * scale, 219 * scale, 224 * scale))
    y = (part(planes[0]) - black) / luma_range
    if len(planes) == 1:
        rgb = np.stack([y, y, y])
    else:
        cb, cr = ((part(plane) - 128 * scale) / chroma_range for plane in planes[1:])
        kr, kb = KR_KB[matrix]
        red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
        rgb = np.stack([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue])
    rgb = np.clip(rgb, 0, 1)
    if depth == 8:
        return np.rint(255 * rgb).astype(np.float32) / np.float32(255)
    return rgb.astype(np.float32)


def to_planes(rgb: Float[np.ndarray, "3 height width"], matrix: Matrix,
              full_range: bool) -> tuple[UInt8[np.ndarray, "..."], ...]:
    """Y, Cb and Cr of one frame, 8 bits, 4:2:0: the inverse of `to_rgb`, rounded. Each chroma
    sample is the mean over a 2x2 block. Raises ValueError for odd sides."""
    _, height, width = rgb.shape
    if height % 2 or width % 2:
        raise ValueError(f"4:2:0 needs even sides, not {height} x {width}")
    red, green, blue = rgb.astype(np.float64)
    kr, kb = KR_KB[matrix]
    y = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    halves = [c.reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for c in (cb, cr)]
    black, luma_range, chroma_range = (0, 255, 255) if full_range else (16, 219, 224)
    stored = [black + luma_range * y, *(128 + chroma_range * c for c in halves)]
    return tuple(np.clip(np.rint(plane), 0, 255).astype(np.uint8) for plane in stored)
