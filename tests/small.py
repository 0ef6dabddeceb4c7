"""What the ablations' tests fit: very small pictures, with very small networks, in few steps."""

import numpy as np

import c3lite as c3

SMALL = c3.edit(c3.C3, num_grids=2, synthesis_widths=(4,), entropy_widths=(4,), context_size=(3, 3),
                steps=8, stage2_steps=4, parameter_steps=(1e-3, 1e-2))


def pictures(count):
    """Different smooth pictures of 16x24 pixels by name."""
    y, x = np.mgrid[:16, :24] / 24
    return {f"wave{i}": np.stack([0.5 + 0.4 * np.sin(4 * (i + 1) * (x + y) + c) for c in range(3)]
                                 ).astype(np.float32) for i in range(count)}


def killed_in_a_fit(process, place, store, worker):
    """Kill a worker's process if it is in the middle of a fit; otherwise it goes on."""
    process.suspend()  # so that it does not finish the fit meanwhile
    if any(not store.path(key).exists() for key in place.doing(worker)):
        process.kill()
        return True
    process.resume()
    return False
