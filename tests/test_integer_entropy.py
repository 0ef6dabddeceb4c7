"""The integer entropy network: exact in any order, close to the float one, safe at its limits."""

import decimal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import c3lite as c3
from c3lite.coding import payload as integer
from c3lite.coding.payload import Plan, put
from c3lite.fitting import parameters
from c3lite.ingredients.activations import ACTIVATIONS, FRACTION_BITS
from c3lite.ingredients.distributions import DISTRIBUTIONS
from c3lite.model import latents
from c3lite.model.codec import Codec
from tests.coded import CONFIGS, coded, real_arrays, shape_of

RNG = np.random.default_rng(0)


def network_of(config, shape=(31, 50), seed=0):
    fit = coded(config, shape, seed=seed)
    plan = Plan(config, shape)
    arrays = real_arrays(config, fit.coded, np.float64)
    nets = integer.networks(config, arrays, plan.unit, plan.per_grid)
    return nets, plan, fit


def in_int64(network, contexts, grid):
    """The same network of one grid's latents, by integer products and shifts."""
    def summed(layer, x):
        weight, bias = (np.round(a * 2.0**layer.shift).astype(np.int64)
                        for a in (layer.weight, layer.bias))  # the bias holds the rounding's half
        return x @ weight + (bias if bias.ndim == 1 else bias[grid])

    x, beside, layers = contexts.astype(np.int64), 0, list(network.layers)
    if network.has_branch:
        ours, branch = (layers[0]._replace(weight=layers[0].weight[:, part],
                                           bias=layers[0].bias[..., part])
                        for part in (slice(None, -2), slice(-2, None)))
        layers[0], beside = ours, summed(branch._replace(shift=layers[-1].shift), x)
    *hidden, last = layers
    for layer in hidden:
        x = np.clip(summed(layer, x) >> layer.shift, -(2**22), 2**22)
        x = ACTIVATIONS[network.activation].integer(x.astype(float)).astype(np.int64)
    x = summed(last, x) + beside >> last.shift
    return x[:, 0], np.clip(x[:, 1], *network.log_scale_range)


@pytest.mark.parametrize("name", ["c3", "c3-clic", "cool-chic", "film", "no hidden layer",
                                  "features", "all that came after C3"])
def test_float64_and_int64_agree_and_batches_change_nothing(name):
    nets, plan, _ = network_of(CONFIGS[name])
    n_context = nets[0].layers[0].weight.shape[0]
    contexts = np.round(RNG.laplace(size=(2000, n_context), scale=20)) * plan.unit
    for grid in (2, 0):
        whole = nets[grid](contexts, np.full(2000, grid))
        np.testing.assert_array_equal(whole, in_int64(nets[grid], contexts, grid))
    for size in (1, 7, 140):
        parts = [nets[0](contexts[i : i + size]) for i in range(0, 2000 if size > 1 else 200, size)]
        joined = np.concatenate(parts, axis=1)
        np.testing.assert_array_equal(joined, np.array(whole)[:, : joined.shape[1]])
    # enough different answers for this to mean something
    assert len(np.unique(whole[0])) > 50 and len(np.unique(whole[1])) > 5


def test_nothing_exceeds_what_float64_holds_even_with_the_largest_weights():
    config = c3.edit(c3.C3, entropy_widths=(24, 1000), previous_grid_size=3)
    plan = Plan(config, (8, 8))
    biggest = [(np.full((24, 33), 2.0**23), np.full(24, 2.0**23)),
               (np.full((1000, 24), 2.0**23), np.full(1000, 2.0**23)),
               (np.full((2, 1000), 2.0**23), np.full(2, 2.0**23))]
    network = integer.network(config, biggest, [], plan.unit)
    largest = integer.MAX_LATENT * plan.unit
    for layer in network.layers:
        sums = np.abs(layer.weight).sum(0) * largest + np.abs(layer.bias)
        assert (sums * 2.0**layer.shift <= 2**53).all()
        largest = integer.MAX_ACTIVATION
    contexts = np.full((3, 33), float(integer.MAX_LATENT * plan.unit))
    np.testing.assert_array_equal(network(contexts), in_int64(network, contexts, 0))


