"""What to run first on a GPU: `make gpu-first-run` checks it and measures it, in a few minutes.

It compares twenty steps' losses with those of the CPU, looks whether a fit repeats to the bit, and
measures steps and memory of single and of batched fits. The page it writes is
ablations/results/gpu.md.
"""

import argparse
import concurrent.futures
import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np

import c3lite as c3
from c3lite.ablation import devices
from c3lite.arrays import fused
from c3lite.fitting import batch, loop, training
from c3lite.fitting.training import plain_jax

PAGE = Path(__file__).parents[2] / "ablations" / "results" / "gpu.md"
PHOTO, CROP = (512, 768), (128, 192)
PRESETS = {"C3": c3.C3, "C3_FAST": c3.C3_FAST}
STEPS = 20


def programs() -> dict[str, tuple]:
    """What is measured: name to preset, shape, fits in a batch (0: a single fit)."""
    single = {f"{name}, one photo": (preset, PHOTO, 0) for name, preset in PRESETS.items()}
    many = {f"{name}, {n} photos": (PRESETS[name], PHOTO, n)
            for name, n in (("C3", 8), ("C3_FAST", 8), ("C3", 32))}
    return single | many


@functools.cache
def picture(shape: tuple[int, int]) -> np.ndarray:
    """Smooth shapes with some noise."""
    rows, columns = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    waves = np.stack([np.sin(k * rows + 9 * columns**2) for k in (5, 11, 23)])
    noise = np.random.default_rng(0).normal(0, 0.03, (3, *shape))
    return np.clip(0.5 + 0.4 * waves + noise, 0, 1).astype(np.float32)


def losses(preset: c3.Config) -> list[float]:
    """Of the first steps of a fit of a crop."""
    config = c3.edit(preset, steps=STEPS, stage2_steps=0, network_rdoq=False)
    return c3.fit(picture(CROP), config, progress=False).history.loss.tolist()


def compiled(preset: c3.Config, shape: tuple[int, int], fits: int) -> tuple:
    """The compiled chunk of steps, its arguments, and the seconds that compilation took."""
    config, x, n = c3.edit(preset, steps=10_000), picture(shape), np.int32(loop.CHUNK)
    began = time.perf_counter()
    with plain_jax():
        state = training.begin(x, config, jax.random.key(0))
        if not fits:
            arguments = state, config, x, n
            program = loop.run_chunk.lower(*arguments).compile()
        else:
            configs = [c3.edit(config, rd_weight=1e-4 * (i + 1)) for i in range(fits)]
            axes, config = batch.stacked_configs(configs)
            arguments = (batch._stacked([state] * fits), config, np.stack([x] * fits), n)
            program = batch.run_chunk_many.lower(*arguments, axes=axes).compile()
    return program, arguments, time.perf_counter() - began


def measured(program, arguments) -> float:
    """Seconds of a chunk of steps."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        took.append(time.perf_counter() - began)
    return min(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", action="store_true", help="print the first losses, no more")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--only", nargs="*", help="names of programs to measure")
    args = parser.parse_args()
    chosen = {name: what for name, what in programs().items()
              if args.only is None or name in args.only}
    if args.losses:
        print(json.dumps({name: losses(preset) for name, preset in PRESETS.items()}))
        return
    on_cpu = subprocess.Popen([sys.executable, "-m", "tests.tools.gpu_first_run", "--losses"],
                              env=os.environ | {"JAX_PLATFORMS": "cpu"}, stdout=subprocess.PIPE)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        found = {name: threads.submit(compiled, *what) for name, what in chosen.items()}
        here = {name: threads.submit(losses, preset) for name, preset in PRESETS.items()}
    lines = [
        "# The first run on a GPU", "",
        f"`make gpu-first-run` on {devices.name()}, JAX {jax.__version__}, "
        f"{time.strftime('%Y-%m-%d', time.gmtime())}. The fused kernels are "
        f"{'tried, right, and used' if fused.works() else 'not used'}.", "",
        "| program | compiled or loaded in s, beside the others | s per 1000 steps | of one fit "
        "| peak memory, MB |", "|---|---|---|---|---|"]
    for name, future in found.items():
        try:
            program, arguments, compile_s = future.result()
            seconds = measured(program, arguments) * 1000 / loop.CHUNK
            peak = program.memory_analysis().peak_memory_in_bytes / 1e6
        except Exception as error:
            lines.append(f"| {name} | {type(error).__name__}: {str(error)[:200]} | - | - | - |")
            continue
        fits = chosen[name][2] or 1
        lines.append(f"| {name} | {compile_s:.0f} | {seconds:.2f} | {seconds / fits:.3f} "
                     f"| {peak:,.0f} |")
        print(lines[-1], flush=True)
    theirs = json.loads(on_cpu.communicate()[0])
    lines += ["", f"The first {STEPS} steps of a fit of a crop, largest relative difference of a "
              "loss from the CPU's, and whether a second fit on this machine is the same:", "",
              "| preset | difference from the CPU | the same again |", "|---|---|---|"]
    for name, preset in PRESETS.items():
        ours = here[name].result()
        difference = max(abs(a / b - 1) for a, b in zip(ours, theirs[name], strict=True))
        again = losses(preset)
        lines.append(f"| {name} | {difference:.1e} | {'yes' if again == ours else 'no'} |")
    args.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
