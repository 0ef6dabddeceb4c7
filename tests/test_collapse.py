"""Fits that stay of one color: judged right, said aloud, begun again where that is asked for."""

import itertools
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import c3lite as c3
from c3lite import ablation
from c3lite.ablation.studies import network_transfer
from c3lite.fitting import collapse, training
from tests import hard
from tests.small import SMALL

pytestmark = pytest.mark.usefixtures("optimized")  # hundreds of steps

FIT = sys.modules["c3lite.fitting.fit"]
SIDES = 32, 48
RELEASE = c3.edit(c3.C3, steps=300, stage2_steps=30, parameter_steps=(1e-3,))
STRAIGHT = c3.edit(RELEASE, clip_gradient="straight_through")
RD_WEIGHTS = (1e-4, 1e-3, 4e-3)


def quiet_fit(x, config, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return c3.fit(x, config, progress=False, **options)


@pytest.fixture(scope="module")
def photo():
    return c3.data.crop(c3.data.kodak(23), 256, 128, *SIDES)  # of much contrast


@pytest.mark.parametrize("rd_weight", RD_WEIGHTS)
@pytest.mark.parametrize("picture", ["page of text", "red"])
def test_a_collapse_is_a_warning_with_its_remedy(picture, rd_weight):
    x = hard.PICTURES[picture](*SIDES)
    with pytest.warns(UserWarning, match=r'collapsed.* dB.*clip_gradient="straight_through"'):
        fit = c3.fit(x, c3.edit(RELEASE, rd_weight=rd_weight), progress=False)
    assert fit.collapsed is True and "collapsed" in repr(fit)
    constant = np.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)
    assert fit.psnr < c3.metrics.psnr(constant, x) + 5


