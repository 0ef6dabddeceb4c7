"""How many fits the device holds, and about how long they take."""

from __future__ import annotations

import math
import os

import jax

BYTES_FIXED = 700e6
"""Of a process that fits, without the fit (measured on a CPU)."""

BYTES_A_PIXEL = 2200.0
"""Of one fit: 1.5 GB in all were measured for 512x768 on a CPU."""

NANOSECONDS_A_STEP_AND_PIXEL = 460.0
"""On 2 CPU cores: 464 for 128x192 and 696 for 512x768 (tests/benchmarks/RESULTS.md)."""

LARGEST_BATCH = 32


def memory() -> float | None:
    """Bytes that fits may take: free main memory, or the GPU's; None where unknown."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return (device.memory_stats() or {}).get("bytes_limit")
    try:
        with open("/proc/meminfo") as lines:
            sizes = dict(line.split(":") for line in lines)
        return 1024.0 * int(sizes["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return None


def fit_bytes(shape: tuple[int, ...]) -> float:
    """About what one fit of this shape takes, beside `BYTES_FIXED`."""
    return BYTES_A_PIXEL * math.prod(shape)


def check_memory(shape: tuple[int, ...], name: str) -> None:
    """Raise `MemoryError` if one fit does not fit."""
    available, needed = memory(), BYTES_FIXED + fit_bytes(shape)
    if available is not None and needed > available:
        raise MemoryError(
            f"one fit of {name} ({'x'.join(map(str, shape))}) takes about {needed / 1e9:.1f} GB "
            f"and {available / 1e9:.1f} GB are free: use a crop or a machine with more memory")


def batch_size(shape: tuple[int, ...]) -> int:
    """Fits at once: on a CPU one, on a GPU what memory holds."""
    if jax.default_backend() == "cpu":
        return 1
    available = memory()
    if available is None:
        return 1
    return max(1, min(LARGEST_BATCH, int(0.8 * available / fit_bytes(shape))))


def expected_seconds(cost: float) -> float | None:
    """Of fits of this cost (steps times pixels); None where no speed was measured."""
    if jax.default_backend() != "cpu" or (os.cpu_count() or 1) < 2:
        return None
    return cost * NANOSECONDS_A_STEP_AND_PIXEL * 1e-9
