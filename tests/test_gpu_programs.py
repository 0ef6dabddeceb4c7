"""What runs where there is no CPU cache to fit: the same objective, in programs for a GPU.

The backend is pretended: the programs run on this CPU, or are lowered for a GPU and only counted.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import c3lite as c3
from c3lite import ablation
from c3lite.ablation import devices, jobs
from c3lite.arrays import blocks, fused
from c3lite.fitting import batch, checkpoint, loop, training
from c3lite.model import codec, latents
from c3lite.model.quantize import hard_round
from tests.coded import CONFIGS
from tests.small import SMALL, pictures


@pytest.fixture
def gpu(monkeypatch):
    """Programs that are traced from here on are those for a GPU."""
    jax.clear_caches()
    yield lambda: monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    jax.clear_caches()


@pytest.mark.parametrize("name", ["c3", "cool-chic-v2", "video", "features"])
def test_the_objective_and_its_gradient_are_the_same(name, gpu, monkeypatch):
    """Also where columns are filled up to a multiple, 56 here."""
    config = c3.edit(CONFIGS[name], num_grids=2, entropy_widths=(5,), synthesis_widths=(4,),
                     synthesis_residual_convs=1)
    shape = (4, 8, 16) if name == "video" else (16, 32)
    key = jax.random.key(1)
    model = codec.Codec(config, shape, key=key)
    model = jax.tree.map(lambda a: a + 0.3 * jax.random.normal(key, a.shape), model)
    x = jax.random.uniform(key, (3, *shape))

    def measured():
        def objective(model):
            return codec.rate_distortion(model, config, x, lambda z: hard_round(z, 0.3))[0]

        return jax.jit(jax.value_and_grad(objective))(model)

    wanted_loss, wanted = measured()
    gpu()
    monkeypatch.setattr(blocks, "LARGE", 100)
    monkeypatch.setattr(blocks, "BLOCK", 56)
    assert blocks.spare_columns(640) == 32 and blocks.spare_columns(90) == 0
    loss, gradient = measured()
    assert loss == pytest.approx(float(wanted_loss), rel=1e-5)
    for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(wanted), strict=True):
        scale = float(jnp.abs(theirs).max()) + 1e-9
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=2e-5)


@pytest.mark.parametrize(("size", "to"), [((5,), (9,)), ((3, 4), (6, 7)), ((2, 1, 3), (3, 2, 6))])
def test_a_learned_kernel_by_phases_is_the_transposed_convolution(size, to, gpu):
    grid, kernel = (jax.random.normal(jax.random.key(i), sides)
                    for i, sides in enumerate((size, (8,) * len(size))))
    wanted = latents.double(grid, kernel, to)
    gpu()
    np.testing.assert_allclose(latents.double(grid, kernel, to), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [SMALL, c3.edit(SMALL, noise="gaussian", temperature=math.inf)])
def test_a_batch_is_its_fits(config, gpu):
    """Both stages: neither lets a gradient that is not finite into the other."""
    images = list(pictures(2).values())
    alone = [c3.fit(x, config, progress=False) for x in images]
    gpu()
    for ours, theirs in zip(c3.fit_many(images, config, progress=False), alone, strict=True):
        np.testing.assert_allclose(ours.history.loss, theirs.history.loss, rtol=2e-3)



def test_pictures_that_stand_and_lie_are_one_batch(tmp_path, monkeypatch):
    """And so one program: those that stand are fitted lying, and told of as they are."""
    lying = pictures(1)["wave0"] * np.linspace(0.5, 1, 24, dtype=np.float32)
    images, batches = {"lying": lying, "standing": lying.swapaxes(1, 2)}, []
    monkeypatch.setattr(jobs, "fit_many", lambda xs, *a, **k: (
        batches.append([x.shape for x in xs]), batch.fit_many(xs, *a, **k))[1])
    both = {}
    for size in (2, 1):
        swept = ablation.sweep([ablation.Row("small", (SMALL,))], images, [1e-3], batch=size,
                               store=tmp_path / str(size), executor="process", progress=False)
        both[size] = {result.image: result.record for result in swept}
    assert batches == [[lying.shape] * 2]
    together, alone = both[2], both[1]
    assert together["standing"].shape == lying.shape[:0:-1] == alone["standing"].shape
    assert together["standing"].history == together["lying"].history
    np.testing.assert_allclose(together["lying"].loss, alone["lying"].loss, rtol=1e-5)
    assert alone["standing"].history != alone["lying"].history, "alone it is fitted as it stands"


def test_a_sweep_that_is_killed_on_a_gpu_goes_on_from_the_checkpoint(tmp_path, gpu, monkeypatch):
    gpu()
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(loop, "FIRST_CHUNK", 1)
    monkeypatch.setattr(loop, "_chunk_size", lambda *_: 1)
    begun = []

    def during(self, group):
        begun.append([])

        def callback(state):
            begun[-1].append(int(state.step))
            if len(begun) == 1 and int(state.step) == 5:
                raise KeyboardInterrupt

        return callback

    monkeypatch.setattr(jobs.Progress, "during", during)

    def swept():
        return list(ablation.sweep([ablation.Row("small", (SMALL,))], pictures(2), [1e-3],
                                   store=tmp_path, batch=2, executor="process", progress=False))

    with pytest.raises(KeyboardInterrupt):
        swept()
    assert len(swept()) == 2 and begun[1][0] == 6, "it started anew"


def test_tables_of_numbers_are_one_program(gpu):
    """Whichever of its numbers differ within a batch."""
    def programs():
        batches = ([(1e-3, 1.0), (4e-3, 1.0)], [(1e-3, 1.0), (1e-3, 2.0)])
        return {str(batch.config_axes([c3.edit(SMALL, rd_weight=w, noise_shape=a)
                                       for w, a in each])) for each in batches}

    assert len(programs()) == 2
    gpu()
    assert len(programs()) == 1
    with pytest.raises(ValueError, match="equal steps"):
        batch.config_axes([SMALL, c3.edit(SMALL, steps=3)])


def lowered(config, shape, fits=0):
    """The program of a chunk of steps, of one fit or of several, for a GPU."""
    x = np.zeros((3, *shape), np.float32)
    state = training.begin(x, config, jax.random.key(0))
    if not fits:
        traced = loop.run_chunk.trace(state, config, x, np.int32(5))
    else:
        axes, config = batch.stacked_configs([config] * fits)
        state, x = batch._stacked([state] * fits), np.stack([x] * fits)
        traced = batch.run_chunk_many.trace(state, config, x, np.int32(5), axes=axes)
    return traced.lower(lowering_platforms=("cuda",)).as_text()


def loops(program):
    return program.count("stablehlo.while")


@pytest.mark.parametrize(("name", "fits"), [("c3", 0), ("c3", 2), ("cool-chic-v2", 0)])
def test_a_whole_photo_has_no_blocks_and_no_convolution(name, fits, gpu):
    """A sum of shifted arrays is none; its derivative's filter would be of the picture's size."""
    config = c3.PRESETS[name]
    if (name, fits) == ("c3", 0):
        assert loops(lowered(config, (256, 512), fits)) > 1  # blocks, on a CPU
        jax.clear_caches()
    gpu()
    program = lowered(config, (256, 512), fits)
    assert loops(program) == 1  # over the steps
    assert "stablehlo.case" not in program and "stablehlo.if" not in program
    assert "stablehlo.convolution" not in program


def test_what_is_large_on_a_cpu_is_not_elsewhere(gpu):
    assert blocks.is_large(2**20) and not blocks.is_large(2**10)
    gpu()
    assert not blocks.is_large(2**20)


def test_the_device_s_name_says_what_products_are_of(gpu, monkeypatch):
    assert "float32" not in devices.name()
    gpu()
    assert devices.name().endswith("float32")
    monkeypatch.setattr(fused, "works", lambda: True)
    assert devices.name().endswith("float32, fused kernels")
