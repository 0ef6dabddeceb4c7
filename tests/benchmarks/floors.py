"""One training step by part, and how far from the machine's own limits it is.

Each part is compiled alone, value and gradient, and run on one thread; CPU milliseconds. The floors
are counted, not measured: operations from the MACs of the model (forward, and twice that for the
two gradients), bytes from what a step has to read and write even if everything between fitted into
registers: latents, their two moments and the image. The rates that they are divided by are measured
here: a large product of float32 matrices, and a copy that no cache holds.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time

SHAPES = ((128, 192), (512, 768))
BACKWARD = 2
"""Products of a layer's backward pass for one of its forward pass: by its input, by its weights."""


def machine() -> tuple[float, float]:
    """(float32 operations a second of one thread, bytes a second of a copy)."""
    import numpy as np

    a = np.random.default_rng(0).random((1024, 1024), np.float32)
    b = np.zeros(64 << 20, np.uint8)
    c = np.empty_like(b)
    product = min(_seconds(lambda: a @ a) for _ in range(10))
    copy = min(_seconds(lambda: np.copyto(c, b)) for _ in range(10))
    return 2 * 1024**3 / product, 2 * b.nbytes / copy


def _seconds(f) -> float:
    began = time.process_time()
    f()
    return time.process_time() - began


def parts(height: int, width: int, repeats: int = 8) -> None:
    """Print the table of one size."""
    import jax
    import jax.numpy as jnp

    import c3lite as c3
    from c3lite.fitting import training
    from c3lite.model import latents
    from c3lite.model.codec import rate_distortion
    from c3lite.model.entropy import total_bits
    from c3lite.model.quantize import hard_round

    config, shape = c3.C3, (height, width)
    x = jnp.asarray(c3.data.crop(c3.data.kodak(23), 0, 0, *shape))
    state = training.start(config, shape, jax.random.key(0), x.mean((1, 2)))
    state = jax.tree.map(lambda a: a + 0.3 * jnp.sin(jnp.arange(a.size, dtype=jnp.float32)).reshape(
        a.shape) if jnp.issubdtype(a.dtype, jnp.floating) else a, state)
    codec, n = state.codec, jnp.int32(50_000)
    flat = codec.scaled_latents(config)
    symbols = hard_round(flat, config.stage2_temperature)
    grids = latents.split(symbols, latents.grid_shapes(config, shape))
    up = latents.upsample(config, grids, shape, codec.upsampling)
    quantize = training.quantizer(config, n, state.key)

    def gradient(f, *args):
        return functools.partial(jax.grad(f, argnums=tuple(range(len(args)))), *args)

    def adam(state, gradient):
        steps, optimizer = training._optimizer(config).update(
            gradient, state.optimizer, state.codec)
        return jax.tree.map(lambda p, s: p - 1e-3 * s, state.codec, steps), optimizer

    timed = {
        "noise and soft-rounding": gradient(lambda z: quantize(z).sum(), flat),
        "rate: contexts, entropy network, Laplace": gradient(
            lambda model, s: total_bits(model, config, s, shape), codec.entropy, symbols),
        "upsampling": gradient(lambda *g: (latents.upsample(
            config, g, shape, codec.upsampling) ** 2).sum(), *grids),
        "synthesis and MSE": gradient(lambda model, u: jnp.mean((model(config, u) - x) ** 2),
                                      codec.synthesis, up),
        "Adam": functools.partial(adam, state, codec),
        "rate and distortion, whole": gradient(
            lambda c: rate_distortion(c, config, x, quantize)[0], codec),
        "a step": functools.partial(training.step, state._replace(step=n), config, x),
    }
    macs = c3.complexity.macs_per_pixel(config, shape)
    pixels, count = height * width, latents.count(config, shape)
    operations = {"rate: contexts, entropy network, Laplace": macs.entropy,
                  "upsampling": macs.upsampling, "synthesis and MSE": macs.synthesis,
                  "a step": macs.total}
    rate, bandwidth = machine()
    print(f"  {height}x{width}, one thread of {rate / 1e9:.0f} GFLOP/s, copies "
          f"{bandwidth / 1e9:.1f} GB/s")
    for name, f in timed.items():
        compiled = _compiled(f)
        compiled()
        milliseconds = 1e3 * min(_seconds(compiled) for _ in range(repeats))
        text = f"    {name:42} {milliseconds:8.2f} ms"
        if name in operations:
            floor = 1e3 * 2 * (1 + BACKWARD) * operations[name] * pixels / rate
            text += f"  {floor:7.2f} ms of products, {milliseconds / floor:.1f} times"
        print(text, flush=True)
    moved = 4 * (2 * 3 * count + 3 * pixels)
    print(f"    latents, moments and image once through memory: {moved / 1e6:.1f} MB, "
          f"{1e3 * moved / bandwidth:.2f} ms")


def _compiled(f):
    """`f`'s arguments as inputs, so that nothing is computed at compile time."""
    import jax

    program = jax.jit(f.func, static_argnums=()).lower(*f.args).compile()
    return lambda: jax.block_until_ready(program(*f.args))


def main():
    """Both sizes, each in a process of its own with one device and one thread."""
    load = ", ".join(f"{v:.1f}" for v in os.getloadavg())
    print(f"  load average {load} on {os.cpu_count()} cores")
    env = os.environ | {
        "JAX_NUM_CPU_DEVICES": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    for shape in SHAPES:
        code = f"from tests.benchmarks import floors; floors.parts{shape}"
        subprocess.run([sys.executable, "-c", code], check=True, env=env)


if __name__ == "__main__":
    main()
