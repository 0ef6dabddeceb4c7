"""Networks of one fit in another: frozen to the bit, and as a start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import c3lite as c3
from c3lite.fitting import loop
from c3lite.fitting.fit import refit
from c3lite.model.entropy import latent_bits

SMALL = c3.edit(c3.C3, num_grids=3, synthesis_widths=(6,), entropy_widths=(6,), context_size=(3, 3),
                synthesis_residual_convs=1, steps=60, stage2_steps=30, parameter_steps=(1e-3, 1e-2))


def photo(number, height, width):
    return c3.data.crop(c3.data.kodak(number), 220, 300, height, width)


@pytest.fixture(scope="session")
def source():
    return c3.fit(photo(23, 24, 32), SMALL, progress=False)


@pytest.fixture(scope="session")
def frozen(source):
    return refit(photo(19, 24, 32), source, frozen=True, progress=False)


def networks(codec):
    return jax.tree.leaves((codec.synthesis, codec.entropy))


def test_frozen_networks_are_the_sources_to_the_bit(source, frozen):
    given = jax.tree.leaves(source.networks)
    # through both stages, and stage 2's returns to its best
    assert all(map(np.array_equal, networks(frozen.codec), given))
    assert all(map(np.array_equal, jax.tree.leaves(frozen.coded.networks),
                   jax.tree.leaves(source.coded.networks)))
    assert len(frozen.history.loss) == 90
    assert frozen.history.loss[-1] < 0.7 * frozen.history.loss[0]  # the latents were fitted
    assert np.abs(frozen.coded.symbols).max() > 0


def test_a_warm_up_does_not_replace_the_given_networks(source):
    config = c3.edit(SMALL, warmup_starts=3)
    again = refit(photo(23, 24, 32), source, config, frozen=True, progress=False)
    assert all(map(np.array_equal, networks(again.codec),
                   jax.tree.leaves(source.networks)))


def test_a_frozen_fit_is_a_file_like_any_other(source, frozen):
    decoded = c3.decode(c3.encode(frozen))
    np.testing.assert_array_equal(decoded, frozen.reconstruction)
    assert frozen.psnr == pytest.approx(c3.metrics.psnr(decoded, frozen.image))
    assert {part: frozen.bits[part] for part in ("synthesis", "entropy")} == {
        part: source.bits[part] for part in ("synthesis", "entropy")}
    model = source.networks.entropy
    bits = latent_bits(model, SMALL, jnp.asarray(frozen.coded.symbols, jnp.float32), (24, 32))
    assert frozen.bits["latents"] == pytest.approx(float(bits.sum()), rel=1e-5)


def test_on_its_own_image_nothing_new_is_needed(source):
    # frozen networks on the very image they were fitted to: near the fit's own loss
    again = refit(source.image, source, frozen=True, progress=False)
    assert again.loss < 1.2 * source.loss
    other = refit(photo(19, 24, 32), source, frozen=True, progress=False)
    assert not np.array_equal(again.coded.symbols, other.coded.symbols)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_other_networks_take_no_other_program(source, is_frozen):
    # a warm start runs the program of any fit, and frozen fits share one
    names, other = [], c3.edit(SMALL, rd_weight=2e-3)
    refit(source.image, source, frozen=is_frozen, progress=False)

    def listen(event, seconds, **details):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(details)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        refit(source.image, source, other, frozen=is_frozen, progress=False)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert names == []


def test_a_warm_start_runs_the_program_of_a_fit(source):
    c3.fit(source.image, SMALL, progress=False)
    before = loop.run_chunk._cache_size()
    refit(source.image, source, frozen=False, progress=False)
    assert loop.run_chunk._cache_size() == before


def test_networks_stay_frozen_whatever_the_optimizer(source):
    config = c3.edit(SMALL, network_optimizer="soap", network_decay=0.01, steps=12,
                     stage2_steps=4)
    still = refit(source.image, source, config, frozen=True, progress=False)
    assert all(map(np.array_equal, networks(still.codec), jax.tree.leaves(source.networks)))
    assert np.abs(still.coded.symbols).max() > 0


def test_a_warm_start_begins_where_the_source_ended(source):
    warm = refit(source.image, source, c3.edit(SMALL, steps=20, stage2_steps=0),
                 frozen=False, progress=False)
    assert not all(map(np.array_equal, networks(warm.codec),
                       jax.tree.leaves(source.networks)))
    cold = c3.fit(source.image, c3.edit(SMALL, steps=20, stage2_steps=0), progress=False)
    assert warm.history.loss[-1] < cold.history.loss[-1]


def test_another_size(source):
    smaller = refit(photo(23, 16, 24), source, c3.edit(SMALL, steps=5, stage2_steps=0),
                    frozen=True, progress=False)
    assert smaller.reconstruction.shape == (3, 16, 24)


def test_networks_of_other_shapes_are_refused(source):
    with pytest.raises(ValueError, match=r"do not fit the config.*\(8, 3\).*\(6, 3\)"):
        refit(source.image, source, c3.edit(SMALL, synthesis_widths=(8,)), frozen=True)
