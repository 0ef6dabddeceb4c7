"""Set-up of all tests: compiled programs are kept, shapes and types of c3lite are checked."""

import ctypes
import gc
import os
import sys
from importlib.metadata import version
from pathlib import Path

# Compilation is most of a test's time. JAX reads these when it is first imported; a folder of the
# repository, because a cache in the user's home would make a test depend on what ran before it.
_CACHE = Path(__file__).parents[1] / ".cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
# And most programs are used for a few steps: three quarters of the compilation are left out.
# `optimized` has most of it back. The browser and the cluster of `.ci/run` have all of it.
if os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1") == "1" and version(
        "jaxlib").startswith("0.10."):  # a flag that XLA does not know ends the process
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("MPLBACKEND", "agg")

import typing  # noqa: E402

import jaxtyping  # noqa: E402
import psutil  # noqa: E402
import pytest  # noqa: E402
from beartype import BeartypeConf, beartype  # noqa: E402
from hypothesis import settings  # noqa: E402

jaxtyped = jaxtyping.jaxtyped


def checked(*, typechecker):
    """`jaxtyped` where an annotation has an array's shape, and else only the type checker.

    It takes as long as many a function does, also of those without annotations: half the time of
    tracing a fit, and of coding one. Given no type checker it leaves the checks to the function,
    and does not check arguments a second time together with what is returned.
    """
    def decorate(fn):
        annotations = getattr(fn, "__annotations__", {})
        try:
            hints = {name: eval(hint, fn.__globals__) if isinstance(hint, str) else hint
                     for name, hint in annotations.items()}
        except Exception:  # a name that comes later
            hints = None
        if isinstance(fn, type) or not hasattr(fn, "__globals__") or hints is None:
            return jaxtyped(fn, typechecker=typechecker)
        fn.__annotations__ = hints
        if not hints:
            return fn
        wrapped = beartype(conf=BeartypeConf(violation_type=TypeError))(fn)
        if any(map(has_shape, hints.values())):
            wrapped = jaxtyped(wrapped, typechecker=None)
        wrapped.__wrapped__ = fn  # for tests of what a function itself says
        return wrapped

    return decorate


def has_shape(hint) -> bool:
    """Whether an array's shape is in an annotation."""
    return ((isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray))
            or any(map(has_shape, typing.get_args(hint))))


# Every annotation in c3lite is checked at every call, which a user's session does not pay for.
# The hook only reaches modules imported after it, so nothing above may import c3lite.
jaxtyping.jaxtyped = checked
jaxtyping.install_import_hook("c3lite", "beartype.beartype")

# No deadline: the first example compiles. Fixed examples in CI: a red run can be repeated.
settings.register_profile("c3lite", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("c3lite")


@pytest.fixture
def closed_figures():
    """Figures are closed after the test."""
    yield
    import matplotlib.pyplot as plt  # slow to import, for tests that draw nothing

    plt.close("all")


@pytest.fixture
def ax(closed_figures):
    """Axes of a figure of their own."""
    import matplotlib.pyplot as plt

    return plt.subplots()[1]


@pytest.fixture(scope="module")
def optimized():
    """Programs are compiled to be fast: for tests of many steps."""
    import jax

    before = jax.config.values["jax_disable_most_optimizations"]
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
    jax.clear_caches()


MOST_MEMORY_BYTES = 1400 * 2**20
"""Of a process: beyond it compiled programs, most of what it holds, are dropped after a test."""


def pytest_runtest_teardown():
    """A laptop of 8 GB runs two processes of tests, beside its browser."""
    # no fixture: hypothesis refuses those that every test has
    if "jax" in sys.modules and psutil.Process().memory_info().rss > MOST_MEMORY_BYTES:
        sys.modules["jax"].clear_caches()
        gc.collect()
        if sys.platform == "linux":  # or the allocator keeps it
            ctypes.CDLL("libc.so.6").malloc_trim(0)
