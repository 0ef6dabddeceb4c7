"""How large a lesson runs: small enough for automatic checks, for two CPU cores, or for a GPU.

    STEPS = course.pick(fast=30, cpu=1000, gpu=10_000)
    photo = course.window(c3lite.data.kodak(23), 176, 104, course.pick((32, 48), (96, 128), None))

On a GPU the lessons take whole pictures and more steps; `C3LITE_FAST=1` makes them short.
"""

from __future__ import annotations

import os
from typing import Literal, TypeVar

import jax
import numpy as np
from jaxtyping import Float

from c3lite.data import crop

T = TypeVar("T")


def scale() -> Literal["fast", "cpu", "gpu"]:
    """"fast" where the environment has `C3LITE_FAST=1`; else "gpu" where JAX has one, or "cpu"."""
    if os.environ.get("C3LITE_FAST") == "1":
        return "fast"
    return "cpu" if jax.default_backend() == "cpu" else "gpu"


def pick(fast: T, cpu: T, gpu: T) -> T:
    """The one of three values that belongs to `scale()`."""
    return {"fast": fast, "cpu": cpu, "gpu": gpu}[scale()]


def window(
    picture: Float[np.ndarray, "3 height width"], y: int, x: int, size: tuple[int, int] | None
) -> Float[np.ndarray, "3 rows columns"]:
    """The window of `size` (rows, columns) at row y and column x; all of it where `size` is None.

    Raises `ValueError` for a window that is not inside the picture.
    """
    return picture if size is None else crop(picture, y, x, *size)
