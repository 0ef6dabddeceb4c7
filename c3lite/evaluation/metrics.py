"""How good and how large: PSNR, MS-SSIM, bits per pixel, and the BD-rate between two curves.

Everything here is NumPy in float64 and returns Python floats; it measures results and is not meant
to be differentiated or compiled (the training loss is Eq. 4). Images are (3, H, W), videos
(3, T, H, W), values in [0, 1]. A codec's output is rounded to 8 bits before it is measured.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Literal, SupportsFloat

import numpy as np
from jaxtyping import ArrayLike, Float, Shaped

Numbers = Sequence[SupportsFloat] | Shaped[ArrayLike, "..."]
Pixels = Float[ArrayLike, "3 *_"]
"""An image or a video, values in [0, 1]."""

MS_SSIM_EXPONENTS = 0.0448, 0.2856, 0.3001, 0.2363, 0.1333  # from fine to coarse


def mse(image: Pixels, reference: Pixels) -> float:
    """Mean squared error over all channels and pixels of floats in [0, 1]. Raises `ValueError` when
    the shapes differ, an array is empty or not of floats."""
    x, y = _pair(image, reference)
    return float(np.mean(np.square(x - y)))


def psnr(image: Pixels, reference: Pixels) -> float:
    """Peak signal-to-noise ratio, -10 log10(mse), in dB; inf for equal arrays.

    Of several images, average the PSNRs (as the paper does), not the errors: the two differ by up
    to 1 dB. Arguments and errors as for `mse`.
    """
    return _decibels(mse(image, reference))


def mean_frame_psnr(video: Float[ArrayLike, "3 T H W"], reference: Pixels) -> float:
    """The mean over the frames of a video of each frame's PSNR, in dB (the paper's UVG figure).
    Raises `ValueError` as `mse`, and for arrays that are not (3, T, H, W)."""
    x, y = _pair(video, reference)
    if x.ndim != 4:
        raise ValueError(f"a video has shape (3, T, H, W), not {x.shape}")
    errors = np.mean(np.square(x - y), axis=(0, 2, 3))
    return float(np.mean([_decibels(error) for error in errors]))


def quality(reconstruction: Pixels, x: Pixels) -> float:
    """The PSNR that is reported, in dB: of an image `psnr`, of a video `mean_frame_psnr`."""
    return (mean_frame_psnr if np.ndim(x) == 4 else psnr)(reconstruction, x)


def ms_ssim(image: Pixels, reference: Pixels) -> float | None:
    """Multi-scale structural similarity (Wang, Simoncelli and Bovik, 2003): 1 for equal arrays, and
    None below 161 pixels on a side, where the windows do not fit on the coarsest of five scales.

    A read-out beside the PSNR, which is what is optimized. Windows are Gaussians of 11 x 11 with
    sigma 1.5; an odd side repeats its last pixels before it is halved. The mean over channels, and
    over the frames of a video. Errors as for `mse`.
    """
    from scipy.ndimage import correlate1d  # slow to import

    def blurred(v):
        for axis in (-2, -1):
            v = correlate1d(v, gauss, axis)
        return v[..., 5:-5, 5:-5]

    def halved(v):
        height, width = v.shape[-2:]
        v = np.pad(v, [(0, 0)] * (v.ndim - 2) + [(0, height % 2), (0, width % 2)], "edge")
        return (v[..., ::2, ::2] + v[..., 1::2, ::2] + v[..., ::2, 1::2] + v[..., 1::2, 1::2]) / 4

    x, y = _pair(image, reference)
    if min(x.shape[-2:]) < 161:
        return None
    gauss = np.exp(-np.arange(-5, 6) ** 2 / (2 * 1.5**2))
    gauss, product = gauss / gauss.sum(), np.ones(x.shape[:-2])
    for scale, exponent in enumerate(MS_SSIM_EXPONENTS):
        if scale:
            x, y = halved(x), halved(y)
        mean_x, mean_y = blurred(x), blurred(y)
        covariance = blurred(x * y) - mean_x * mean_y
        variances = blurred(x * x) - mean_x**2 + blurred(y * y) - mean_y**2
        similarity = (2 * covariance + 0.03**2) / (variances + 0.03**2)
        if scale == len(MS_SSIM_EXPONENTS) - 1:  # luminance counts on the coarsest scale only
            similarity *= (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        product *= np.maximum(similarity.mean((-2, -1)), 0) ** exponent
    return float(product.mean())


def bpp(bits: SupportsFloat, shape: Sequence[int]) -> float:
    """Bits per pixel: bits over the number of pixels, H·W or T·H·W (not times the 3 channels).
    Raises `ValueError` for a negative or non-finite number of bits, or a shape without pixels."""
    bits = float(bits)
    if not (math.isfinite(bits) and bits >= 0):
        raise ValueError(f"bits is a finite number, at least 0, not {bits}")
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"shape is (H, W) or (T, H, W), all at least 1, not {tuple(shape)}")
    return bits / math.prod(shape)


def bd_rate(rate_bpp: Numbers, psnr_db: Numbers,
            anchor_rate_bpp: Numbers, anchor_psnr_db: Numbers, *,
            method: Literal["cubic", "pchip"] = "cubic") -> float:
    """Bjøntegaard's delta rate: how much more rate than the anchor at equal PSNR, in percent.

    Each curve is fitted as ln(bpp) against PSNR; the mean difference over the range of PSNR that
    both cover, d, gives 100 (e^d - 1). Negative is better than the anchor. The order of a curve's
    points does not matter. A cubic that is not monotonic (more rate for less PSNR) can run away
    between its points: a warning says so, and what pchip gives.

    Args:
        rate_bpp, psnr_db: the curve's points, at least 4 of different PSNR; bpp > 0, PSNR in dB.
        anchor_rate_bpp, anchor_psnr_db: the curve that it is compared with.
        method: "cubic", one least-squares polynomial (VCEG-M33, 2001), which gives the paper's
            figures; "pchip", piecewise cubics through all points, which do not overshoot where
            points are many or uneven, and need different PSNRs.

    Raises `ValueError` for points that are not as above, or curves that share no range of PSNR.
    """
    if method not in ("cubic", "pchip"):
        raise ValueError(f"unknown method {method!r}; choose cubic or pchip")
    quality, log_rate = _curve("the curve", rate_bpp, psnr_db)
    anchor_quality, anchor_log_rate = _curve("the anchor", anchor_rate_bpp, anchor_psnr_db)
    low = max(quality[0], anchor_quality[0])
    high = min(quality[-1], anchor_quality[-1])
    if not low < high:
        raise ValueError(
            f"the curves share no range of PSNR: {quality[0]:.2f} to {quality[-1]:.2f} dB against "
            f"{anchor_quality[0]:.2f} to {anchor_quality[-1]:.2f} dB")
    area, monotonic = _integral(quality, log_rate, low, high, method)
    anchor_area, anchor_monotonic = _integral(anchor_quality, anchor_log_rate, low, high, method)
    with np.errstate(over="ignore"):
        percent = float(100 * np.expm1((area - anchor_area) / (high - low)))
    if not (monotonic and anchor_monotonic):
        which = "the anchor" if monotonic else "the curve"
        try:
            other = bd_rate(rate_bpp, psnr_db, anchor_rate_bpp, anchor_psnr_db, method="pchip")
            other = f'method="pchip" gives {other:,.2f} %'
        except ValueError as error:
            other = str(error)
        warnings.warn(
            f"the cubic of {which} is not monotonic from {low:.2f} to {high:.2f} dB, so that its "
            f"BD-rate, {percent:,.2f} %, may mean little; {other}", stacklevel=2)
    return percent


def _pair(image: ArrayLike, reference: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(image), np.asarray(reference)
    for array in (x, y):
        # 0 ... 255 instead of 0 ... 1 would give a PSNR that is wrong by 48 dB and looks like one.
        if array.dtype.kind in "biuOc":
            raise ValueError(f"values are floats in [0, 1], not {array.dtype}")
    if x.shape != y.shape:
        raise ValueError(f"cannot compare shape {x.shape} with shape {y.shape}")
    if x.size == 0:
        raise ValueError(f"there is no pixel in shape {x.shape}")
    return x.astype(np.float64), y.astype(np.float64)


def _decibels(error: float) -> float:
    return math.inf if error == 0 else -10 * math.log10(error)


def _curve(name: str, rate_bpp: Numbers, psnr_db: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """(PSNR, ln bpp) in the order of PSNR."""
    rate, quality = np.asarray(rate_bpp, np.float64), np.asarray(psnr_db, np.float64)
    if rate.ndim != 1 or rate.shape != quality.shape:
        raise ValueError(
            f"{name} needs one rate for each PSNR, not shapes {rate.shape} and {quality.shape}")
    if not (np.isfinite(rate).all() and np.isfinite(quality).all()):
        raise ValueError(f"{name} has values that are not finite")
    if not (rate > 0).all():
        raise ValueError(f"{name} has a rate of {rate.min():g} bpp; its logarithm is needed")
    if (distinct := len(np.unique(quality))) < 4:
        raise ValueError(f"{name} needs at least 4 points of different PSNR, not {distinct}")
    order = np.lexsort((rate, quality))
    return quality[order], np.log(rate[order])


def _integral(x, y, low: float, high: float, method: str) -> tuple[float, bool]:
    """Of the curve between low and high; and whether it rises all the way, if it is a cubic."""
    if method == "cubic":
        # Polynomial.fit maps x to [-1, 1]: powers of 30 ... 45 dB would be badly conditioned.
        cubic = np.polynomial.Polynomial.fit(x, y, 3)
        primitive, slope = cubic.integ(), cubic.deriv()
        # a parabola's least value is at its ends or where its own slope is 0
        turns = [t for t in slope.deriv().trim().roots().real if low < t < high]
        least = min(slope(t) for t in (low, high, *turns))
        return float(primitive(high) - primitive(low)), bool(least > -1e-9)  # but for rounding
    # Imported here: SciPy is slow to import, and the default does without.
    from scipy.interpolate import PchipInterpolator

    if len(np.unique(x)) < len(x):
        raise ValueError("pchip needs points of different PSNR; cubic does not")
    return float(PchipInterpolator(x, y).integrate(low, high)), True
