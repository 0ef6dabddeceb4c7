"""Ablations: overhead of the grid, warm start, batches against single fits, stores of many fits."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ABLATIONS = Path(__file__).parents[2] / "ablations"
CHILD = ("import sys; from tests.benchmarks import ablation; "
         "getattr(ablation, sys.argv[1])(*sys.argv[2:])")


def in_process(name: str, *args):
    """Run a function of this module in a process of its own, which prints its rows."""
    subprocess.run([sys.executable, "-c", CHILD, name, *map(str, args)], check=True)


def _crop():
    import c3lite as c3

    return c3.data.crop(c3.data.kodak(23), 192, 288, 128, 192)


def overhead():
    """The share of a sweep, as in `laptop`, that is not stepping; first compilation aside."""
    import jax

    import c3lite as c3
    from c3lite import ablation
    from c3lite.fitting import loop

    base = c3.edit(c3.C3, steps=2000, stage2_steps=200)
    rows, weights = ablation.knockouts(base, ["soft-rounding"]), (3e-4, 3e-3)
    stepping = 0.0

    def timed(run):
        def timed_run(*args, **options):
            nonlocal stepping
            began = time.perf_counter()
            result = jax.block_until_ready(run(*args, **options))
            stepping += time.perf_counter() - began
            return result
        return timed_run

    # its default was bound when it was defined; on a CPU a sweep runs no batches
    loop.chunks.__kwdefaults__["advance"] = timed(loop.run_chunk)
    with tempfile.TemporaryDirectory() as folder:
        short = [row._replace(configs=tuple(c3.edit(c, steps=20, stage2_steps=5)
                                            for c in row.configs)) for row in rows]
        options = {"store": folder, "progress": False, "executor": "process"}
        list(ablation.sweep(short, [_crop()], weights, **options))  # compiles
        stepping, began = 0.0, time.perf_counter()
        results = list(ablation.sweep(rows, [_crop()], weights, **options))
        seconds = time.perf_counter() - began
    steps = sum(r.record.steps for r in results)
    print(f"  sweep of {len(results)} fits, {steps} steps: {seconds:.1f} s, of which stepping "
          f"{stepping:.1f} s ({steps / stepping:.1f} steps/s); the rest is "
          f"{100 * (1 - stepping / seconds):.1f} % (to reach: under 5 %)")
    work = 112 * 2200 / (steps / seconds)
    print(f"  Table 3 with the preset laptop, 112 such fits: {work / 60:.0f} min (to reach: under "
          "60 min)")


def batches(steps=200):
    """Steps a second in all of batches, against the same fits one by one, measured in turn."""
    import numpy as np

    import c3lite as c3

    config = c3.edit(c3.C3, steps=int(steps), stage2_steps=0, parameter_steps=(1e-2,))
    x = _crop()
    for size in (1, 2, 4, 8):
        ratios, rates = [], []
        for repeat in range(3):  # in the first everything compiles
            began = time.perf_counter()
            c3.fit_many([x] * size, config, progress=False)
            together = time.perf_counter() - began
            began = time.perf_counter()
            for _ in range(size):
                c3.fit(x, config, progress=False)
            alone = time.perf_counter() - began
            if repeat:
                ratios.append(alone / together)
                rates.append(size * int(steps) / together)
        print(f"  batch of {size}: {np.mean(rates):.1f} steps/s in all, {np.mean(ratios):.2f} "
              "times as fast as one by one (to reach: 1.00)", flush=True)


def side_by_side(steps=300):
    """Steps a second in all of a sweep by processes of one thread, and by this process alone."""
    import c3lite as c3
    from c3lite import ablation

    rows = [ablation.Row("C3", (c3.edit(c3.C3, steps=int(steps), stage2_steps=0,
                                        parameter_steps=(1e-2,)),))]
    weights = tuple(1e-3 * 1.1**i for i in range(6))
    for _ in range(3):
        rates = {}
        for executor, at_once in (("process", 1), ("local", ablation.devices.cores())):
            with tempfile.TemporaryDirectory() as folder:
                found = list(ablation.sweep(rows, [_crop()], weights, store=folder, progress=False,
                                            executor=executor))
            late = found[at_once:]  # each process compiles in its first fit
            rates[executor] = at_once * sum(r.record.steps for r in late) / sum(
                r.record.seconds for r in late)
        print("  sweep on the CPU: " + ", ".join(
            f"{executor} {rate:.1f} steps/s" for executor, rate in rates.items()), flush=True)


def stored(fits):
    """Load and tabulate a store of many finished fits."""
    import c3lite as c3
    from c3lite import ablation
    from c3lite.ablation.jobs import Result
    from tests import swept

    fits, weights = int(fits), (1e-4, 4e-4, 1e-3, 4e-3, 2e-2)
    history = {name: [0.12345] * 200 for name in ("step", "loss", "bits", "mse", "learning_rate")}
    base = c3.edit(c3.C3, steps=2000)
    rows = ablation.knockouts(base)
    with tempfile.TemporaryDirectory() as folder:
        store, places = ablation.Store(folder), {}
        store.fits.mkdir()
        for seed in range(-(-fits // (len(rows) * len(weights) * 24))):
            for row in rows:
                for w in weights:
                    config = c3.edit(row.configs[0], rd_weight=w)
                    for image in range(24):
                        if len(places) == fits:
                            break
                        r = swept.record(config, f"image{image}", f"{image:064}", seed,
                                         1 + 0.01 * image, history=history)
                        store.path(r.key).write_text(json.dumps(dataclasses.asdict(r)))
                        places[r.key] = row.name, r.image, w, seed
        began, cpu_began = time.perf_counter(), time.process_time()
        records = list(ablation.Store(folder).records())
        loaded = time.perf_counter() - began
        table = ablation.bd_table(Result(*places[r.key], r) for r in records)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
        print(f"  {len(records):,} fits: loaded in {loaded:.2f} s, with the table {seconds:.2f} s "
              f"({cpu:.2f} s of CPU; to reach: {'3' if fits <= 1000 else '60'} s), "
              f"{len(table.lines)} rows", flush=True)


def warm_start():
    """The notebook of Table 3 when its store is complete: kernel, table and pictures."""
    import yaml

    from c3lite.ablation.images import Images

    finished = ABLATIONS / "results" / "table03" / "laptop" / "store"
    preset = ABLATIONS / "presets" / "laptop.yaml"
    if not finished.is_dir():
        print("  warm start: there is no finished Table 3 here: skipped")
        return
    try:
        Images(yaml.safe_load(preset.read_text())["images"]["kodak"])
    except (ValueError, OSError) as error:
        print(f"  warm start: skipped, as an image of Table 3 cannot be had ({error})")
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(finished, Path(folder) / "store")  # the plan in it is rewritten
        for attempt in ("first", "second"):
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "papermill", str(ABLATIONS / "table03.ipynb"),
                 str(Path(folder) / "out.ipynb"), "-f", str(preset), "-p", "store", str(copy),
                 "--cwd", str(ABLATIONS), "--no-progress-bar"], capture_output=True, text=True)
            seconds = time.perf_counter() - began
            if done.returncode:
                print(f"  warm start: the notebook failed: {done.stderr.strip().splitlines()[-1]}")
                return
            print(f"  warm start of the finished Table 3, {attempt}: "
                  f"{seconds:.1f} s (to reach: under 15 s)", flush=True)


def main():
    """All of it, each part in a process of its own."""
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"  load average {load} on {os.cpu_count()} cores", flush=True)
    in_process("stored", 1000)
    in_process("stored", 20000)
    warm_start()
    in_process("batches")
    in_process("side_by_side")
    in_process("overhead")