def test_no_rounding_in_a_table_depends_on_the_machine():
    # A machine's exp is off by a few units in the last place, here 1e-10 at most; the value
    # nearest to a tie is a hundred times farther away.
    def distance_to_tie(values):
        return np.abs(values - np.floor(values) - 0.5).min()

    latent_levels = integer.log_scale_level(np.arange(-80, 81)).tolist()
    for family in range(len(DISTRIBUTIONS)):
        levels = latent_levels if family else range(1024)  # parameters have Laplace's
        assert distance_to_tie(np.concatenate([
            integer.cumulative(family * integer.FAMILY + 16 * level + fraction)
            for level in levels for fraction in range(16)])) > 1e-8
    for activation in ACTIVATIONS.values():
        if activation.shortfall is not None:
            x = np.arange(activation.end << FRACTION_BITS) / 2**FRACTION_BITS
            assert distance_to_tie(activation.shortfall(x) * 2**FRACTION_BITS) > 1e-8
    levels = np.delete(np.arange(1024), 320)  # ln(scale) = 0: exp(0) is 1 everywhere
    radius = 10 * np.exp(levels / 64 - 5)
    radius = radius[radius < integer.MAX_RADIUS + 1]
    assert np.abs(radius - np.round(radius)).min() > 1e-8


def test_tables_are_the_correctly_rounded_laplace():
    one = decimal.Decimal(1)
    for number in (0, 7, 5003, 9009, 10965, 640 * 16 + 3):
        level, fraction = divmod(number, 16)
        scale = (decimal.Decimal(level) / 64 - 5).exp()
        mu = (decimal.Decimal(fraction) - 8) / 16
        radius = int(integer.RADIUS[level])

        def below(x, mu=mu, scale=scale):
            tail = (-abs(x - mu) / scale).exp() / 2
            return tail if x < mu else one - tail

        half = one / 2
        mass = [below(r + half) - below(r - half) for r in range(1, radius + 1)]
        mass.append(1 - below(radius + half) + below(-radius - half))
        mass += [below(r + half) - below(r - half) for r in range(-radius, 1)]
        total, edges = decimal.Decimal(0), [0]
        for i, m in enumerate(mass, start=1):
            total += m
            shared = total * (2**16 - len(mass))
            edges.append(i + int(shared.quantize(one, decimal.ROUND_HALF_EVEN)))
        assert integer.Tables()[number] == edges


@pytest.mark.parametrize("name", list(CONFIGS))
def test_close_to_the_float_network(name):
    config, shape = CONFIGS[name], shape_of(name)
    nets, plan, fit = network_of(config, shape)
    codec = Codec(config, shape, key=jax.random.key(0))
    model = parameters.with_networks(
        codec, parameters.from_integers(fit.coded.networks, *fit.coded.steps)).entropy
    grids = latents.split(
        jnp.asarray(fit.coded.symbols * np.float32(config.quantization_step)), plan.shapes)
    mu, scale = jax.jit(lambda m, g: m(config, g))(model, grids)

    buffer = np.zeros(plan.size)
    put(buffer, plan, slice(None), fit.coded.symbols[plan.order])
    plan.halve(buffer, slice(None))
    ours = np.empty((2, len(mu)))
    for n in range(len(plan.shapes)):
        places = np.flatnonzero(plan.grid == n)
        ours[:, plan.order[places]] = nets[n](plan.contexts(buffer, places), n)
    q = config.quantization_step
    expected_mu = np.asarray(mu, np.float64) / q
    expected_scale = np.clip(np.log(np.asarray(scale, np.float64) / q), -5, 5)
    assert np.abs(ours[0] / 16 - expected_mu).max() < 1 / 32 + 0.01
    assert np.abs(ours[1] / 16 - expected_scale).max() < 1 / 32 + 0.01
