"""Widgets without a browser: what a live fit costs the fit, and how much is sent.

Latencies are measured where they arise, in the page: `pytest tests/browser -rP` prints them.
"""

import statistics
import time

STEPS, ROUNDS = 400, 3


def live(steps=STEPS, rounds=ROUNDS, side=(128, 192)):
    """A watched fit beside the same fit unwatched, in turn; ratios, so that load matters less."""
    import jax

    import c3lite as c3
    from c3lite import widgets
    from c3lite.fitting.loop import chunks
    from c3lite.fitting.training import begin

    photo = c3.data.crop(c3.data.kodak(23), 192, 288, *side)
    config = c3.edit(c3.C3, steps=steps, stage2_steps=0)

    def plain():
        state = begin(photo, config, jax.random.key(0))
        for _ in chunks(photo, config, state):
            pass

    def watched():
        explorer = widgets.LiveFit(photo, config)
        updates = []
        explorer.observe(updates.append, "live")
        explorer.start()
        while explorer.status not in ("finishing", "failed"):
            time.sleep(0.01)
        return explorer, len(updates)

    plain()  # compiles
    walls, cpus = [], []
    for _ in range(rounds):
        began, cpu = time.perf_counter(), time.process_time()
        plain()
        alone = time.perf_counter() - began, time.process_time() - cpu
        began, cpu = time.perf_counter(), time.process_time()
        explorer, updates = watched()
        live = time.perf_counter() - began, time.process_time() - cpu
        explorer.wait()
        walls.append(live[0] / alone[0])
        cpus.append(live[1] / alone[1])
        print(f"  {steps} steps of {side[0]}x{side[1]}: alone {alone[0]:.1f} s, watched "
              f"{live[0]:.1f} s with {updates} updates; ratio {walls[-1]:.3f}, of CPU time "
              f"{cpus[-1]:.3f}", flush=True)
    print(f"  median ratio {statistics.median(walls):.3f}, of CPU time "
          f"{statistics.median(cpus):.3f} (to reach: at most 1.05)")


def sizes():
    """What a 768x512 fit sends: latents drawn at random compress worse than a fit's."""
    from c3lite import widgets
    from tests import made

    fit = made.fit((512, 768), None)
    for make in (widgets.LatentExplorer, widgets.ContextExplorer):
        print(f"  {make.__name__}: {size(make(fit).data) / 1e6:.2f} MB (to reach: at most 3 MB)")


def size(value) -> int:
    """Bytes of all buffers below a widget's data."""
    if isinstance(value, dict):
        return sum(map(size, value.values()))
    if isinstance(value, list):
        return sum(map(size, value))
    return len(value) if isinstance(value, bytes) else 0


def main():
    """Print all rows."""
    sizes()
    live()
