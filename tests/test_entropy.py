"""The Laplace rate against integrals and limits, and the network's switches (Eqs. 1, 12)."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from c3lite import C3, C3_CLIC, COOL_CHIC, COOL_CHIC_V2, edit
from c3lite.ingredients.distributions import DISTRIBUTIONS, _two
from c3lite.model import entropy, latents
from c3lite.model.entropy import EntropyModel, bin_bits, laplace_scale
from c3lite.model.latents import grid_shapes

numbers = st.floats(-30, 30)
scales = st.floats(0.01, 100)


SIDES = {  # sums of what SciPy has: share, scale, of a distribution of scale 1
    "laplace": [(1, 1, scipy.stats.laplace)],
    "gaussian": [(1, 2**0.5, scipy.stats.norm)],
    "two_laplaces": [(0.75, 1, scipy.stats.laplace), (0.25, 0.5, scipy.stats.laplace)],
}
every_distribution = pytest.mark.parametrize("name", DISTRIBUTIONS)


def beyond(name, t):
    """P(x > t), of scale 1."""
    return sum(share * part.sf(t / scale) for share, scale, part in SIDES[name])


@every_distribution
@given(numbers, numbers, scales)
def test_bits_are_the_integral_of_the_density(name, x, mu, scale):
    d = abs(x - mu)  # symmetric; the smaller tail, or the difference cancels
    p = beyond(name, (d - 0.5) / scale) - beyond(name, (d + 0.5) / scale)
    expected = min(-np.log2(max(p, 1e-300)), 16)
    bits = bin_bits(jnp.float32(x), jnp.float32(mu), jnp.float32(scale), name)
    np.testing.assert_allclose(bits, expected, rtol=2e-3, atol=2e-4)


@every_distribution
@given(numbers, st.floats(0.05, 20))
def test_probabilities_of_all_integers_sum_to_one(name, mu, scale):
    x = jnp.arange(-1000.0, 1001)
    bits = bin_bits(x, jnp.full_like(x, mu), jnp.full_like(x, scale), name)
    floor = 2001 * 2.0**-16  # each is at least the floor
    assert 1 - 1e-4 <= (2.0 ** -np.asarray(bits, float)).sum() <= 1 + floor + 1e-4


@every_distribution
def test_bits_are_capped_at_16_without_a_gradient(name):
    far = jnp.float32(500), jnp.float32(0), jnp.float32(1)
    value, slope = jax.value_and_grad(bin_bits)(*far, name)
    assert value == 16 and slope == 0


@every_distribution
@given(numbers, numbers, st.floats(1e-3, 150))
def test_gradients_are_finite_and_point_to_mu(name, x, mu, scale):
    value, (dx, dmu, dscale) = jax.value_and_grad(bin_bits, argnums=(0, 1, 2))(
        jnp.float32(x), jnp.float32(mu), jnp.float32(scale), name)
    assert 0 <= value <= 16
    assert np.isfinite([dx, dmu, dscale]).all()
    np.testing.assert_allclose(dmu, -dx, atol=1e-5)
    if abs(x - mu) > 1e-3:  # moving x away from mu never costs less
        assert dx * np.sign(x - mu) >= -1e-5


@every_distribution
def test_tables_and_bits_are_of_one_distribution(name):
    family, t = DISTRIBUTIONS[name], np.linspace(0, 9, 200)
    scale = 1.6
    np.testing.assert_allclose(family.tails(t, scale), 2 * beyond(name, t / scale), rtol=1e-12)
    np.testing.assert_allclose(
        family.beyond(jnp.asarray(t), scale), family.tails(t, scale), rtol=2e-5)
    np.testing.assert_allclose(family.within(jnp.asarray(t), scale), family.tails(t, scale)
                               - family.tails(t + 1, scale), rtol=2e-5, atol=1e-12)
    assert family.beyond(jnp.float32(-1), scale) == 1


def test_two_laplaces_of_one_scale_are_one():
    t, scale = np.linspace(0, 9, 50, dtype=np.float32), np.float32(0.8)
    for function in DISTRIBUTIONS["laplace"]:
        np.testing.assert_allclose(_two(function, ratio=1)(t, scale), function(t, scale), rtol=1e-6)
        np.testing.assert_allclose(_two(function, share=0)(t, scale), function(t, scale))


def test_a_gaussian_has_the_variance_of_laplace():
    t = np.linspace(0, 60, 60001)
    for name in ("laplace", "gaussian"):  # E x^2 = 2 integral of t P(|x| > t)
        np.testing.assert_allclose(
            2 * np.trapezoid(t * DISTRIBUTIONS[name].tails(t, 1.0), t), 2, rtol=1e-5)


def test_scale_starts_at_e_to_minus_4_and_falls_with_the_raw_output():
    np.testing.assert_allclose(laplace_scale(C3, jnp.zeros(1)), np.exp(-4), rtol=1e-6)
    scale = laplace_scale(C3, jnp.linspace(-40, 40, 200))
    assert (jnp.diff(scale) <= 0).all()
    np.testing.assert_allclose([scale[0], scale[-1]], [150, 1e-3], rtol=1e-5)


def test_cool_chic_clips_its_raw_output_to_minus_10_and_13_8155():
    raw = jnp.array([-50, -10, 0.3, 13.8155, 50])
    expected = jnp.exp(-0.5 * jnp.clip(raw, -10, 13.8155))
    np.testing.assert_allclose(laplace_scale(COOL_CHIC, raw), expected, rtol=1e-4)


def outputs(config, shape=(6, 9), key=0):
    config = edit(config, num_grids=3)
    grids = tuple(jr.normal(jr.key(i), s) for i, s in enumerate(grid_shapes(config, shape)))
    model = EntropyModel(config, 2, key=jr.key(key))
    return config, model, grids


@pytest.mark.parametrize("config", [C3, C3_CLIC, COOL_CHIC, COOL_CHIC_V2,
                                    edit(C3, entropy_film=True), edit(C3, entropy_per_grid=True)])
def test_one_pass_over_all_grids_equals_a_grid_at_a_time(config):
    config, model, grids = outputs(config)

    @jax.jit
    def both(grids):
        parts = [entropy.run_layers(config, model.network(n), model.context(config, grids, n))[0]
                 for n in range(3)]
        return model(config, grids)[0], jnp.concatenate(parts)

    np.testing.assert_allclose(*both(grids), atol=1e-5)


def test_film_of_zeros_is_the_shared_network():
    config, plain, grids = outputs(C3)
    film = EntropyModel(edit(config, entropy_film=True), 2, key=jr.key(0))
    for ours, theirs in zip(film(edit(config, entropy_film=True), grids), plain(config, grids),
                            strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_film_modulates_before_the_activation():
    config, model, grids = outputs(edit(C3, entropy_film=True))
    gamma, beta = jr.normal(jr.key(5), (2, 3, 18))
    model = jax.tree.map(lambda x: x, model)
    object.__setattr__(model, "film", ((gamma, beta), *model.film[1:]))
    n, layers = 1, model.networks[0]
    context = model.context(config, grids, n)
    hidden = (1 + gamma[n])[:, None] * layers[0](context) + beta[n][:, None]
    hidden = jax.nn.gelu(layers[1](jax.nn.gelu(hidden)))
    folded = entropy.run_layers(config, model.network(n), context)
    np.testing.assert_allclose(folded, layers[2](hidden), atol=1e-4)


def test_separate_networks_start_apart():
    _, model, _ = outputs(edit(C3, entropy_per_grid=True))
    assert len(model.networks) == 3
    assert not np.allclose(model.networks[0][0].weight, model.networks[1][0].weight)


def test_a_mask_without_separate_networks_is_refused():
    config = edit(C3, mask_shape=(4, 4), mask_origins=((0, 0),), masked_grids=1)
    with pytest.raises(ValueError, match="entropy_per_grid"):
        EntropyModel(config, 3, key=jr.key(0))


def test_split_inverts_concatenation():
    sizes = ((3, 4), (2, 2), (1, 1))
    grids = tuple(jr.normal(jr.key(i), s) for i, s in enumerate(sizes))
    flat = jnp.concatenate([g.reshape(-1) for g in grids])
    for ours, theirs in zip(latents.split(flat, sizes), grids, strict=True):
        np.testing.assert_array_equal(ours, theirs)
