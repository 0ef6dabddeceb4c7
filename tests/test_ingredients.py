"""Every ingredient of every table: what training, decoding, counting and the files need of it.

The tests walk the tables, so a new entry is tested as soon as it is there.
"""

import math
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import c3lite as c3
from c3lite.config import Config, field_types
from c3lite.ingredients.activations import ACTIVATIONS
from c3lite.ingredients.distributions import DISTRIBUTIONS
from c3lite.ingredients.initialization import INITIALIZATIONS
from c3lite.ingredients.noise import NOISES
from c3lite.ingredients.optimizers import NETWORK_OPTIMIZERS
from c3lite.ingredients.upsampling import UPSAMPLINGS
from tests.coded import coded

TABLES = {"activation": ACTIVATIONS, "upsampling": UPSAMPLINGS, "init": INITIALIZATIONS,
          "noise": NOISES, "network_optimizer": NETWORK_OPTIMIZERS,
          "latent_distribution": DISTRIBUTIONS}
SMALL = c3.edit(c3.C3, num_grids=2, synthesis_widths=(5,), entropy_widths=(5,), steps=3,
                context_size=(3, 3), synthesis_residual_convs=1, stage2_steps=1,
                parameter_steps=(1e-2,))
ENTRIES = [(field, name) for field, table in TABLES.items() for name in table]


def test_numbers_in_files_are_never_moved():
    assert list(ACTIVATIONS)[:2] == ["gelu", "relu"]
    assert list(UPSAMPLINGS)[:4] == ["bilinear", "bicubic", "lanczos", "learned"]
    assert list(DISTRIBUTIONS)[:3] == ["laplace", "gaussian", "two_laplaces"]


@pytest.mark.parametrize(("field", "name"), ENTRIES)
def test_a_config_names_it_and_a_wrong_name_is_refused(field, name):
    assert name in typing.get_args(field_types()[field])
    config = c3.edit(SMALL, **{field: name})
    assert Config.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match=f"{field} must be one of .*{name!r}"):
        c3.edit(SMALL, **{field: name + "x"})


ROWS = [{field: list(table)[i % len(table)] for field, table in TABLES.items()}
        for i in range(max(map(len, TABLES.values())))]
"""Every entry of every table in some row: a fit each is seconds of compilation."""


@pytest.mark.parametrize("row", ROWS, ids=[", ".join(row.values()) for row in ROWS])
def test_it_fits_and_its_file_decodes(row):
    x = np.random.default_rng(0).random((3, 11, 14), np.float32)
    fit = c3.fit(x, c3.edit(SMALL, **row), progress=False)
    assert np.isfinite(fit.history.loss).all()
    data = c3.encode(fit)
    np.testing.assert_array_equal(c3.decode(data), fit.reconstruction)
    written = c3.inspect(data).structure()
    assert {"activation", "upsampling"} <= set(written)
    assert all(written[field] == name for field, name in row.items() if field in written)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_video_of_all_pairs_comes_back(activation, upsampling):
    fit = coded(c3.edit(SMALL, activation=activation, upsampling=upsampling,
                        context_size=(3, 3, 3)), (3, 7, 9))
    data = c3.encode(fit)
    np.testing.assert_array_equal(c3.decode(data), fit.reconstruction)
    config = c3.inspect(data).config
    assert (config.activation, config.upsampling) == (activation, upsampling)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_the_same_in_jax_numpy_and_whole_numbers(name):
    activation = ACTIVATIONS[name]
    x = np.linspace(-12, 12, 5001, dtype=np.float32)
    np.testing.assert_allclose(activation.decode(x), activation.train(jnp.asarray(x)), atol=1e-6)
    whole = np.concatenate([np.arange(-60_000.0, 60_000.0), [-(2.0**22), 2.0**22]])
    exact = activation.train(jnp.asarray(whole / 4096, jnp.float32))
    ours = activation.integer(whole)
    assert np.abs(ours - np.asarray(exact, np.float64) * 4096).max() < 0.51
    assert (ours == np.round(ours)).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_s_derivative_is_finite(name):
    x = jnp.concatenate([jnp.linspace(-30, 30, 4001), jnp.array([0.0, -1e4, 1e4, 1e-30])])
    slope = jax.vmap(jax.grad(ACTIVATIONS[name].train))(x)
    assert jnp.isfinite(slope).all() and abs(slope).max() < 3
    inner = np.linspace(-3, 3, 40) + 0.01  # not at a kink
    h = 1e-2
    ends = [ACTIVATIONS[name].train(jnp.asarray(inner + d)) for d in (-h, h)]
    np.testing.assert_allclose(jax.vmap(jax.grad(ACTIVATIONS[name].train))(jnp.asarray(inner)),
                               (ends[1] - ends[0]) / (2 * h), atol=2e-3)


