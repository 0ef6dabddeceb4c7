"""Masks in the previous frame: against dense convolutions, learned from known motion, placed."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import c3lite as c3
from c3lite.model import context, entropy
from c3lite.model.entropy import EntropyModel
from c3lite.model.latents import grid_shapes
from c3lite.video import masks as video

SHAPE = (4, 24, 32)
SMALL = c3.edit(
    c3.ADAPTIVE_UVG[6], num_grids=3, masked_grids=2, synthesis_widths=(6,), entropy_widths=(4,),
    context_size=(3, 3), steps=20, stage2_steps=5, parameter_steps=(1e-3, 1e-2), rd_weight=2e-4)
"""E3, made small."""


@pytest.fixture(scope="session")
def moving():
    """A clip whose content is 5 columns further left and 1 row further down in each frame."""
    photo = c3.data.kodak(23)
    return np.stack([photo[:, 260 - t : 284 - t, 300 + 5 * t : 332 + 5 * t]
                     for t in range(SHAPE[0])], 1)


# Table 6 ----------------------------------------------------------------------------------------


def test_video_presets_are_table_6():
    assert len(set(c3.ADAPTIVE_UVG)) == 9 and c3.UVG == c3.ADAPTIVE_UVG[0]
    for config in c3.ADAPTIVE_UVG:
        assert (config.quantization_step, config.gradient_clip) == (0.3, 0.03)
        assert config.noise_shape == c3.Anneal(1.75, 1.0) and config.synthesis_widths == (32, 32)
        assert config.finest_grid and not config.previous_grid_size
    e1, e2, e3 = c3.ADAPTIVE_UVG[::3]
    assert [c.num_grids for c in (e1, e2, e3)] == [6, 5, 6]
    assert [c.entropy_per_grid for c in (e1, e2, e3)] == [False, True, True]
    assert [c.entropy_widths for c in (e1, e2, e3)] == [(16, 16), (2, 2), (8, 8)]
    counts = [[context.context_count(c, 3, n) for n in range(c.num_grids)] for c in (e1, e2, e3)]
    assert counts == [[121] * 6, [121] * 5, [40] * 3 + [24] * 3]
    s1, s2, s3 = c3.ADAPTIVE_UVG[:3]
    assert [c.mean_rgb_bias for c in (s1, s2, s3)] == [True, True, False]
    assert [c.synthesis_per_frame for c in (s1, s2, s3)] == [True, False, True]


# The mask is a convolution ----------------------------------------------------------------------


LINEAR = c3.edit(SMALL, entropy_widths=(), mask_shape=(4, 3), num_grids=1, masked_grids=1)
REACH = 8


@jax.jit
def _masked_and_dense(model, grid, origin, full):
    """mu by the custom mask, and by a dense convolution with `full`, zero outside the mask."""
    config = c3.edit(LINEAR, mask_origins=((0, 0),))
    object.__setattr__(config, "mask_origins", (origin,))
    mu, _ = model(config, (grid,))
    dense = jax.lax.conv_general_dilated(
        grid[None, None], full[None, None], (1, 1, 1),
        [(1, 1), (REACH, REACH), (REACH, REACH)], precision="highest")
    return mu, dense.reshape(-1)


@settings(max_examples=12)
@given(st.integers(-REACH, REACH - 3), st.integers(-REACH, REACH - 2))
def test_the_mask_is_a_masked_dense_3d_convolution(dy, dx):
    config = c3.edit(LINEAR, mask_origins=((dy, dx),))
    model = EntropyModel(config, 3, key=jr.key(0))
    weight = np.asarray(model.network(0)[0].weight)[0]
    full = np.zeros((3, 2 * REACH + 1, 2 * REACH + 1), np.float32)
    for w, (t, y, x) in zip(weight, context.grid_offsets(config, 3, 0), strict=True):
        full[1 + t, REACH + y, REACH + x] = w
    assert not full[2].any()  # nothing of the next frame
    grid = jr.normal(jr.key(1), (3, 9, 10))
    mu, dense = _masked_and_dense(model, grid, (dy, dx), full)
    np.testing.assert_allclose(mu, dense, atol=2e-7)


def test_a_wide_window_is_transformed_and_a_box_gathered_to_the_same(monkeypatch):
    config = c3.edit(SMALL, num_grids=2, mask_shape=(9, 9), mask_origins=((-4, -4), (-4, 2)))
    model = EntropyModel(config, 3, key=jr.key(0))
    grids = tuple(jr.normal(jr.key(n), s) for n, s in enumerate(grid_shapes(config, (3, 9, 10))))
    outputs = []
    for limit in (1, 100):
        monkeypatch.setattr(entropy, "WIDE", limit)
        outputs.append(jax.jit(lambda m, g: jnp.stack(m(config, g)))(model, grids))
    np.testing.assert_allclose(*outputs, rtol=2e-5, atol=1e-6)


def test_masks_see_nothing_later():
    config = c3.edit(SMALL, num_grids=2, mask_origins=((1, 1), (-3, -3)))
    model = EntropyModel(config, 3, key=jr.key(0))
    grids = tuple(jr.normal(jr.key(n), s) for n, s in enumerate(grid_shapes(config, (3, 5, 5))))
    jacobians = jax.jit(jax.jacobian(lambda *g: model(config, g)[0], (0, 1)))(*grids)
    jacobian = np.concatenate([j.reshape(len(j), -1) for j in jacobians], axis=1)
    assert np.count_nonzero(np.triu(jacobian)) == 0
    previous_frame = jacobian[50:75, 25:50]  # of the finest grid: the box begins at (1, 1)
    assert np.count_nonzero(previous_frame) == np.count_nonzero(np.triu(previous_frame, 6)) > 0


# Learning where to look -------------------------------------------------------------------------


@pytest.fixture(scope="session")
def learned(moving):
    return c3.learn_offsets(moving, SMALL, steps=120, window=17, progress=False)


def test_known_motion_is_found(learned):
    assert learned.boxes[0].covers(-1, 5)
    assert [heat.shape for heat in learned.heat_maps] == [(17, 17)] * 2
    assert learned.config == c3.edit(SMALL, mask_origins=learned.config.mask_origins)
    heat = learned.heat_maps[0]
    y, x = (o + 8 for o in learned.config.mask_origins[0])
    best = heat[y : y + 4, x : x + 4].sum()
    assert best == pytest.approx(max(
        heat[i : i + 4, j : j + 4].sum() for i in range(14) for j in range(14)))
    assert f"dx {learned.boxes[0].dx}" in repr(learned)


def test_in_a_static_clip_the_same_place_is_found(moving):
    static = np.repeat(moving[:, :1], SHAPE[0], axis=1)
    found = c3.learn_offsets(static, SMALL, steps=120, window=17, progress=False)
    assert found.boxes[0].covers(0, 0)


def test_other_places_of_the_mask(learned):
    box = learned.boxes[0]
    assert learned.at("learned") == learned.config
    opposite = dataclasses.replace(learned, config=learned.at("opposite")).boxes[0]
    assert opposite.covers(1, -5) and not opposite.covers(-1, 5)
    assert (opposite.dy + opposite.height - 1, opposite.dx + opposite.width - 1) == (
        -box.dy, -box.dx)
    assert dataclasses.replace(learned, config=learned.at("center")).boxes[1].covers(0, 0)
    assert learned.at("top-left").mask_origins == ((-8, -8), (-8, -8))
    with pytest.raises(ValueError, match="top-left"):
        learned.at("bottom")


def test_positions_share_one_program(moving, learned):
    compiled = []

    def listen(event, seconds, **details):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(details)

    first = c3.fit(moving, learned.config, progress=False)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        second = c3.fit(moving, learned.at("opposite"), progress=False)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert not compiled
    assert first.history.loss[-1] != second.history.loss[-1]


@pytest.mark.parametrize(("config", "options", "words"), [
    (c3.UVG, {}, "no mask"), (SMALL, {"window": 8}, "odd"), (SMALL, {"window": 3}, "at least"),
    (SMALL, {"steps": -1}, "0 or more")])
def test_what_cannot_be_learned(moving, config, options, words):
    with pytest.raises(ValueError, match=words):
        c3.learn_offsets(moving, config, **options)


def test_one_frame_has_no_previous_one(moving):
    for x in (moving[:, :1], moving[:, 0]):
        with pytest.raises(ValueError, match="2 frames"):
            c3.learn_offsets(x, SMALL)


def test_a_mask_without_a_place_says_who_finds_it(moving):
    with pytest.raises(ValueError, match="learn_offsets"):
        c3.fit(moving, SMALL, progress=False)


def test_a_mask_beyond_all_limits_is_refused_before_the_fit(moving):
    with pytest.raises(ValueError, match="limit of 255"):
        c3.fit(moving, c3.edit(SMALL, mask_origins=((0, 0), (0, -256))), progress=False)


def test_adaptive_learns_each_kind_of_mask_once(moving, learned, monkeypatch):
    asked = []

    def learn(x, config, **options):
        asked.append((config, options["steps"]))
        return learned

    monkeypatch.setattr(video, "learn_offsets", learn)
    placed = c3.edit(SMALL, mask_origins=((1, 1), (2, 2)))
    configs = [c3.UVG, SMALL, c3.edit(SMALL, mean_rgb_bias=False), placed]
    result = video.with_masks(moving, configs, steps=7)
    assert asked == [(SMALL, 7)]
    assert [c.mask_origins for c in result] == [
        (), learned.config.mask_origins, learned.config.mask_origins, placed.mask_origins]
    assert video.with_masks(moving[:, 0], [SMALL]) == [SMALL]  # an image has no previous frame
