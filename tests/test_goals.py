"""Fits by seconds, rate or quality instead of steps and lambda."""

import dataclasses
import inspect
import math
import time
import warnings

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import c3lite as c3
from c3lite.fitting import goals, warm_up
from c3lite.fitting.training import History
from tests import hard
from tests.coded import coded

pytestmark = pytest.mark.usefixtures("optimized")  # hundreds of steps

SMALL = c3.edit(c3.C3_FAST, num_grids=3, synthesis_widths=(8,), entropy_widths=(8,),
                context_size=(3, 3), synthesis_residual_convs=1, steps=600, stage2_steps=60)


@pytest.fixture(scope="module")
def picture():
    return c3.data.crop(c3.data.kodak(23), 176, 104, 32, 48)


def test_the_schedule_is_as_long_as_fits_into_the_time(picture, monkeypatch):
    """With a made-up clock, on which a step takes 10 ms and the search 2 s."""
    now = [100.0]
    monkeypatch.setattr(warm_up.time, "perf_counter", lambda: now[0])

    def run_chunk(state, config, x, n):
        now[0] += 0.01 * int(n)
        return state

    def search(codec, config, x):
        now[0] += 2.0

    monkeypatch.setattr(warm_up, "run_chunk", run_chunk)
    monkeypatch.setattr(warm_up.parameters, "search", search)
    config = warm_up.scheduled(picture, SMALL, jax.random.key(0), 60, 95.0)
    total = config.steps + config.stage2_steps
    spent = now[0] - 95.0
    assert spent + 2.0 + 0.01 * total == pytest.approx(60, abs=0.02)
    assert config.stage2_steps / config.steps == pytest.approx(0.1, abs=0.01)
    with pytest.raises(ValueError, match="6 s are too few here: compilation and 100 steps take"
                       ) as refused:
        warm_up.scheduled(picture, SMALL, jax.random.key(0), 6, now[0])
    needed = int(str(refused.value).split()[-2])
    warm_up.scheduled(picture, SMALL, jax.random.key(0), needed, now[0])  # which is enough


def test_a_fit_by_seconds_can_be_repeated(picture):
    config = c3.edit(SMALL, stage2_patience=10**9)  # or stage 2 ends when its rate is exhausted
    short = c3.fit(picture, c3.edit(config, steps=30, stage2_steps=3), progress=False)  # compiles
    began = time.perf_counter()
    fit = c3.fit(picture, config, seconds=5, progress=False)
    assert fit.config.steps + fit.config.stage2_steps == len(fit.history.loss) >= 100
    assert fit.seconds <= time.perf_counter() - began
    again = c3.fit(picture, c3.edit(fit.config, steps=30, stage2_steps=3), progress=False)
    assert c3.encode(again) == c3.encode(short)


def test_what_a_goal_s_fits_begin_again_with_is_in_its_config(picture, monkeypatch):
    """All but the corrections, which are short of nothing but the goal."""
    asked = []

    def fit(x, config, *, on_collapse=None, **options):
        asked.append((config.rate_warmup, config.frozen_networks, on_collapse))
        config = config if on_collapse == "warn" else c3.edit(config, rate_warmup=0.6)
        return c3.fit(x, config, on_collapse="warn", **options)

    monkeypatch.setattr(goals, "fit", fit)
    found = c3.fit_to(picture, c3.edit(SMALL, steps=100, stage2_steps=10), psnr=31.0,
                      progress=False)
    assert found.config.rate_warmup == 0.6
    assert [first for first, *_ in asked[:2]] == [0.0, 0.6]
    assert {how for _, frozen, how in asked if frozen} <= {"warn"}
    assert {how for _, frozen, how in asked if not frozen} == {None}


def test_a_checkpoint_excludes_seconds(picture, tmp_path):
    with pytest.raises(ValueError, match="seconds and checkpoint exclude each other"):
        c3.fit(picture, SMALL, seconds=60, checkpoint=tmp_path / "a.ckpt")


@pytest.mark.parametrize("goal", [{"bpp": 2.5}, {"psnr": 33.0}])
def test_the_goal_is_reached(picture, goal):
    fit = c3.fit_to(picture, SMALL, **goal, progress=False)
    if "bpp" in goal:
        assert fit.bpp == pytest.approx(2.5, rel=0.02)
    else:
        assert fit.psnr == pytest.approx(33.0, abs=0.1)
    assert fit.config == c3.edit(SMALL, rd_weight=fit.config.rd_weight)
    # corrections on the way lead to the goal, and not away from the curve
    assert fit.loss < 1.05 * c3.fit(picture, fit.config, progress=False).loss
    assert (c3.decode(c3.encode(fit)) == fit.reconstruction).all()


