"""JAX as a program around a fit may have set it: the same file, and nothing set by c3lite."""

import hashlib
import os
import subprocess
import sys

import jax
import pytest

import c3lite as c3
from c3lite.fitting.fit import refit
from tests import small

SMALL = c3.edit(small.SMALL, synthesis_residual_convs=0, num_grids=1)
"""Of small programs, as each setting compiles all of them."""

SCRIPT = """
import hashlib
import jax
before = dict(jax.config.values)
import c3lite as c3
assert dict(jax.config.values) == before, "importing c3lite has set something"
assert not jax._src.xla_bridge.backends_are_initialized(), "importing c3lite has started JAX"
from tests.processes.test_jax_settings import files
for data in files():
    print(hashlib.sha256(data).hexdigest())
assert dict(jax.config.values) == before
"""


def files():
    """Of a fit, of one in a batch, of one with another's networks, and of a clip."""
    (x,) = small.pictures(1).values()
    fit = c3.fit(x, SMALL, key=jax.random.key(1), progress=False)
    configs = [SMALL, c3.edit(SMALL, rd_weight=1e-2)]
    many = c3.fit_many([x, x], configs, progress=False)
    moved = refit(x[:, ::-1], fit, frozen=True, progress=False)
    clip = c3.data.moving_window(2, 1, frames=2, height=16, width=24)
    masked = c3.edit(SMALL, mask_shape=(2, 2), masked_grids=1, entropy_per_grid=True)
    learned = c3.learn_offsets(clip, masked, steps=2, window=3, progress=False).config
    return [c3.encode(f) for f in (fit, many[1], moved, c3.fit_video(
        clip, learned, patch=(2, 16, 24), progress=False))]


@pytest.fixture(scope="module")
def wanted():
    return [hashlib.sha256(data).hexdigest() for data in files()]


@pytest.mark.parametrize("setting", [
    {"JAX_ENABLE_X64": "1"},
    {"JAX_DEBUG_NANS": "1", "JAX_NUMPY_DTYPE_PROMOTION": "strict",
     "JAX_NUMPY_RANK_PROMOTION": "raise"},  # what one of them raises, the others do not hide
], ids=["x64", "strict"])
def test_the_files_are_the_same_whatever_is_set(setting, wanted):
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=os.environ | setting, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == wanted
