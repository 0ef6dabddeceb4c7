"""What came after C3: features of coarser grids, linear branches, separable upsampling, contexts of
few latents, hyperlatents, steps of each network and RDOQ."""

import dataclasses
import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import c3lite as c3
from c3lite.coding import files, header
from c3lite.coding import payload as integer
from c3lite.coding.payload import Plan, wavefront_weights
from c3lite.coding.pixels import synthesize
from c3lite.fitting import parameters
from c3lite.ingredients.upsampling import UPSAMPLINGS, raise_separably
from c3lite.model import context as ctx
from c3lite.model import latents
from c3lite.model.codec import Codec
from c3lite.model.networks import Dense
from c3lite.model.quantize import hard_round
from tests.coded import CONFIGS, coded, real_arrays, shape_of

HOP = c3.edit(
    c3.C3, context_taps=14, grid_features=6, linear_branches=True, upsampling="separable",
    residual_layers=True, entropy_widths=(20, 20), synthesis_widths=(48,))
"""The decoder that Cool-Chic 5 calls HOP, but its ReLU."""
RNG = np.random.default_rng(0)


def grids_of(config, shape):
    return tuple(jnp.asarray(RNG.normal(size=side), jnp.float32)
                 for side in latents.grid_shapes(config, shape))


def random_codec(config, shape):
    codec = Codec(config, shape, key=jax.random.key(0))
    leaves, structure = jax.tree.flatten(codec)
    leaves = [a + jnp.asarray(RNG.normal(size=a.shape) * 0.3, jnp.float32) for a in leaves]
    return jax.tree.unflatten(structure, leaves)


# Contexts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 5, 14])
def test_a_context_of_few_taps_is_the_first_ones_in_the_order_of_decoding(count):
    config = c3.edit(c3.C3, context_taps=count)
    offsets = ctx.own_offsets(config, 2)
    assert set(offsets) == set(ctx.PRIORITY[:count])
    assert list(offsets) == sorted(offsets) and all(o < (0, 0) for o in offsets)
    assert set(offsets) <= set(ctx.causal_offsets((7, 7), 2))
    assert wavefront_weights(ctx.own_offsets(c3.edit(c3.C3, context_taps=14), 2), 2) == (3, 1)


def test_of_a_clip_the_taps_are_those_of_the_frame():
    config = c3.edit(c3.C3, context_size=(3, 5, 5), context_taps=3)
    offsets = ctx.own_offsets(config, 3)
    assert sum(t < 0 for t, _, _ in offsets) == 25
    assert {o[1:] for o in offsets if o[0] == 0} == set(ctx.PRIORITY[:3])


# Features ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 24), (13, 7), (5, 12, 9)])
@pytest.mark.parametrize("hyper", [0, 2])
def test_features_are_made_of_all_coarser_latents_at_the_parent(shape, hyper):
    config = c3.edit(c3.C3, num_grids=4, grid_features=3, featured_grids=2, hyper_grids=hyper)
    grids, model = grids_of(config, shape), random_codec(config, shape).entropy
    exponents = (0, 1, 2, 3, *(0, 0, 2, 3)[4 - hyper:])
    assert latents.exponents(config) == exponents
    all_features = jax.jit(lambda grids: [
        model.features_of(config, grids, n) for n in range(len(grids))])(grids)
    for n in range(2):
        found = np.asarray(all_features[n])
        weight, bias = map(np.asarray, (model.features[n].weight, model.features[n].bias))
        sources = [m for m, e in enumerate(exponents) if e > n]
        for place in itertools.product(*map(range, grids[n].shape)):
            above = [grids[m][tuple(p >> (exponents[m] - n) for p in place)] for m in sources]
            np.testing.assert_allclose(found[(slice(None), *place)],
                                       weight @ np.array(above) + bias, atol=1e-5)
    assert not any(map(np.any, all_features[2:]))


