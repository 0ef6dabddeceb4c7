"""Video: learned masks on known motion, their RD against other places, speed, memory, decoding.

`python -m tests.benchmarks video` runs all of it, each part in a process of its own; one part alone
is `python -m tests.benchmarks.video PART [ARGUMENTS]`. Real clips are looked for in the folder
`video` of C3LITE_DATA. On a loaded machine compare CPU seconds, not seconds.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

MOTIONS = ((6, 0), (-18, 5), (20, -6), (24, 8), (-24, -8), (3, -4), (-9, 7), (12, 2), (-15, -3),
           (1, 8), (-5, -8), (22, -7))
"""(dx, dy) pixels a frame."""
PHOTOS = (19, 23)
POSITIONS = ("learned", "center", "opposite", "top-left")
SETTINGS = tuple(f"E{e} S{s}" for e in (1, 2, 3) for s in (1, 2, 3))
RATES = (2e-4, 1e-3, 4e-3, 2e-2)


def clip(dx, dy, photo, shape=(8, 64, 96)):
    import c3lite as c3

    frames, height, width = shape
    return c3.data.moving_window(dx, dy, frames=frames, height=height, width=width, photo=photo)


def masked(**changes):
    import c3lite as c3

    return c3.edit(c3.ADAPTIVE_UVG[6], **{"rd_weight": 2e-4} | changes)


def motions(steps=250):
    """Whether learned boxes cover the motion, over displacements and textures; a static clip."""
    import c3lite as c3

    found, began, cpu = 0, time.perf_counter(), time.process_time()
    for n, (dx, dy) in enumerate((*MOTIONS, (0, 0))):
        photo = PHOTOS[n % len(PHOTOS)]
        start = time.process_time()
        learned = c3.learn_offsets(clip(dx, dy, photo), masked(), steps=int(steps), progress=False)
        covers = [box.covers(dy, dx) for box in learned.boxes]
        found += covers[0] and n < len(MOTIONS)
        print(f"  photo {photo}, ({dx:+d}, {dy:+d}): box of grid 0 "
              f"{'covers' if covers[0] else 'MISSES'} it (dx {learned.boxes[0].dx}.., "
              f"dy {learned.boxes[0].dy}..), grids 1 and 2: {covers[1]}, {covers[2]}; "
              f"{time.process_time() - start:.0f} s of CPU", flush=True)
    print(f"  {found} of {len(MOTIONS)} moving ones in {time.perf_counter() - began:.0f} s "
          f"({time.process_time() - cpu:.0f} s of CPU); to reach: 10 of 12 in 1200 s", flush=True)


def positions(dx=20, dy=-6, photo=19, steps=1000, rd_weight=2e-4, seeds=1):
    """RD of one fit for each place of the mask (Fig. 24), on a window moving over a photo."""
    x = clip(int(dx), int(dy), int(photo))
    print(f"  window moving by ({dx}, {dy}) over photo {photo}")
    _positions(x, int(steps), float(rd_weight), int(seeds))


def real_positions(steps=1000, rd_weight=5e-5, seeds=2, name="bikes_pan_320x136_25fps_32f.y4m",
                   at_least=4):
    """The same on those frames of a real clip that move by 4 pixels or more."""
    import c3lite as c3

    path = Path(os.environ.get("C3LITE_DATA", "")) / "video" / name
    if not path.exists():
        print(f"  no {name} in C3LITE_DATA: skipped")
        return
    whole = c3.data.video(path)
    moved = c3.motion.displacements(whole)
    fast = abs(moved).max(1) >= int(at_least)
    # the longest run of moving frames, with the frame before it
    runs, first = [], None
    for t, yes in enumerate([*fast, False]):
        first = t if yes and first is None else first
        if not yes and first is not None:
            runs.append((t - first, first))
            first = None
    if not runs:
        print(f"  no frame of {name} moves by {at_least} pixels: skipped")
        return
    length, first = max(runs)
    height, width = whole.shape[2:]
    top, left = (height - 96) // 2, (width - 128) // 2
    x = whole[:, first : first + min(length, 7) + 1, top : top + 96, left : left + 128]
    print(f"  {name}, frames {first} to {first + x.shape[1] - 1}, rows {top} to {top + 95}, "
          f"columns {left} to {left + 127}, moving by {moved[first : first + length].tolist()}")
    _positions(x, int(steps), float(rd_weight), int(seeds))


def _positions(x, steps, rd_weight, seeds):
    import jax

    import c3lite as c3

    config = masked(steps=steps, stage2_steps=steps // 10, rd_weight=rd_weight)
    learned = c3.learn_offsets(x, config, steps=250, progress=False)
    print(f"  lambda {rd_weight:g}, {steps} + {steps // 10} steps, {learned}", flush=True)
    for seed in range(seeds):
        for where in POSITIONS:
            fit = c3.fit(x, learned.at(where), key=jax.random.key(seed), progress=False)
            print(f"    seed {seed}, {where:9} {fit.bpp_estimate:.4f} bpp (latents "
                  f"{fit.bits['latents'] / fit.pixels:.4f}), {fit.psnr:.2f} dB, "
                  f"RD loss {fit.loss:.4g}", flush=True)


def dense(repeats=5):
    """A rate step with the custom mask; with the wide window by FFT and as a convolution."""
    import jax
    import jax.numpy as jnp

    from c3lite.model import codec, context
    from c3lite.model.entropy import total_bits
    from c3lite.model.quantize import hard_round
    from c3lite.video import masks as video

    shape, custom = (8, 64, 96), masked(mask_origins=((-2, 3),) * 3)
    wide = video._wide(custom, 65, 1)

    def convolution(moved, kernel):
        out = jax.lax.conv_general_dilated(
            moved[:, None], kernel[:, None], (1, 1), "VALID")  # frames as a batch
        return out.swapaxes(0, 1).reshape(len(kernel), -1)

    def measured(config, correlate):
        original, context.correlate = context.correlate, correlate
        try:
            part = codec.Codec(config, shape, key=jax.random.key(0))
            part = jax.tree.map(lambda a: a + 0.1 * jnp.cos(jnp.arange(a.size).reshape(a.shape)),
                                part)
            step = jax.jit(jax.value_and_grad(
                lambda c: total_bits(c.entropy, config, hard_round(c.scaled_latents(config)),
                                     shape))).lower(part).compile()
            jax.block_until_ready(step(part))
            times = []
            for _ in range(int(repeats)):
                began = time.process_time()
                jax.block_until_ready(step(part))
                times.append(time.process_time() - began)
        finally:
            context.correlate = original
        return min(times)

    mask = measured(custom, context.correlate)
    print(f"  rate and gradient, {shape}, E3: custom mask {mask:.3f} s of CPU", flush=True)
    transformed = measured(wide, context.correlate)
    print(f"    65 x 65 by Fourier transform: {transformed:.3f} s, {transformed / mask:.1f} times",
          flush=True)
    slow = measured(wide, convolution)
    print(f"    65 x 65 as a convolution of one frame: {slow:.2f} s, {slow / mask:.0f} times "
          "(to reach: 10)", flush=True)


def stepping(setting="E1 S1", shape="8,64,96", steps=20):
    """Seconds a 1000 steps and peak memory."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import c3lite as c3
    from c3lite.fitting.loop import run_chunk
    from c3lite.fitting.training import begin

    config = c3.ADAPTIVE_UVG[SETTINGS.index(setting)]
    if config.mask_shape:
        config = c3.edit(config, mask_origins=((-2, 3),) * 3)
    shape, steps = tuple(map(int, shape.split(","))), int(steps)
    x = np.random.default_rng(0).random((3, *shape), np.float32)
    state = begin(x, config, jax.random.key(0))
    began = time.process_time()
    state, *_ = run_chunk(state, config, jnp.asarray(x), jnp.array(1))
    jax.block_until_ready(state.step)
    first, wall, cpu = time.process_time() - began, time.perf_counter(), time.process_time()
    state, history, _ = run_chunk(state, config, jnp.asarray(x), jnp.array(steps))
    jax.block_until_ready(history.loss)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(f"  {setting}, {'x'.join(map(str, shape)):10}: {1000 * wall / steps:.0f} s, "
          f"{1000 * cpu / steps:.0f} s of CPU per 1000 steps (from {steps}), first call "
          f"{first:.0f} s of CPU, peak {peak:.0f} MB", flush=True)


