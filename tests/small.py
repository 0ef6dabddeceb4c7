"""What the ablations' tests fit: very small pictures, with very small networks, in few steps."""

import time

import numpy as np

import c3lite as c3
from c3lite.ablation import jobs, store
from c3lite.fitting import checkpoint

SMALL = c3.edit(c3.C3, num_grids=2, synthesis_widths=(4,), entropy_widths=(4,), context_size=(3, 3),
                steps=8, stage2_steps=4, parameter_steps=(1e-3, 1e-2))


def pictures(count):
    """Different smooth pictures of 16x24 pixels by name."""
    y, x = np.mgrid[:16, :24] / 24
    return {f"wave{i}": np.stack([0.5 + 0.4 * np.sin(4 * (i + 1) * (x + y) + c) for c in range(3)]
                                 ).astype(np.float32) for i in range(count)}


def run_impatiently(group, folder, arrays):
    """`jobs.run_missing` with a checkpoint every moment; notes how far the group was at its start.

    A worker process finds it here, where a change that a test makes to a module does not reach.
    """
    checkpoint.SECONDS_BETWEEN = 0.2
    kept = store.Store(folder)
    with open(kept.folder / "begun.txt", "a") as file:
        print(checkpoint.steps_done(kept.checkpoint(job.key for job in group)), file=file)
    return jobs.run_missing(group, folder, arrays)


def steps_at_starts(folder):
    """The steps in the checkpoint at each start of `run_impatiently`."""
    return [int(line) for line in (folder / "begun.txt").read_text().split()]


def until(found, what, seconds=120):
    """The first answer of `found()` that is one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s for {what}")
