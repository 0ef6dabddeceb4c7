"""What this machine can fit at once, how many processes that takes, and about how long."""

import math
import os
import platform
import subprocess

import jax
import psutil

from c3lite.arrays import fused
from c3lite.arrays.blocks import on_cpu

BYTES_FIXED = 700e6  # of a process that fits, without the fit (measured on a CPU)
BYTES_A_PIXEL = {"cpu": 2200.0, "gpu": 1400.0}
"""Of a fit: 1.5 GB in all on a CPU for 512x768; on a GPU 360 to 1,330 (results/gpu_compiled.md)."""

NANOSECONDS_A_STEP_AND_PIXEL = 460.0
"""On 2 CPU cores: 464 for 128x192 and 696 for 512x768 (tests/benchmarks/RESULTS.md)."""

LARGEST_BATCH = 32


def name() -> str:
    """This machine's, as results have it; of a GPU with the precision of its products, but for the
    networks' where they have kernels (`fused.PRODUCTS`)."""
    if on_cpu():
        return f"{os.cpu_count()} CPU cores ({platform.machine()})"
    precision = jax.config.jax_default_matmul_precision or "float32"
    return f"{jax.devices()[0].device_kind}, {precision}{', fused kernels' * fused.works()}"


def memory() -> float | None:
    """Bytes that fits may take: free main memory, or the GPU's; None where unknown."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return float(psutil.virtual_memory().available)
    return (device.memory_stats() or {}).get("bytes_limit")


def process_bytes(shape: tuple[int, ...], batch: int = 1) -> float:
    """About what a process takes that has so many fits of this shape at once."""
    return BYTES_FIXED + batch * BYTES_A_PIXEL["cpu" if on_cpu() else "gpu"] * math.prod(shape)


def check_memory(shape: tuple[int, ...], name: str) -> None:
    """Raise `MemoryError` if one fit does not fit."""
    available, needed = memory(), process_bytes(shape)
    if available is not None and needed > available:
        raise MemoryError(
            f"one fit of {name} ({'x'.join(map(str, shape))}) takes about {needed / 1e9:.1f} GB "
            f"and {available / 1e9:.1f} GB are free: use a crop or a machine with more memory")


def batch_size(shape: tuple[int, ...], gpu_bytes: float | None = None) -> int:
    """Fits at once in one process: one on a CPU, on a GPU as many as its memory holds, which is
    `gpu_bytes` where another process will use it."""
    if gpu_bytes is None and (on_cpu() or (gpu_bytes := memory()) is None):
        return 1
    a_fit = BYTES_A_PIXEL["gpu"] * math.prod(shape)
    return max(1, min(LARGEST_BATCH, int(0.8 * gpu_bytes / a_fit)))


def gpu_memory() -> float | None:
    """Bytes of the smallest NVIDIA GPU here, which JAX is not asked of; None where unknown."""
    listed = answer("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
    sizes = [float(line) * 2**20 for line in (listed or "").split() if line.isdecimal()]
    return min(sizes, default=None)


def cores() -> int:
    """CPU cores that this process may use."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        count = os.cpu_count() or 1
    return min(count, int(os.environ.get("SLURM_CPUS_ON_NODE", count)))


def cpu_workers(shape: tuple[int, ...], batch: int = 1) -> int:
    """Processes of one thread that fit side by side: one a core, as far as memory goes."""
    return max(1, int(min(cores(), (memory() or math.inf) / process_bytes(shape, batch))))


def one_thread() -> dict[str, str]:
    """The environment of a process whose fits take one CPU core. It keeps freed memory (of glibc):
    returned, and taken again in every step, it costs a whole photo's fit a fifth of its time."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"
    return {"XLA_FLAGS": flags.strip(), "NPROC": "1", "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_MAX_": "0",
            "MALLOC_TRIM_THRESHOLD_": str(2**34)}


def visible_gpus() -> list[str]:
    """Names for CUDA_VISIBLE_DEVICES of the NVIDIA GPUs that this process may use. Asks
    `nvidia-smi`, because JAX, once asked, keeps memory on every GPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name and name != "-1"]
    listed = answer("nvidia-smi", "--list-gpus") or ""
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]


def answer(*command: str) -> str | None:
    """What a command prints; None where it is not there, fails, or takes longer than a minute."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60,
                              check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def expected_seconds(cost: float) -> float | None:
    """Of so many steps times pixels; None where no speed was measured."""
    if not on_cpu() or (os.cpu_count() or 1) < 2:
        return None
    return cost * NANOSECONDS_A_STEP_AND_PIXEL * 1e-9