@pytest.mark.parametrize("rd_weight", RD_WEIGHTS)
@pytest.mark.parametrize("picture", list(hard.PICTURES))
def test_with_the_straight_through_clip_none_collapses(picture, rd_weight):
    if picture == "night":  # at 4e-3 one color is worth more, or not, by the order of sums
        rd_weight = min(rd_weight, 2e-3)
    config = c3.edit(STRAIGHT, rd_weight=rd_weight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = c3.fit(hard.PICTURES[picture](*SIDES), config, progress=False)
    assert fit.collapsed is False and "collapsed" not in repr(fit) and fit.config == config
    assert np.array_equal(c3.decode(c3.encode(fit)), fit.reconstruction)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_picture_of_one_color_is_not_judged(value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = c3.fit(hard.flat(value, *SIDES), RELEASE, progress=False, on_collapse="restart")
    assert fit.collapsed is None and fit.config == RELEASE


def test_a_short_fit_is_not_judged():
    fit = c3.fit(hard.page(*SIDES), c3.edit(RELEASE, steps=80, stage2_steps=10), progress=False)
    assert fit.collapsed is None


def test_one_remedy_after_another():
    x = hard.page(*SIDES)

    def words(config):
        return collapse.message(x, 2 * collapse.color_mse(x), config)

    assert 'c3.edit(config, clip_gradient="straight_through") helps' in words(RELEASE)
    assert "c3.edit(config, rate_warmup=0.6) helps" in words(STRAIGHT)
    assert "more steps or a smaller rd_weight" in words(c3.edit(STRAIGHT, rate_warmup=0.6))
    with pytest.warns(UserWarning, match="begins again with"):
        assert collapse.restarted(RELEASE) == STRAIGHT
    with pytest.warns(UserWarning, match="begins again with"):
        assert collapse.restarted(STRAIGHT) == c3.edit(STRAIGHT, rate_warmup=0.6)


def test_a_night_sky_begins_again_with_cheap_bits():
    """Bright points are paid for before they are worth it: the clip has no part in it."""
    x = hard.night(64, 96)
    config = c3.edit(c3.C3_FAST, rd_weight=4e-3, steps=300, stage2_steps=30, num_grids=4,
                     synthesis_widths=(8,), entropy_widths=(8,), context_size=(3, 3))
    dark, starry = quiet_fit(x, config, on_collapse="warn"), quiet_fit(x, config)
    assert dark.collapsed and starry.collapsed is False
    assert starry.config == c3.edit(config, rate_warmup=0.6) and starry.loss < 0.8 * dark.loss
    both = quiet_fit(x, c3.edit(config, clip_gradient="zero"), on_collapse="restart")
    assert both.config == starry.config or not both.collapsed  # one remedy after the other


def test_of_two_fits_that_have_ended_the_better_comes_back(monkeypatch):
    x = hard.page(*SIDES)
    monkeypatch.setattr(collapse, "remedy", lambda config: (
        {} if config.stage2_steps else {"stage2_steps": 1}))
    config = c3.edit(STRAIGHT, rd_weight=1.0, stage2_steps=0)
    first, kept = quiet_fit(x, config, on_collapse="warn"), quiet_fit(x, config)
    second = quiet_fit(x, c3.edit(config, stage2_steps=1))
    assert kept.loss == min(first.loss, second.loss)


def test_a_fit_that_has_taken_its_seconds_does_not_begin_again(monkeypatch):
    x = hard.page(*SIDES)
    config = c3.edit(STRAIGHT, rd_weight=1.0)
    monkeypatch.setattr(FIT, "scheduled", lambda x, config, *_: config)
    with pytest.warns(UserWarning, match=r"rate_warmup=0.6\) helps"):
        fit = c3.fit(x, config, seconds=1e-3, progress=False, on_collapse="restart")
    assert fit.collapsed and not fit.config.rate_warmup


@pytest.mark.parametrize("rate_warmup", [0.0, 0.25, 1.0])
def test_lambda_grows_over_its_share_of_stage_1(rate_warmup):
    config = c3.edit(c3.C3, rd_weight=2e-3, rate_warmup=rate_warmup, steps=100)
    steps = (0, 10, 25, 50, 100, 110)
    weights = [float(training.rd_weight(config, jnp.int32(step))) for step in steps]
    share = [0.03 + 0.97 * step / 100 / rate_warmup if rate_warmup else 1 for step in steps]
    assert weights == pytest.approx([2e-3 * min(s, 1) for s in share], rel=1e-5)
    assert float(training.rd_weight(c3.C3, jnp.int32(0))) == float(np.float32(c3.C3.rd_weight))
    alone = c3.edit(config, steps=0)  # stage 2 has no cheap bits
    assert float(training.rd_weight(alone, jnp.int32(0))) == pytest.approx(2e-3)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_no_constant_color_is_better_than_the_best(r, g, b, seed):
    x = np.random.default_rng(seed).random((3, 5, 7), np.float32)
    error = np.mean((x - np.array([r, g, b])[:, None, None]) ** 2)
    assert collapse.color_mse(x) <= error + 1e-9


@pytest.mark.parametrize(("db_above", "collapsed"), [(4.9, True), (5.1, False), (-3, True)])
def test_the_line_is_5_db_above_the_best_color(photo, db_above, collapsed):
    mse = collapse.color_mse(photo) * 10 ** (-db_above / 10)
    assert collapse.judge(photo, mse, 300) is collapsed
    assert collapse.judge(photo, mse, 299) is None
    clip = np.stack([photo, photo], 1)  # over all frames
    assert collapse.judge(clip, mse, 300) is collapsed


def test_a_fit_begins_again_by_a_tenth_of_its_steps_and_says_so(tmp_path):
    x, seen = hard.page(*SIDES), []
    config = c3.edit(RELEASE, steps=1000, stage2_steps=20)
    with pytest.warns(UserWarning, match="begins again with clip_gradient"):
        fit = c3.fit(x, config, progress=False, on_collapse="restart",
                     checkpoint=tmp_path / "fit", callback=lambda s: seen.append(int(s.step)))
    restart = next(i for i, (a, b) in enumerate(itertools.pairwise(seen)) if b < a)
    assert seen[restart] <= 200  # the first chunk that ends at a tenth, 100, or after it
    assert fit.collapsed is False and fit.config.clip_gradient == "straight_through"
    directly = c3.fit(x, c3.edit(config, clip_gradient="straight_through"), progress=False)
    assert c3.encode(fit) == c3.encode(directly)  # also the file of which nothing tells
    assert not list(tmp_path.iterdir())


def test_a_restart_that_is_killed_goes_on(tmp_path, monkeypatch):
    from c3lite.fitting import checkpoint

    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    x, steps = hard.page(*SIDES), []

    class Killed(BaseException):
        pass

    def kill(state):
        steps.append(int(state.step))
        if steps[-1] > 150 and any(b < a for a, b in itertools.pairwise(steps)):
            raise Killed

    options = {"progress": False, "on_collapse": "restart", "checkpoint": tmp_path / "fit"}
    with pytest.warns(UserWarning, match="begins again"), pytest.raises(Killed):
        c3.fit(x, RELEASE, callback=kill, **options)
    again = []
    fit = quiet_fit(x, RELEASE, on_collapse="restart", checkpoint=tmp_path / "fit",
                    callback=lambda state: again.append(int(state.step)))
    assert min(again) > 100, "it began anew"
    assert c3.encode(fit) == c3.encode(c3.fit(x, STRAIGHT, progress=False))
    assert not list(tmp_path.iterdir())


def test_a_dead_fit_killed_at_its_end_begins_again(tmp_path, monkeypatch):
    from c3lite.fitting import checkpoint

    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    x = hard.page(*SIDES)

    def kill(state):
        if int(state.step) == RELEASE.steps + RELEASE.stage2_steps:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        c3.fit(x, RELEASE, progress=False, callback=kill, checkpoint=tmp_path / "fit")
    fit = quiet_fit(x, RELEASE, on_collapse="restart", checkpoint=tmp_path / "fit")
    assert fit.config == STRAIGHT and not fit.collapsed


def test_a_live_fit_does_not_begin_again(photo):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watched = c3.fit(photo, RELEASE, progress=False, on_collapse="restart")
    assert watched.config == RELEASE and watched.collapsed is False


def test_what_is_compared_does_not_begin_again(monkeypatch, tmp_path):
    """A fit of a sweep is as one of a batch, and a refit one of its config."""
    watch, asked = collapse.Watch, []

    def noted(x, config, on_collapse):
        asked.append(on_collapse)
        return watch(x, config, on_collapse)

    monkeypatch.setattr(collapse, "Watch", noted)
    x, config = hard.page(*SIDES), c3.edit(SMALL, clip_gradient="straight_through")
    fit = c3.fit(x, config, progress=False)
    FIT.refit(x, fit, frozen=False, progress=False)
    list(ablation.sweep([ablation.Row("row", (config,))], [x], [1e-3], store=tmp_path,
                        executor="process", progress=False))
    list(network_transfer.transfers({"one": x, "two": x[:, ::-1]}, config, store=str(tmp_path),
                                    progress=False))
    assert asked == [None, "warn", "warn"] + ["warn"] * (len(asked) - 3) and len(asked) >= 7


def test_what_on_collapse_may_be(photo):
    with pytest.raises(ValueError, match="on_collapse"):
        c3.fit(photo, RELEASE, on_collapse="ignore")


def test_each_of_many_and_the_best_of_several(photo):
    page = hard.page(*SIDES)
    with pytest.warns(UserWarning, match="collapsed"):
        fits = c3.fit_many([page, photo], RELEASE, progress=False)
    assert [fit.collapsed for fit in fits] == [True, False]
    configs = [RELEASE, c3.edit(RELEASE, rd_weight=2e-3)]
    with pytest.warns(UserWarning, match="begins again"):
        best = c3.adaptive(page, configs, progress=False, on_collapse="restart")
    assert best.collapsed is False


def test_each_patch_of_a_clip(photo):
    clip = np.concatenate([hard.clip(hard.page(*SIDES), 2), hard.clip(photo, 2)], axis=3)
    config = c3.edit(c3.UVG, num_grids=2, steps=300, stage2_steps=30, parameter_steps=(1e-3,),
                     rd_weight=1e-3, context_size=(3, 3), synthesis_widths=(6,),
                     entropy_widths=(4,), synthesis_residual_convs=1)
    options = {"patch": (2, *SIDES), "progress": False, "key": jax.random.key(1)}
    with pytest.warns(UserWarning, match="collapsed"):
        assert c3.fit_video(clip, config, **options).collapsed == (0,)
    with pytest.warns(UserWarning, match="begins again"):
        fit = c3.fit_video(clip, config, on_collapse="restart", **options)
    assert fit.collapsed == ()
    assert [part.config.clip_gradient for part in fit.fits] == ["straight_through", "zero"]