def decoding(steps=150):
    """CPU seconds to decode a patch of (30, 180, 240), whose latents are those of a small one.

    With one BLAS thread (`main` sees to it): a second one that waits for a core counts as busy.
    """
    import jax
    import numpy as np

    import c3lite as c3
    from c3lite.coding import files, header
    from tests.benchmarks.bitstream import tiled

    for name, config in (("E1 S2", c3.ADAPTIVE_UVG[1]), ("E3 S1", c3.ADAPTIVE_UVG[6])):
        config = c3.edit(config, rd_weight=1e-3, steps=int(steps), stage2_steps=int(steps) // 10,
                         parameter_steps=(1e-3,))
        if config.mask_shape:
            config = c3.edit(config, mask_origins=((-7, 18), (-7, 18), (-2, -2)))
        fit = c3.fit(clip(20, -6, 19), config, key=jax.random.key(0), progress=False)
        contents = files._contents(tiled(fit, (30, 180, 240)))
        data = header.pack(contents, files.written(contents).finish("auto"))
        began = time.process_time()
        whole = c3.decode(data)
        seconds = time.process_time() - began
        exact = np.array_equal(np.stack(list(c3.decode_frames(data)), 1), whole) and np.array_equal(
            files.read(data).coded.symbols, contents.coded.symbols)
        print(f"  {name}: {len(data)} bytes ({8 * len(data) / whole[0].size:.3f} bpp) decoded in "
              f"{seconds:.2f} s of CPU (to reach: 3); {'exact' if exact else 'NOT EXACT'}",
              flush=True)


