"""Video: learned masks on known motion, their RD against other places, speed, memory, decoding.

`python -m tests.benchmarks video` runs all of it, each part in a process of its own; one part alone
is `python -m tests.benchmarks.video PART [ARGUMENTS]`. Real clips are looked for in the folder
`video` of C3LITE_DATA. Under load compare CPU seconds, not seconds.
"""

import sys
import time

MOTIONS = ((0, 0), (6, 0), (-18, 5), (20, -6), (24, 8), (-24, -8), (3, -4), (-9, 7), (12, 2),
           (-15, -3), (1, 8), (-5, -8))
"""(dx, dy) pixels a frame. The first is a static clip."""
LONG = (22, -7)
"""A thirteenth case, so that twelve move."""
PHOTOS = (19, 23)

EXPERIMENTS = ((8, 64, 96), (16, 90, 120), (30, 180, 240))


def clip(dx, dy, photo, shape=(8, 64, 96)):
    import c3lite as c3

    frames, height, width = shape
    return c3.data.moving_window(dx, dy, frames=frames, height=height, width=width, photo=photo)


def masked(**changes):
    import c3lite as c3

    return c3.edit(c3.ADAPTIVE_UVG[6], rd_weight=2e-4, **changes)


def motions(steps=250):
    """Whether the learned boxes cover the motion, over displacements and textures."""
    import c3lite as c3

    found, cases = 0, (*MOTIONS, LONG)
    began, cpu = time.perf_counter(), time.process_time()
    for n, (dx, dy) in enumerate(cases):
        photo = PHOTOS[n % len(PHOTOS)]
        start = time.process_time()
        learned = c3.learn_offsets(clip(dx, dy, photo), masked(), steps=int(steps), progress=False)
        covers = [box.covers(dy, dx) for box in learned.boxes]
        found += covers[0] and (dx, dy) != (0, 0)
        print(f"  photo {photo}, ({dx:+d}, {dy:+d}): box of grid 0 "
              f"{'covers' if covers[0] else 'MISSES'} it (dx {learned.boxes[0].dx}.., "
              f"dy {learned.boxes[0].dy}..), grids 1 and 2: {covers[1]}, {covers[2]}; "
              f"{time.process_time() - start:.0f} s of CPU", flush=True)
    print(f"  {found} of {len(cases) - 1} moving ones in {time.perf_counter() - began:.0f} s "
          f"({time.process_time() - cpu:.0f} s of CPU); to reach: 10 of 12 in 1200 s", flush=True)


def main():
    """All of it, each part in a process of its own."""


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