@pytest.mark.parametrize("name", [n for n, k in UPSAMPLINGS.items() if not k.is_learned])
def test_a_kernel_reads_as_many_samples_as_are_counted(name):
    kernel = UPSAMPLINGS[name]
    reach = kernel.taps / 2
    far = np.linspace(reach, reach + 5, 200)
    np.testing.assert_allclose(kernel.weight(far), 0, atol=1e-12)
    assert abs(kernel.weight(np.array([reach - 0.5]))).max() > 0
    from_the_start = c3.complexity.macs_per_pixel(c3.edit(c3.C3, upsampling=name), (64, 64))
    assert from_the_start.upsampling == 6 * 2 * kernel.taps**2
    # interpolation of a constant is the constant
    weights = kernel.weight(np.abs(0.3 - np.arange(-9, 10)))
    assert weights.sum() == pytest.approx(1, abs=0.02)


def test_a_shortcut_is_the_product_with_the_whole_matrix():
    from c3lite.model.latents import resize_matrix

    grid = jnp.asarray(np.random.default_rng(0).random((9, 5)), jnp.float32)
    for name, kernel in UPSAMPLINGS.items():
        if kernel.whole_ratio is not None:
            for ratio in (2, 4, 5):
                np.testing.assert_allclose(kernel.whole_ratio(grid, ratio),
                                           resize_matrix(9, 9 * ratio, name) @ grid, atol=1e-5)


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_centered_and_its_parameter_is_annealed(name):
    noise = NOISES[name]
    anneal = getattr(c3.C3, noise.parameter)
    assert isinstance(anneal, c3.Anneal)
    for parameter in (anneal.start, anneal.end):
        draws = noise.sample(jax.random.key(0), (100_000,), parameter)
        assert draws.dtype == jnp.float32 and jnp.isfinite(draws).all()
        assert abs(jnp.median(draws)) < 0.05 and 0.05 < draws.std() < 0.5


def test_gaussian_noise_has_the_stated_deviation():
    draws = NOISES["gaussian"].sample(jax.random.key(1), (400_000,), 0.22)
    assert float(draws.std()) == pytest.approx(0.22, rel=0.01)
    assert float((abs(draws) < 0.22).mean()) == pytest.approx(math.erf(0.5**0.5), abs=0.005)
    assert not NOISES["gaussian"].sample(jax.random.key(1), (5,), 0.0).any()


def test_the_noise_of_a_fit_is_the_config_s():
    """The quantizer of stage 1 adds what the config names: nothing, where its parameter says so."""
    from c3lite.fitting.training import quantizer

    x, step, key = jnp.linspace(-3, 3, 500), jnp.int32(1), jax.random.key(0)

    def rounded(**changes):
        return np.asarray(quantizer(c3.edit(SMALL, temperature=math.inf, **changes), step, key)(x))

    nothing = rounded(noise_shape=math.inf)
    np.testing.assert_allclose(nothing, x, atol=1e-6)
    np.testing.assert_array_equal(rounded(noise="gaussian", noise_sigma=0.0), nothing)
    wide = rounded(noise="gaussian", noise_sigma=0.5) - nothing
    assert wide.std() == pytest.approx(0.5, rel=0.1)
    # of 3 steps one is done: a third of the way
    narrow = rounded(noise="gaussian", noise_sigma=(0.3, 0.0)) - nothing
    np.testing.assert_allclose(narrow, wide * (0.2 / 0.5), atol=1e-5)
