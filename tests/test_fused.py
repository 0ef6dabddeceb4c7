"""The kernels of a GPU: in Pallas' interpreter on this CPU, and lowered for a GPU.

What they compute is held to the layers as XLA runs them, which the other tests know.
"""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import c3lite as c3
from c3lite.arrays import fused, kernels
from c3lite.model import networks
from tests.test_gpu_programs import gpu, lowered  # noqa: F401
from tests.tools.aot_gpu import fused_flops


def value_and_derivatives(config, layers, branch, x, g):
    value, back = jax.vjp(lambda *own: networks.run_layers(config, own[0], own[2], own[1]),
                          layers, branch, x)
    return jax.tree.leaves((value, back(g)))


def both_ways(monkeypatch, function, *args):
    """What `function` gives without and with the kernels, each divided by its largest entry."""
    def measured():
        out = jax.jit(function)(*args)
        return [a / (jnp.abs(b).max() + 1e-9) for a, b in zip(out, wanted or out, strict=True)]

    wanted = None
    plain, wanted = measured(), jax.jit(function)(*args)
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "on_cpu", lambda: False)  # the derivatives that a GPU has
        patch.setattr(fused, "works", lambda: True)
        jax.clear_caches()
        assert "pallas_call" in str(jax.make_jaxpr(function)(*args))
        ours = measured()
    jax.clear_caches()
    return ours, plain


@settings(max_examples=6)
@given(st.sampled_from([(24, 18, 18, 2), (20, 18, 18, 2), (7, 12, 12, 3), (5, 2), (40, 5, 5, 1)]),
       st.integers(1, 1200), st.booleans(), st.booleans())
def test_the_kernels_are_the_layers(widths, columns, residual, branch):
    """Value and derivatives, with blocks that are not full, residual layers and a linear branch."""
    config = c3.edit(c3.C3, residual_layers=residual)
    keys = jax.random.split(jax.random.key(columns), 4)
    layers = jax.tree.map(lambda a: a + 0.3 * jax.random.normal(keys[0], a.shape),
                          networks.dense_layers(config, keys[0], widths))
    beside = networks.linear(jax.random.normal(keys[1], (widths[-1], widths[0])))
    x = jax.random.normal(keys[2], (widths[0], columns))
    g = jax.random.normal(keys[3], (widths[-1], columns))
    with pytest.MonkeyPatch.context() as patch:
        ours, plain = both_ways(
            patch, lambda *args: value_and_derivatives(config, *args),
            layers, beside if branch else None, x, g)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_a_batch_is_its_networks(monkeypatch):
    """Each of a batch has weights of its own."""
    keys = jax.random.split(jax.random.key(0), 3)
    layers = jax.vmap(lambda key: networks.dense_layers(c3.C3, key, (7, 18, 3)))(keys)
    x, g = (jax.random.normal(key, (3, n, 700)) for key, n in zip(keys[:2], (7, 3), strict=True))
    function = jax.vmap(lambda own, x, g: value_and_derivatives(c3.C3, own, None, x, g))
    ours, plain = both_ways(monkeypatch, function, layers, x, g)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.fixture
def described(gpu):  # noqa: F811
    """Where there is no GPU, newer versions of JAX ask for which one Triton lowers."""
    if not hasattr(jax.sharding, "AbstractDevice"):
        yield gpu
        return
    device = jax.sharding.AbstractDevice("NVIDIA H100", None, "cuda")
    mesh = jax.sharding.AbstractMesh((1,), ("all",), abstract_device=device)
    with jax.sharding.use_abstract_mesh(mesh):
        yield gpu


@pytest.mark.parametrize("fits", [0, 2])
def test_a_step_has_four_kernels(fits, described, monkeypatch):
    """Of the entropy model and of synthesis, there and back: Triton's part of the compiler takes
    them, and nothing as long as a photo is left between their layers."""
    described()
    config = c3.edit(c3.C3, synthesis_widths=(19, 19), entropy_widths=(19, 19))
    shape = (256, 512)
    assert "tensor<19x131072xf32>" in lowered(config, shape)
    jax.clear_caches()
    monkeypatch.setattr(fused, "works", lambda: True)
    program = lowered(config, shape, fits)
    assert program.count("triton") == 4
    assert "19x131072xf32" not in program


class Device(types.SimpleNamespace):
    platform = "gpu"


@pytest.mark.parametrize(("capability", "agrees", "says"), [
    ("9.0", lambda: True, None),
    ("7.0", lambda: 1 / 0, None),
    ("9.0", lambda: False, "other numbers than XLA's"),
    ("9.0", lambda: 1 / 0, "ZeroDivisionError"),
    ("gfx90a", lambda: True, "could not convert"),
])
def test_where_the_kernels_do_not_work_fits_go_without(
    capability, agrees, says, monkeypatch, recwarn
):
    monkeypatch.setattr(jax, "devices", lambda: [Device(compute_capability=capability)])
    monkeypatch.setattr(fused, "agrees", agrees)
    assert fused.works.__wrapped__() == (says is None and capability == "9.0")
    assert [says in str(w.message) for w in recwarn] == [True] * (says is not None)


def test_a_jax_without_triton_is_one_without_kernels(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [Device(compute_capability="9.0")])
    monkeypatch.setattr(fused, "triton", None)
    with pytest.warns(UserWarning, match="do not work on this GPU"):
        assert not fused.works.__wrapped__()


def test_the_trial_sees_a_wrong_kernel(monkeypatch):
    """Also while a program is traced, where it is asked for, and where all else is of float64."""
    monkeypatch.setattr(jax, "devices", lambda: [Device(compute_capability="9.0")])
    seen = []

    @jax.jit
    def traced(x):
        seen.append(fused.works.__wrapped__())
        return x

    with jax.enable_x64(True):
        traced(1.0)
    read = fused._read
    monkeypatch.setattr(fused, "_read", lambda *block: 1.001 * read(*block))
    jax.clear_caches()
    with pytest.warns(UserWarning, match="other numbers"):
        traced(1.0)
    assert seen == [True, False]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="there is a GPU")
def test_a_cpu_has_no_kernels():
    assert not fused.works.__wrapped__()


def test_a_network_that_no_core_has_room_for_goes_without(monkeypatch):
    monkeypatch.setattr(fused, "works", lambda: True)
    x = jnp.ones((40, 100))
    for width, kernels_there in ((64, True), (65, False)):
        layers = networks.dense_layers(c3.C3, jax.random.key(0), (40, width, width, 2))
        program = str(jax.make_jaxpr(networks.run_layers, static_argnums=0)(c3.C3, layers, x))
        assert ("pallas_call" in program) == kernels_there


def test_the_products_of_the_kernels_are_counted():
    """With their zeros: of 2 rows 16, of 24 inputs 32, of 1,000 columns two programs of 512."""
    def both(weight, x):
        value, back = jax.vjp(lambda *args: fused.columns(jnp.matmul, *args), weight, x)
        return back(value)

    args = jnp.ones((2, 24)), jnp.ones((24, 1000))
    product = 2 * 16 * 32 * 1024
    assert fused_flops(jax.make_jaxpr(lambda *a: fused.columns(jnp.matmul, *a))(*args)) == product
    assert fused_flops(jax.make_jaxpr(both)(*args)) == 3 * product  # there, and two back
    many = jax.vmap(lambda x: fused.columns(jnp.matmul, args[0], x))
    assert fused_flops(jax.make_jaxpr(many)(jnp.ones((3, 24, 1000)))) == 3 * product
    assert fused_flops(jax.make_jaxpr(jnp.matmul)(*args)) == 0  # the compiler counts these
