"""Fitting: RD loss beside the authors' release, steps a second, a whole cold fit, memory and scale.

Their figures are of their release on a machine of the same kind (2 cores), as handed to this
project; ours are measured when this runs.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time

THEIRS = {1e-3: (0.6474, 35.20, 9.497e-4), 2e-4: (1.0132, 38.54, 3.427e-4)}
"""lambda: bpp, PSNR (dB), RD loss; Kodak 23, 128x192 at y=192 x=288, 2000 + 200 steps."""

TO_REACH = {"c3": 1.02, "c3-fast": 0.93}
"""Preset: its largest mean ratio of RD losses to theirs."""

CHILD = ("import sys; from tests.benchmarks import fitting; "
         "getattr(fitting, sys.argv[1])(*sys.argv[2:])")


def crop():
    import c3lite as c3

    return c3.data.crop(c3.data.kodak(23), 192, 288, 128, 192)


def in_process(name: str, *args, **env):
    """Run a function of this module in a process of its own, which prints its rows."""
    subprocess.run([sys.executable, "-c", CHILD, name, *map(str, args)], check=True,
                   env=os.environ | {key: str(value) for key, value in env.items()})


def parity(preset="c3", seeds=3):
    """RD losses over seeds, and the geometric mean of their ratios to the authors' C3."""
    import jax
    import numpy as np

    import c3lite as c3

    logs = []
    for rd_weight, (bpp, psnr, loss) in THEIRS.items():
        config = c3.edit(c3.PRESETS[preset], rd_weight=rd_weight, steps=2000, stage2_steps=200)
        print(f"  {preset}, lambda {rd_weight:g}: "
              f"theirs {bpp:.4f} bpp {psnr:.2f} dB loss {loss:.4g}")
        for seed in range(int(seeds)):
            fit = c3.fit(crop(), config, key=jax.random.key(seed), progress=False)
            logs.append(np.log(fit.loss / loss))
            print(f"    seed {seed}: {fit.bpp_estimate:.4f} bpp (file {fit.bpp:.4f}), "
                  f"{fit.psnr:.2f} dB, loss {fit.loss:.4g}, ratio {np.exp(logs[-1]):.4f}",
                  flush=True)
    print(f"  geometric mean of the ratios: {np.exp(np.mean(logs)):.4f} "
          f"(to reach: at most {TO_REACH[preset]:g})")


def presets(height=128, width=192, steps=100, rounds=7):
    """A step's time against C3's, alternating, changes of SOAP's bases included."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import c3lite as c3
    from c3lite.fitting.loop import run_chunk
    from c3lite.fitting.training import begin

    x = c3.data.kodak(23)[:, : int(height), : int(width)]
    names = ("c3", "c3-fast", "beyond", "beyond-small")
    states = {name: begin(x, c3.PRESETS[name], jax.random.key(0)) for name in names}
    x, times = jnp.asarray(x), {name: [] for name in names}
    for turn in range(int(rounds) + 1):
        for name in names:
            began = time.perf_counter()
            states[name], history, _ = run_chunk(
                states[name], c3.PRESETS[name], x, jnp.array(int(steps)))
            jax.block_until_ready(history.loss)
            if turn:  # the first one compiles
                times[name].append((time.perf_counter() - began) / int(steps))
    for name in names:
        ratios = np.divide(times[name], times["c3"])
        print(f"  {name:13} {1e3 * np.median(times[name]):.1f} ms a step, {np.median(ratios):.2f} "
              f"of C3's ({ratios.min():.2f} to {ratios.max():.2f})", flush=True)


def cold():
    """One whole fit from an empty compilation cache."""
    import c3lite as c3

    began = time.perf_counter()
    fit = c3.fit(crop(), c3.edit(c3.C3, steps=2000, stage2_steps=200), progress=False)
    print(f"  cold fit, 2000 + 200 steps, compilation and search included: "
          f"{time.perf_counter() - began:.1f} s (loss {fit.loss:.4g}); theirs 127-149 s")


def stepping(height=128, width=192, steps=300):
    """Steps a second, best of chunks, and the process's peak memory."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import c3lite as c3
    from c3lite.fitting.loop import run_chunk
    from c3lite.fitting.training import begin

    whole = c3.data.kodak(23)
    x = crop() if int(height) == 128 else whole[:, : int(height), : int(width)]
    state, n = begin(x, c3.C3, jax.random.key(0)), max(1, int(steps) // 5)
    x = jnp.asarray(x)
    began = time.perf_counter()
    state, *_ = run_chunk(state, c3.C3, x, jnp.array(1))
    jax.block_until_ready(state.step)
    compiled, times = time.perf_counter() - began, []
    for _ in range(5):
        began = time.perf_counter()
        state, history, _ = run_chunk(state, c3.C3, x, jnp.array(min(n, 100)))
        jax.block_until_ready(history.loss)
        times.append((time.perf_counter() - began) / min(n, 100))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"  {height}x{width}: {1 / min(times):.1f} steps/s "
          f"(median {1 / np.median(times):.1f}), {min(times) / x[0].size * 1e9:.0f} ns a step and "
          f"pixel, first call {compiled:.1f} s, peak memory {peak:.0f} MB", flush=True)


def batches():
    """Steps a second of batches of crops, counted in steps of single fits."""
    import c3lite as c3

    for size in (1, 2, 4):
        config = c3.edit(c3.C3, steps=100, stage2_steps=0, parameter_steps=(1e-2,))
        times = []
        for _ in range(2):  # the second time nothing compiles
            began = time.perf_counter()
            c3.fit_many([crop()] * size, config, progress=False)
            times.append(time.perf_counter() - began)
        print(f"  batch of {size}: {size * 100 / times[-1]:.1f} steps/s in all", flush=True)


def main():
    """All of it, each part in a process of its own."""
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"  load average {load} on {os.cpu_count()} cores")
    in_process("stepping")
    in_process("stepping", XLA_FLAGS="--xla_cpu_multi_thread_eigen=false")
    in_process("stepping", 512, 768, 25)
    with tempfile.TemporaryDirectory() as empty:
        in_process("cold", JAX_COMPILATION_CACHE_DIR=empty)
    in_process("batches")
    in_process("presets")
    for preset in TO_REACH:
        in_process("parity", preset)
