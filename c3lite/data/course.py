"""How large a lesson runs: small enough for automatic checks, for two CPU cores, or for a GPU.

    STEPS = course.pick(fast=30, cpu=course.STEPS, gpu=10_000)
    photo = course.picture(course.pick((32, 48), course.SIZE, None))
    course.scoreboard("02", {"C3": fit})
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax
import numpy as np
from jaxtyping import Float

from c3lite.data.atomic import write_atomically
from c3lite.data.images import crop, kodak

T = TypeVar("T")

SIZE, RD_WEIGHT, STEPS = (128, 192), 1e-3, 1000
"""The course's window (rows, columns), price of a bit per pixel, steps (stage 2: a tenth)."""


def scale() -> Literal["fast", "cpu", "gpu"]:
    """"fast" where the environment has `C3LITE_FAST=1`; else "gpu" where JAX has one, or "cpu"."""
    if os.environ.get("C3LITE_FAST") == "1":
        return "fast"
    return "cpu" if jax.default_backend() == "cpu" else "gpu"


def pick(fast: T, cpu: T, gpu: T) -> T:
    """The one of three values that belongs to `scale()`."""
    return {"fast": fast, "cpu": cpu, "gpu": gpu}[scale()]


def window(picture: Float[np.ndarray, "3 height width"], y: int, x: int,
           size: tuple[int, int] | None) -> Float[np.ndarray, "3 rows columns"]:
    """The window of `size` (rows, columns) at row y and column x, or for None the whole picture.
    Raises `ValueError` for a window that is not inside."""
    return picture if size is None else crop(picture, y, x, *size)


def picture(size: tuple[int, int] | None = SIZE) -> Float[np.ndarray, "3 rows columns"]:
    """The one picture, brick and picket fences of Kodak 19; for `size` None the whole photo."""
    return window(kodak(19), 384, 160, size)


def your_guess(guess: Any, unit: str = "") -> None:
    """Print a learner's guess beside what came out; where there is none, nothing."""
    if guess is not None:
        print(f"your guess: {guess} {unit}".rstrip())


def scoreboard(lesson: str, fits: Mapping[str, Any] | None = None,
               folder: str | os.PathLike = "results") -> None:
    """Print what the course's picture has come down to, up to a lesson, and add what was run.

    Args:
        lesson: the first two or three characters of its file name, "01b" for example.
        fits: by the names of the rows; fits, or pairs of bits per pixel and PSNR in dB.
        folder: has `scoreboard.json`, the course's own fits, and keeps the learner's, where they
            are of the course's length, in `yours.json`.

    The loss is MSE + `RD_WEIGHT` bpp, the networks' bits counted; ± is half the seeds' range.
    """
    def loss(point):
        bpp, psnr_db = point if isinstance(point, tuple) else (point.bpp_estimate, point.psnr)
        return 1e4 * (10 ** (-psnr_db / 10) + RD_WEIGHT * bpp)

    ours = json.loads(Path(folder, "scoreboard.json").read_text("utf-8"))
    if unknown := (fits or {}).keys() - ours.keys():
        raise ValueError(f"the scoreboard has no {', '.join(unknown)}; it has {', '.join(ours)}")
    kept, yours = Path(folder, "yours.json"), {}
    if scale() == "cpu":  # other pictures and lengths are not to be compared
        yours = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
        yours |= {name: loss(point) for name, point in (fits or {}).items()}
        write_atomically(kept, lambda file: file.write(json.dumps(yours).encode()))
    print(f"{'lesson':8}{'':32}{'bpp':>6}{'PSNR':>9}   loss × 10⁴   yours")
    for name, row in ours.items():
        if row["lesson"] <= lesson:
            points = list(map(tuple, row["bpp_psnr_db"])) or [(np.nan, np.nan)]
            (bpp, psnr_db), losses = np.mean(points, axis=0), list(map(loss, points))
            print(f"{row['lesson']:8}{name:32}{bpp:6.3f}{psnr_db:6.2f} dB{np.mean(losses):9.2f} ± "
                  f"{np.ptp(losses) / 2:4.2f}" + (f"{yours[name]:8.2f}" if name in yours else ""))
