"""How far the picture moves from frame to frame, measured by phase correlation.

A displacement (dx, dy) is where the previous frame shows what is here now:
current[y, x] = previous[y + dy, x + dx]. It is also the offset in the previous latent frame that a
context has to reach, on every grid, because time is halved with space.
"""

import numpy as np
import scipy.fft
from jaxtyping import Float, Int

BT601_LUMA = np.array([0.299, 0.587, 0.114])

Frame = Float[np.ndarray, "3 _height _width"]
Clip = Float[np.ndarray, "3 frames height width"]


def displacement(previous: Frame, current: Frame, reach: int = 32) -> tuple[int, int]:
    """(dx, dy) in whole pixels, within `reach` pixels each way, of the picture as a whole.

    The phases of the two frames' spectra differ by a ramp when one is a shifted copy of the other;
    the inverse transform of the ramp is a peak at the shift (Kuglin and Hines, 1975). Of luma,
    under a Hann window. (0, 0) for two flat frames. Raises ValueError for different shapes.
    """
    surface = correlation(previous, current, reach)
    dy, dx = np.unravel_index(surface.argmax(), surface.shape)
    return int(dx) - surface.shape[1] // 2, int(dy) - surface.shape[0] // 2


def correlation(previous: Frame, current: Frame,
                reach: int = 32) -> Float[np.ndarray, "rows columns"]:
    """The surface whose peak is the `displacement`: entry [ry + dy, rx + dx] belongs to (dx, dy),
    ry and rx being `reach`, or less in frames too small for it. 1 is a perfect match, 0 none.
    Raises ValueError for frames of different shapes."""
    if previous.shape != current.shape or previous.ndim != 3 or previous.shape[0] != 3:
        raise ValueError("two frames (3, height, width) of one shape are compared, not "
                         f"{previous.shape} and {current.shape}")
    height, width = previous.shape[1:]
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    spectra = []
    for frame in (previous, current):
        luma = np.tensordot(BT601_LUMA, frame.astype(np.float64), 1)
        spectra.append(scipy.fft.rfft2((luma - np.average(luma, weights=window)) * window))
    cross = spectra[0] * spectra[1].conj()
    # frequencies without energy have no phase, and do not vote
    size = np.abs(cross)
    cross = np.divide(cross, size, out=np.zeros_like(cross), where=size > 1e-12 * size.max())
    surface = scipy.fft.fftshift(scipy.fft.irfft2(cross, s=(height, width)))
    ry, rx = min(reach, (height - 1) // 2), min(reach, (width - 1) // 2)
    return surface[height // 2 - ry : height // 2 + ry + 1, width // 2 - rx : width // 2 + rx + 1]


def displacements(video: Clip, reach: int = 32) -> Int[np.ndarray, "frames-1 2"]:
    """(dx, dy) between each frame and the one before it; row t - 1 is that of frame t. Raises
    ValueError for anything but (3, frames, height, width)."""
    if video.ndim != 4 or video.shape[0] != 3:
        raise ValueError(f"a clip has shape (3, frames, height, width), not {video.shape}")
    found = [displacement(video[:, t - 1], video[:, t], reach) for t in range(1, video.shape[1])]
    return np.array(found, int).reshape(-1, 2)


def moving_frames(video: Clip, at_least: int = 4) -> Int[np.ndarray, "found"]:
    """The frames (1 is the second) that moved by `at_least` pixels, in x or y."""
    return 1 + np.flatnonzero(np.abs(displacements(video)).max(1) >= at_least)