def rates(steps=1000):
    """A clip at four rates: as a video, as separate images, and by HEVC; their BD-rates."""
    import jax
    import numpy as np

    import c3lite as c3

    x = c3.data.bunny(patch=(8, 64, 96), start=(0, 60, 110))
    edits = {"steps": int(steps), "stage2_steps": int(steps) // 10}
    print(f"  bunny, {x.shape}, {steps} + {int(steps) // 10} steps, the paper's are 110000")
    hevc = [(point.bpp, point.psnr) for point in c3.codecs.hevc(x, (17, 22, 27, 32, 37))]
    for (bpp, psnr), qp in zip(hevc, (17, 22, 27, 32, 37), strict=True):
        print(f"    HEVC QP {qp}: {bpp:.4f} bpp {psnr:.2f} dB")
    video, images = [], []
    for rd_weight in RATES:
        fit = c3.fit(x, c3.edit(c3.UVG, rd_weight=rd_weight, **edits), progress=False)
        frames = c3.fit_many(
            [np.ascontiguousarray(x[:, t]) for t in range(x.shape[1])],
            c3.edit(c3.C3, rd_weight=rd_weight, **edits), keys=jax.random.key(0), progress=False)
        bpp, psnr = (np.mean([getattr(f, name) for f in frames]) for name in ("bpp", "psnr"))
        video.append((fit.bpp, fit.psnr))
        images.append((bpp, psnr))
        latents = sum(f.bits["latents"] / f.pixels for f in frames) / len(frames)
        print(f"    lambda {rd_weight:g}: video {fit.bpp:.4f} bpp (latents "
              f"{fit.bits['latents'] / fit.pixels:.4f}) {fit.psnr:.2f} dB, images {bpp:.4f} bpp "
              f"(latents {latents:.4f}) {psnr:.2f} dB", flush=True)
    for what, curve, anchor in (("the video against HEVC", video, hevc),
                                ("the images against HEVC", images, hevc),
                                ("the video against the images", video, images)):
        percent = c3.metrics.bd_rate(*np.transpose(curve), *np.transpose(anchor))
        print(f"    BD-rate of {what}: {percent:+.1f} %", flush=True)


def main():
    """All of it, each part in a process of its own."""
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"  load average {load} on {os.cpu_count()} cores")
    parts = [("motions",), ("positions",), ("positions", "-18", "5", "23"), ("real_positions",),
             ("dense",), ("decoding",), ("rates",)]
    parts += [("stepping", setting, shape, steps) for shape, steps in (
        ("8,64,96", "20"), ("16,90,120", "20"), ("30,180,240", "20")) for setting in SETTINGS]
    for part in parts:
        print(f" {' '.join(part)}", flush=True)
        threads = {"OPENBLAS_NUM_THREADS": "1"} if part == ("decoding",) else {}
        subprocess.run([sys.executable, "-m", "tests.benchmarks.video", *part], check=True,
                       env=os.environ | threads)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