def test_less_than_the_networks_is_refused(picture):
    with pytest.raises(ValueError, match=r"0.01 bpp cannot be reached: the networks alone take"):
        c3.fit_to(picture, SMALL, bpp=0.01, progress=False)


@pytest.mark.parametrize(
    "wrong", [{}, {"bpp": 1.0, "psnr": 30.0}, {"bpp": -1.0}, {"psnr": math.nan}])
def test_goals_that_are_none(picture, wrong):
    with pytest.raises(ValueError, match=r"either bpp or psnr|must be above 0"):
        c3.fit_to(picture, SMALL, **wrong)


@given(st.floats(-0.9, -0.3), st.floats(-3, 3), st.floats(-4, 2))
def test_a_straight_line_is_met_at_once(slope, offset, goal):
    """By the secant, wherever lambda is not at its limits."""
    line = goals._Line(slope=-0.5)
    for weight in (1e-3, 3e-3):
        line.add(weight, offset + slope * math.log(weight))
    weight = line.weight_at(goal)
    if goals.LOWEST < weight < goals.HIGHEST:
        assert offset + slope * math.log(weight) == pytest.approx(goal, abs=1e-6)


def test_a_goal_out_of_reach_is_said(picture, monkeypatch):
    """The made-up fit has 30 dB whatever lambda is."""
    fit = c3.fit(picture, c3.edit(SMALL, steps=20, stage2_steps=2), progress=False)
    monkeypatch.setattr(goals, "fit", lambda *_, **__: fit)
    with pytest.warns(UserWarning, match="90 dB was not reached: the nearest fit has"):
        assert c3.fit_to(picture, SMALL, psnr=90.0).psnr == fit.psnr


def test_a_page_that_would_stay_white_is_fitted_with_the_other_clip(monkeypatch):
    """By a made-up fit that stays of one color with the clip of the release."""
    page = hard.page(32, 48)
    blank = np.broadcast_to(page.mean((1, 2), keepdims=True), page.shape)

    def made_up(x, config, **options):
        fit = coded(config, page.shape[1:])
        found = blank if config.clip_gradient == "zero" else page
        past = [np.zeros(config.steps, np.float32)] * 4
        return dataclasses.replace(fit, image=x, reconstruction=found, history=History(*past),
                                   bits={"latents": 1000.0}, psnr=24.0)

    monkeypatch.setattr(goals, "fit", made_up)
    with pytest.warns(UserWarning, match="it begins again with"):
        fit = c3.fit_to(page, c3.edit(c3.C3, steps=300), psnr=24.0, progress=False)
    assert fit.config.clip_gradient == "straight_through" and not fit.collapsed


def test_the_default_is_the_fast_preset():
    assert inspect.signature(c3.fit).parameters["config"].default == c3.C3_FAST
    assert inspect.signature(c3.fit_to).parameters["config"].default == c3.C3_FAST
    assert c3.C3_FAST.steps == 2000


def test_what_no_lambda_reaches_is_not_tried_again_and_again(picture, monkeypatch):
    fits, fit = [], goals.fit
    monkeypatch.setattr(goals, "fit", lambda *a, **k: fits.append(fit(*a, **k)) or fits[-1])
    with pytest.warns(UserWarning, match="90 dB was not reached: the nearest fit has"):
        c3.fit_to(picture, SMALL, psnr=90, progress=False)
    weights = [float(fit.config.rd_weight) for fit in fits if fit.config.frozen_networks]
    assert len(weights) == len(set(weights))


def test_corrections_are_gentle_and_at_the_full_price(picture, monkeypatch):
    """Whatever the config's own schedule does."""
    fits, fit = [], goals.fit
    monkeypatch.setattr(goals, "fit", lambda *a, **k: fits.append(fit(*a, **k)) or fits[-1])
    monkeypatch.setattr(goals, "CORRECTIONS", 1)
    config = c3.edit(SMALL, learning_rate=1e-2, rate_warmup=0.5)
    with warnings.catch_warnings(action="ignore"):
        for psnr in (33, 35):  # one of which the long fit misses
            c3.fit_to(picture, config, psnr=psnr, progress=False)
    last = [fit.config for fit in fits if fit.config.frozen_networks][-1]
    assert last.rate_warmup == 0
    assert last.learning_rate.start == last.learning_rate.end == pytest.approx(5e-4)


def test_a_perfect_picture_is_a_goal_that_is_passed():
    with pytest.warns(UserWarning, match="40 dB was not reached"):
        fit = c3.fit_to(hard.flat(1.0, 32, 48), SMALL, psnr=40, progress=False)
    assert fit.psnr > 40