def test_a_latent_depends_on_coarser_grids_alone_and_on_its_own_past():
    config = c3.edit(HOP, num_grids=4)
    shape = (12, 20)
    grids, model = grids_of(config, shape), random_codec(config, shape).entropy
    ends = np.cumsum([0, *(grid.size for grid in grids)])
    places = [tuple(side // 2 for side in grid.shape) for grid in grids]
    rows = np.array([end + np.ravel_multi_index(at, grid.shape)
                     for end, at, grid in zip(ends, places, grids, strict=False)])
    gradients = jax.jit(jax.jacrev(lambda g: model(config, g)[0][rows]))(grids)
    for n, (at, grid) in enumerate(zip(places, grids, strict=True)):
        for m, part in enumerate(np.asarray(g[n]) for g in gradients):
            if m < n:
                assert not part.any()
            elif m == n:
                assert part.any()
                assert not part.reshape(-1)[np.ravel_multi_index(at, grid.shape):].any()
            else:  # the three finest grids see the one place above them
                seen = np.argwhere(part).tolist()
                assert seen == ([[p >> (m - n) for p in at]] if n < 3 else [])


def test_the_integer_network_has_features_as_inputs():
    """What it sees are latents; the float network's features are folded into its first layer."""
    config = CONFIGS["features"]
    shape = (20, 33)
    fit = coded(config, shape)
    contents = files.read(c3.encode(fit))
    plan = Plan(contents.config, shape)
    real = header.real_arrays(contents.coded.networks, contents.coded.steps, np.float64)
    first, *others = integer.networks(contents.config, real, plan.unit, plan.per_grid)
    assert all(network is first for network in others)  # one serves all grids
    assert first.layers[0].weight.shape == (24 + 4 + 3 + 2, 18)
    assert first.layers[0].bias.shape == (5, 18)


@pytest.mark.parametrize("name", ["features", "video, features"])
def test_contexts_have_the_latents_above_in_columns_of_their_grid(name):
    config, shape = CONFIGS[name], shape_of(name)
    plan = Plan(config, shape)
    symbols = RNG.integers(1, 100, latents.count(config, shape))
    buffer = np.zeros(plan.size)
    integer.put(buffer, plan, slice(None), symbols[plan.order])
    grids = latents.split(symbols, plan.shapes)
    own = len(plan.displacements[0])
    for n, grid in enumerate(grids):
        places = np.flatnonzero(plan.grid == n)
        contexts = np.empty((grid.size, plan.contexts(buffer, places[:1]).shape[1]))
        first = sum(side.size for side in grids[:n])
        contexts[plan.order[places] - first] = plan.contexts(buffer, places)
        expected = []
        for k in range(len(grids)):
            for m, ratio in ctx.ancestors(config, k):
                above = np.array([grids[m][tuple(p >> ratio for p in at)]
                                  for at in np.ndindex(grid.shape)] if k == n else [0] * grid.size)
                expected.append(above * plan.unit)
        np.testing.assert_array_equal(contexts[:, own:].T, expected)


def test_decoding_takes_as_many_passes_as_without_features():
    """All grids advance together: the finest one's ranks are all there are, and one pass of the
    network each."""
    shape = (64, 96)
    alike = Plan(c3.edit(c3.C3, context_taps=14), shape)
    featured = Plan(c3.edit(c3.C3, context_taps=14, grid_features=6), shape)
    steps = [step for step, _ in featured.steps()]
    assert len(steps) <= len(list(alike.steps())) + 7
    assert all(featured.parts(step) == [step] for step in steps)
    assert any(len(np.unique(featured.grid[step])) > 1 for step in steps)


def test_hyperlatents_are_for_the_entropy_model_alone():
    config, shape = CONFIGS["all that came after C3"], (31, 50)
    fit = coded(config, shape)
    other = fit.coded.symbols.copy()
    own = sum(math.prod(s) for s in latents.grid_shapes(config, shape)[:6])
    other[own:] += 1
    assert own < len(other)
    np.testing.assert_array_equal(
        synthesize(config, shape, other, real_arrays(config, fit.coded)), fit.reconstruction)
    codec = random_codec(config, shape)
    bits = [parameters.total_bits(codec.entropy, config, jnp.asarray(s, jnp.float32), shape)
            for s in (fit.coded.symbols[:own].tolist() + [0] * (len(other) - own), other)]
    assert bits[0] != bits[1]


# Linear branches --------------------------------------------------------------------------------


def test_a_linear_branch_of_zeros_changes_nothing_and_else_it_is_added():
    config, shape = c3.edit(c3.C3, num_grids=3, linear_branches=True), (9, 14)
    codec = random_codec(config, shape)
    plain = c3.edit(config, linear_branches=False)
    without = eqx.tree_at(lambda c: (c.entropy.branches, c.synthesis.branch), codec, ((), None),
                          is_leaf=lambda leaf: isinstance(leaf, Dense))
    up = jnp.asarray(RNG.normal(size=(3, *shape)), jnp.float32) * 0.01
    grids, branch = grids_of(config, shape), codec.entropy.branches[0]
    contexts = jnp.concatenate([codec.entropy.context(config, grids, n) for n in range(3)], axis=1)
    added = (branch.weight @ contexts + branch.bias[:, None])[0]
    np.testing.assert_allclose(codec.entropy(config, grids)[0],
                               without.entropy(plain, grids)[0] + added, atol=2e-5)

    branch = codec.synthesis.branch
    middle = eqx.tree_at(lambda s: s.layers[-1].bias, codec.synthesis, jnp.full(3, 0.5))
    flat = eqx.tree_at(lambda s: (s.layers[-1].weight, *(c.weight for c in s.convs)),
                       middle, replace_fn=lambda a: 0 * a)  # colors near gray: nothing is clipped
    flat = eqx.tree_at(lambda s: [c.bias for c in s.convs], flat, replace_fn=lambda a: 0 * a)
    beside = jnp.einsum("ci,i...->c...", branch.weight, up) + branch.bias.reshape(3, 1, 1)
    small = eqx.tree_at(lambda s: (s.branch.weight, s.branch.bias), flat,
                        (branch.weight * 0.1, branch.bias * 0.1))
    unbranched = eqx.tree_at(lambda s: s.branch, flat, None,
                             is_leaf=lambda leaf: isinstance(leaf, Dense))
    np.testing.assert_allclose(small(config, up), unbranched(plain, up) + 0.1 * beside, atol=1e-5)


# Separable upsampling ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 24), (13, 7), (5, 12, 9)])
def test_separable_upsampling_starts_where_the_learned_kernel_does(shape):
    separable, learned = (c3.edit(c3.C3, upsampling=name, num_grids=4)
                          for name in ("separable", "learned"))
    grids = grids_of(separable, shape)
    ours, theirs = (
        jax.jit(lambda g, c=c: latents.upsample(c, g, shape, latents.initial_kernel(c, len(shape)))
                )(grids) for c in (separable, learned))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
@example(5, 8, 0)
def test_one_step_of_separable_upsampling_is_the_sum_over_its_taps(height, width, seed):
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(-(-height // 2), -(-width // 2))).astype(np.float32)
    fine = rng.normal(size=(height, width)).astype(np.float32)
    kernel = rng.normal(size=(1, 2, 4)).astype(np.float32)
    found = raise_separably(np, [fine, coarse], kernel)
    smooth, half = kernel[0]
    double = [*half, *half[::-1]]

    def own(y, x):
        return sum(smooth[abs(i)] * smooth[abs(j)] * fine[y + i, x + j]
                   for i in range(-3, 4) for j in range(-3, 4)
                   if 0 <= y + i < height and 0 <= x + j < width)

    def raised(y, x):
        total = 0.0
        for i, j in itertools.product(range(4), repeat=2):
            row = np.clip(y // 2 + y % 2 - 2 + i, 0, len(coarse) - 1)
            column = np.clip(x // 2 + x % 2 - 2 + j, 0, coarse.shape[1] - 1)
            total += double[y % 2 + 2 * i] * double[x % 2 + 2 * j] * coarse[row, column]
        return total

    for y, x in itertools.product(range(height), range(width)):
        np.testing.assert_allclose(found[:, y, x], [own(y, x), raised(y, x)], rtol=1e-3, atol=1e-3)
    if (height, width) == (5, 8):  # the shapes of all examples would be compiled
        np.testing.assert_allclose(raise_separably(jnp, [fine, coarse], jnp.asarray(kernel)),
                                   found, rtol=1e-5, atol=1e-5)


# What it costs ----------------------------------------------------------------------------------


def test_macs_and_parameters_are_those_counted_by_hand():
    shape = (512, 768)
    macs = c3.complexity.macs_per_pixel(HOP, shape)
    latents_a_pixel = latents.count(HOP, shape) / math.prod(shape)
    features = sum(6 * k * 4.0**-n for n, k in ((1, 6), (2, 5), (3, 4)))
    entropy = 20 * 20 + 20 * 20 + 20 * 2 + 20 * 2
    assert macs.entropy == pytest.approx(entropy * latents_a_pixel + features)
    assert macs.synthesis == 7 * 48 + 48 * 3 + 7 * 3 + 2 * 81
    smoothing = sum(14 * 4.0**-n for n in range(6))
    doubling = sum((4 / 2 + 4) * (6 - n) * 4.0**-n for n in range(6))
    assert macs.upsampling == pytest.approx(smoothing + doubling) == pytest.approx(64, abs=0.1)
    arrays = sum(math.prod(a.shape) for a in jax.tree.leaves(header.array_shapes(HOP, 2)))
    synthesis, kernel = 8 * 48 + 49 * 3 + 8 * 3 + 2 * 84, 6 * 8
    assert arrays == 882 + 42 + 6 * (7 + 6 + 5) + synthesis + kernel
    assert UPSAMPLINGS["separable"].kernel_shape(7, 2) == (6, 2, 4)


# Steps and RDOQ ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    """A codec after some steps, and its picture."""
    config = c3.edit(c3.C3, num_grids=3, synthesis_widths=(6,), entropy_widths=(6,),
                     synthesis_residual_convs=1, context_size=(3, 3), steps=60, stage2_steps=10,
                     rd_weight=4e-3)  # of networks that cost more than they need
    x = RNG.random((3, 4, 6)).repeat(5, 1).repeat(5, 2).astype(np.float32)
    return c3.fit(x, config, progress=False)


def searched(fit, **fields):
    config = c3.edit(fit.config, **fields)
    return config, parameters.search(fit.codec, config, jnp.asarray(fit.image))


def loss_of(config, found, x):
    """What `Search.best` decodes to, by the formula (Eq. 24)."""
    networks = parameters.from_integers(found.best.networks, *found.best.steps)
    codec = parameters.with_networks(Codec(config, x.shape[1:], key=jax.random.key(0)), networks)
    symbols = jnp.asarray(found.best.symbols, jnp.float32)
    bits = parameters.latent_bits(codec.entropy, config, symbols, x.shape[1:]).sum()
    np.testing.assert_allclose(found.total_latent_bits, bits, rtol=1e-4)
    image = parameters.to_8_bits(codec.decode(config, symbols))
    mse = jnp.mean((image - x) ** 2)
    everything = bits + sum(parameters.network_bits(found.best.networks))
    return float(mse + config.rd_weight * everything * 3 / x.size)


def test_a_network_with_steps_of_its_own_costs_no_more(fitted):
    (config, one), (split, each) = (searched(fitted, steps_per_network=own)
                                    for own in (False, True))
    assert len(one.best.steps) == 2 and len(each.best.steps) == 4
    together, apart = loss_of(config, one, fitted.image), loss_of(split, each, fitted.image)
    assert together == pytest.approx(float(one.loss.min()), rel=1e-5)
    assert apart <= together * (1 + 1e-6)


@pytest.mark.parametrize("apart", [False, True])
def test_rdoq_saves_bits_of_the_networks_and_never_costs(fitted, apart):
    (config, before), (_, after) = (
        searched(fitted, steps_per_network=apart, network_rdoq=rdoq) for rdoq in (False, True))
    assert loss_of(config, after, fitted.image) < loss_of(config, before, fitted.image)
    assert sum(parameters.network_bits(after.best.networks)) < sum(
        parameters.network_bits(before.best.networks))
    np.testing.assert_array_equal(after.best.symbols, before.best.symbols)
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), after.best.networks,
                         before.best.networks)
    assert 1 <= max(jax.tree.leaves(moved)) <= 2 * parameters.SWEEPS


def test_a_file_has_the_steps_that_its_config_says():
    fit = coded(CONFIGS["all that came after C3"], (31, 50))
    assert files.read(c3.encode(fit)).coded.steps == pytest.approx(fit.coded.steps)
    two = fit.coded._replace(steps=fit.coded.steps[:2])
    with pytest.raises(c3.BitstreamError, match="number of quantization steps"):
        c3.encode(dataclasses.replace(fit, coded=two))


def test_every_array_may_have_a_step_of_its_own(fitted):
    """No worse than a pair for each network, from where it begins; and in a file."""
    (config, pairs), (own, each) = (
        searched(fitted, **{field: True}) for field in ("steps_per_network", "steps_per_array"))
    arrays = jax.tree.leaves(each.best.networks)
    assert len(each.best.steps) == len(arrays) > 4
    assert set(map(float, each.best.steps)) <= set(header.ARRAY_STEPS)
    assert len(set(map(float, each.best.steps))) > 2
    before, after = loss_of(config, pairs, fitted.image), loss_of(own, each, fitted.image)
    assert after < before
    coded_fit = dataclasses.replace(fitted, config=own, coded=each.best._replace(
        networks=jax.tree.map(np.asarray, each.best.networks),
        symbols=np.asarray(each.best.symbols), steps=tuple(map(float, each.best.steps))))
    read = files.read(c3.encode(coded_fit)).coded
    assert read.steps == coded_fit.coded.steps
    for theirs, ours in zip(jax.tree.leaves(read.networks), arrays, strict=True):
        np.testing.assert_array_equal(theirs, ours)
    odd = coded_fit.coded._replace(steps=(0.3, *coded_fit.coded.steps[1:]))
    with pytest.raises(c3.BitstreamError, match="ARRAY_STEPS"):
        c3.encode(dataclasses.replace(coded_fit, coded=odd))


def test_steps_of_arrays_are_those_of_their_pairs():
    """Two and four steps reach the arrays by role, in files and in fits alike."""
    config, shape = CONFIGS["all that came after C3"], (31, 50)
    fit = coded(config, shape)
    arrays = header.take_apart(config, jax.tree.leaves(fit.coded.networks))
    for steps in ((0.1, 0.2), (0.1, 0.2, 0.3, 0.4)):
        by_role = jax.tree.leaves(header.array_steps(arrays, steps))
        assert by_role == jax.tree.leaves(parameters.array_steps(fit.coded.networks, steps))
        assert set(by_role) == set(steps)


def test_the_networks_smooth_bits_follow_their_bits():
    """Halving all weights, or a step twice as large, saves a bit a weight."""
    rng = np.random.default_rng(0)
    networks = parameters.Networks(None, rng.laplace(size=(40, 50)).astype(np.float32),
                                   rng.laplace(size=300).astype(np.float32))
    half = jax.tree.map(lambda a: a / 2, networks)
    saved = parameters.smooth_network_bits(networks) - parameters.smooth_network_bits(half)
    coded_bits = [sum(filter(None, map(np.sum, map(parameters.laplace_array_bits, jax.tree.leaves(
        jax.tree.map(lambda a: jnp.round(a / 0.01), n)))))) for n in (networks, half)]
    assert float(saved) == pytest.approx(2300, rel=1e-3)
    assert float(saved) == pytest.approx(float(coded_bits[0] - coded_bits[1]), rel=0.01)
    nothing = jax.tree.map(jnp.zeros_like, networks)
    gradient = jax.tree.leaves(jax.grad(parameters.smooth_network_bits)(nothing))
    assert all(np.isfinite(g).all() for g in gradient)


def test_a_fit_that_sees_its_networks_bits_has_smaller_networks():
    x = c3.data.crop(c3.data.kodak(23), 220, 300, 24, 32)
    config = c3.edit(c3.C3, rd_weight=4e-3, steps=100, stage2_steps=0, num_grids=2,
                     entropy_widths=(4,), synthesis_widths=(4,), context_size=(3, 3))
    bits = [sum(b for part, b in fit.bits.items() if part != "latents") for fit in (
        c3.fit(x, c3.edit(config, network_rate=rate), progress=False) for rate in (0.0, 1.0))]
    assert bits[1] < 0.9 * bits[0]
    # over four times the pixels they weigh a quarter, and never more than over those there are
    few = c3.edit(config, steps=6)
    alike = [({"network_rate": 1.0, "network_pixels": 4 * 24 * 32}, {"network_rate": 0.25}),
             ({"network_rate": 1.0, "network_pixels": 1.0}, {"network_rate": 1.0})]
    for pair in alike:
        one, other = (c3.fit(x, c3.edit(few, **edits), progress=False) for edits in pair)
        np.testing.assert_allclose(one.history.loss, other.history.loss, rtol=1e-5)
        np.testing.assert_allclose(one.codec.synthesis.layers[0].weight,
                                   other.codec.synthesis.layers[0].weight, atol=1e-6)


# What excludes what -----------------------------------------------------------------------------


@pytest.mark.parametrize(("fields", "words"), [
    ({"grid_features": 6, "previous_grid_size": 3}, "exclude each other"),
    ({"linear_branches": True, "mask_shape": (2, 2)}, "exclude each other"),
    ({"steps_per_network": True, "steps_per_array": True}, "exclude each other"),
    ({"hyper_grids": 3}, "grid_features"), ({"context_taps": 15}, "to 14"),
    ({"hyper_grids": 8, "grid_features": 6}, "hyper_grids"),
    ({"upsampling": "separable", "finest_grid": False}, "finest_grid"),
])
def test_what_cannot_be_together_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        c3.edit(c3.C3, **fields)


def test_the_step_of_a_latent_is_still_its_gain():
    """Hyperlatents have the gains of their sizes."""
    config = c3.edit(HOP, hyper_grids=3)
    np.testing.assert_array_equal(latents.initial_gains(config),
                                  2.0 ** np.array([0, 1, 2, 3, 4, 5, 6, 4, 5, 6]))
    codec = Codec(config, (32, 48), key=jax.random.key(0))
    assert hard_round(codec.scaled_latents(config)).size == latents.count(config, (32, 48))
