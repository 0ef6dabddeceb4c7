"""Fits: repeatable, resumable, interruptible, batched; and what they say to bad input."""

import os
import signal
import subprocess
import sys
import time
import traceback

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import c3lite as c3
from c3lite.data.atomic import write_atomically
from c3lite.fitting import checkpoint, loop, training, warm_up
from c3lite.fitting.fit import check_image
from c3lite.model.codec import rate_distortion
from c3lite.model.quantize import hard_round

FIT = sys.modules["c3lite.fitting.fit"]

SMALL = c3.edit(c3.C3, num_grids=3, synthesis_widths=(6,), entropy_widths=(6,), context_size=(3, 3),
                synthesis_residual_convs=1, steps=60, stage2_steps=30, parameter_steps=(1e-3, 1e-2))


@pytest.fixture(scope="session")
def photo():
    return c3.data.crop(c3.data.kodak(23), 220, 300, 24, 32)


@pytest.fixture(scope="session")
def small_fit(photo):
    return c3.fit(photo, SMALL, progress=False)


def same(a, b):
    return (np.array_equal(a.coded.symbols, b.coded.symbols)
            and np.array_equal(a.history.loss, b.history.loss)
            and same_arrays(a.codec, b.codec))


def same_arrays(a, b):
    return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def test_a_fit_compresses(photo, small_fit):
    assert len(small_fit.history.loss) == 90 and not small_fit.interrupted
    assert small_fit.history.loss[-1] < 0.2 * small_fit.history.loss[0]
    assert small_fit.reconstruction.shape == photo.shape
    np.testing.assert_array_equal(small_fit.reconstruction * 255,
                                  np.round(small_fit.reconstruction * 255))
    assert small_fit.psnr == pytest.approx(c3.metrics.psnr(small_fit.reconstruction, photo))
    assert set(small_fit.bits) == {"latents", "synthesis", "entropy"}
    assert small_fit.bpp_estimate == pytest.approx(sum(small_fit.bits.values()) / photo[0].size)
    mse = 10 ** (-small_fit.psnr / 10)
    assert small_fit.loss == pytest.approx(mse + 1e-3 * small_fit.bpp_estimate, rel=1e-4)


def test_summary_names_the_numbers(small_fit):
    text = repr(small_fit)
    assert "24x32" in text and f"{small_fit.psnr:.2f} dB" in text and "entropy" in text


def test_the_same_key_gives_the_same_fit(photo, small_fit):
    assert same(c3.fit(photo, SMALL, progress=False), small_fit)
    assert not same(c3.fit(photo, SMALL, key=jax.random.key(1), progress=False), small_fit)


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_the_size_of_chunks_changes_nothing(photo, small_fit, chunk, monkeypatch):
    monkeypatch.setattr(loop, "_chunk_size", lambda *_: chunk)
    monkeypatch.setattr(loop, "FIRST_CHUNK", chunk)
    assert same(c3.fit(photo, SMALL, progress=False), small_fit)


@pytest.fixture
def compilations():
    """The programs XLA compiles, or takes from the persistent cache, while the test runs."""
    names = []

    def listen(event, seconds, **details):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(details)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


def test_chunks_stages_and_numbers_share_one_compilation(photo, small_fit, compilations):
    # several chunks and both stages, after a fit of the same structure
    c3.fit(photo, c3.edit(SMALL, rd_weight=1e-2, temperature=0.2, noise_shape=1.0, steps=20,
                          gradient_clip=3.0, quantization_step=1.0), progress=False)
    assert compilations == []


def test_a_first_fit_compiles_its_loop_once(photo):
    config = c3.edit(SMALL, steps=30)
    state, traced = training.begin(photo, config, jax.random.key(0)), []
    for _ in range(2):
        state, _, _ = loop.run_chunk(state, config, jnp.asarray(photo), np.int32(5))
        traced.append(loop.run_chunk.trace(
            state, config, jnp.asarray(photo), np.int32(5)).jaxpr.in_avals)
    begun = jax.tree.leaves(training.begin(photo, config, jax.random.key(0)))
    # a weak type among the first arguments would trace and compile the loop a second time
    assert [getattr(leaf.aval, "weak_type", False) for leaf in begun] == [
        aval.weak_type if hasattr(aval, "weak_type") else False
        for aval in traced[0][: len(begun)]]
    assert traced[0] == traced[1]


@pytest.mark.parametrize(("changes", "way"), [
    ({}, "chunks"), ({"warmup_starts": 2}, "best_start"), ({"window": (8, 8)}, "chunks")],
    ids=["plain", "warm-up", "window"])
def test_six_functions_lead_from_fit_to_the_formula(photo, changes, way, monkeypatch):
    stack = []

    class Seen(Exception):
        """Ends the tracing: nothing is compiled."""

    def seen(*args):
        frames = traceback.extract_stack()
        stack.append([frame.name for frame in frames if "/c3lite/" in frame.filename])
        raise Seen

    monkeypatch.setattr(training, "rate_distortion", seen)
    config = c3.edit(SMALL, entropy_widths=(3,), steps=10, **changes)
    with pytest.raises(Seen):  # of a structure of its own, so that it is traced here
        c3.fit(photo, config, progress=False)
    assert stack == [["fit", way, "run_chunk", "body", "step"]]  # and rate_distortion


def test_a_fit_goes_on_from_a_codec(photo, small_fit, tmp_path):
    """Without a warm-up, which would replace it; no step changes it here."""
    config = c3.edit(SMALL, steps=0, stage2_steps=0, warmup_starts=2)
    again = c3.fit(photo, config, start=small_fit.codec, progress=False)
    assert same_arrays(again.codec, small_fit.codec) and again.config.warmup_starts == 1
    np.testing.assert_array_equal(again.reconstruction, small_fit.reconstruction)
    with pytest.raises(ValueError, match="start and checkpoint exclude each other"):
        c3.fit(photo, config, start=small_fit.codec, checkpoint=tmp_path / "fit.ckpt")


def large(config, photo):
    """With a window that the photo is large enough for."""
    height, width = photo.shape[-2:]
    return c3.edit(config, window=(height // 4, width // 2))


def test_a_window_is_tiles_from_all_over_the_picture():
    x = np.arange(3 * 512 * 768, dtype=np.float32).reshape(3, 512, 768)
    tiles = warm_up.window(x, (128, 192))
    assert tiles.shape == (3, 128, 192)
    for i, top in enumerate((96, 352)):  # two centers at a quarter and three, less half a tile
        for j, left in enumerate((96, 352, 608)):
            np.testing.assert_array_equal(tiles[:, 64 * i : 64 * (i + 1), 64 * j : 64 * (j + 1)],
                                          x[:, top : top + 64, left : left + 64])
    batch = np.stack([x, -x])
    np.testing.assert_array_equal(warm_up.window(batch, (128, 192)), np.stack([tiles, -tiles]))


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 90), st.integers(1, 90))
def test_a_window_has_its_size_whatever_the_picture_has(height, width, rows, columns):
    x = np.random.default_rng(0).uniform(size=(3, height, width)).astype(np.float32)
    tiles = warm_up.window(x, (rows, columns))
    assert tiles.shape == (3, rows, columns) and np.isin(tiles, x).all()


def test_a_window_is_for_large_pictures(photo):
    with_window = c3.edit(SMALL, window=(16, 16))
    assert warm_up.window_of(with_window, (64, 32)) == (16, 16)
    for config, shape in (
            (with_window, (64, 31)), (with_window, (8, 64, 64)), (SMALL, (512, 768))):
        assert warm_up.window_of(config, shape) is None
    state = training.begin(photo, SMALL, jax.random.key(0))
    assert warm_up.on_window(photo, c3.edit(SMALL, window=photo.shape[1:]), state) is None


def test_the_networks_come_from_the_window(photo, capsys):
    config = large(SMALL, photo)
    key = jax.random.key(3)
    state = training.begin(photo, config, key)
    *_, (windowed, _) = loop.chunks(*warm_up.on_window(photo, config, state))
    begun = warm_up.with_networks_from(state, windowed)
    tiles = warm_up.window(photo, config.window)
    # the fit of the tiles as a picture of its own, from the state's second key
    begun_small = training.begin(tiles, config, state.key)
    *_, (small, _) = loop.chunks(tiles, c3.edit(config, stage2_steps=0), begun_small)
    wanted = [small.codec.synthesis, small.codec.entropy]
    for codec in (begun.codec, begun.best.codec):
        assert same_arrays([codec.synthesis, codec.entropy], wanted)
        assert all((grid == 0).all() for grid in codec.grids)
    assert int(begun.step) == 0 and "a window" not in capsys.readouterr().out
    fit = c3.fit(photo, config, key=key)
    assert "a window" in capsys.readouterr().out
    assert len(fit.history.loss) == 90
    assert fit.history.loss[0] < c3.fit(photo, SMALL, key=key, progress=False).history.loss[0]


@pytest.mark.parametrize(("asked", "wanted"), [(0, 0), (1, 24 * 32), (10**6, 10**6)])
def test_networks_weigh_in_a_window_as_in_its_picture_if_asked(photo, asked, wanted):
    config = c3.edit(large(SMALL, photo), network_pixels=asked, network_speed=2, network_warmup=0.1)
    _, windowed, _ = warm_up.on_window(
        photo, config, training.begin(photo, config, jax.random.key(0)))
    assert float(windowed.network_pixels) == wanted
    assert (windowed.network_speed, windowed.network_warmup) == (1, 0)


@pytest.mark.parametrize(("speed", "warmup"), [(1.0, 0.0), (2.0, 0.0), (2.0, 0.25), (0.5, 1.0)])
def test_the_networks_learning_rate_grows_over_its_share_of_stage_1(speed, warmup):
    config = c3.edit(SMALL, network_speed=speed, network_warmup=warmup, steps=100, stage2_steps=9)
    wanted = [speed * (min(1, step / 100 / warmup) if warmup else 1) for step in range(100)]
    speeds = [float(training.network_speed(config, jnp.int32(step))) for step in range(109)]
    np.testing.assert_allclose(speeds, wanted + [1] * 9, rtol=1e-6)


def test_the_networks_alone_have_their_learning_rate(photo):
    """A step of a hundredth of the rate moves them a hundredth as far, and latents as before."""
    def moved(speed):
        config = c3.edit(SMALL, network_speed=speed)
        state = training.begin(photo, config, jax.random.key(0))
        after, _ = jax.jit(training.step)(state, config, jnp.asarray(photo))
        return jax.tree.map(jnp.subtract, after.codec, state.codec)

    fast, slow = moved(1.0), moved(0.01)
    assert same_arrays(fast.grids, slow.grids)
    assert float(jnp.abs(fast.synthesis.layers[0].weight).max()) > 0
    for one, other in zip(jax.tree.leaves((fast.synthesis, fast.entropy)),
                          jax.tree.leaves((slow.synthesis, slow.entropy)), strict=True):
        np.testing.assert_allclose(one / 100, other, atol=1e-7)


@pytest.mark.parametrize("edits", [
    {"network_speed": 2.0}, {"network_pixels": 1.0, "network_warmup": 0.5, "network_speed": 2.0}])
def test_a_batch_begins_on_windows_as_its_fits_do(photo, edits):
    config = c3.edit(large(SMALL, photo), network_rate=1.0, steps=12, stage2_steps=2)
    images = [photo, photo[:, ::-1].copy()]
    configs = [config, c3.edit(config, rd_weight=1e-2, **edits)]
    together = c3.fit_many(images, configs, progress=False)
    for image, one, many in zip(images, configs, together, strict=True):
        np.testing.assert_allclose(
            many.history.loss, c3.fit(image, one, progress=False).history.loss, rtol=2e-3)


def test_stage_2_keeps_the_loss_with_the_parameters_it_was_measured_at(photo):
    x = jnp.asarray(photo)
    config = c3.edit(SMALL, steps=20, stage2_steps=40, stage2_learning_rate=3e-3)
    for state, _ in loop.chunks(photo, config, training.begin(photo, config, jax.random.key(0))):
        if np.isfinite(state.best.loss):
            loss, _ = jax.jit(rate_distortion, static_argnums=3)(
                state.best.codec, config, x, hard_round)
            np.testing.assert_allclose(loss, state.best.loss, rtol=1e-5)
    losses = []
    assert state.best.loss > 0
    for _, history in loop.chunks(photo, config,
                                     training.begin(photo, config, jax.random.key(0))):
        losses.extend(history.loss)
    np.testing.assert_allclose(min(losses[20:]), state.best.loss, rtol=1e-6)


def test_stage_2_decays_and_goes_back_to_the_best(photo):
    # a rate far too high only makes things worse: it must fall, and the best must stand
    config = c3.edit(SMALL, steps=40, stage2_steps=60, stage2_learning_rate=0.5, stage2_patience=3)
    rates, losses = [], []
    for _, history in loop.chunks(photo, config,
                                     training.begin(photo, config, jax.random.key(0))):
        rates.extend(history.learning_rate)
        losses.extend(history.loss)
    rates, losses = np.array(rates[40:]), np.array(losses[40:])
    falls = np.flatnonzero(np.diff(rates) < 0)
    assert len(falls) >= 2
    np.testing.assert_allclose(rates[falls + 1] / rates[falls], 0.8, rtol=1e-5)
    # the step after a decay is measured at the restored best
    np.testing.assert_allclose(losses[falls[0] + 1], losses[: falls[0] + 1].min(), rtol=1e-5)


def test_stage_2_ends_when_its_rate_is_exhausted(photo):
    config = c3.edit(SMALL, steps=5, stage2_steps=5000, stage2_learning_rate=0.5, stage2_patience=1,
                     stage2_decay=0.1, stage2_min_learning_rate=1e-3)
    fit = c3.fit(photo, config, progress=False)
    assert len(fit.history.loss) < 500


def test_no_steps_at_all(photo):
    fit = c3.fit(photo, c3.edit(SMALL, steps=0, stage2_steps=0), progress=False)
    assert len(fit.history.loss) == 0 and fit.bits["latents"] >= 0


@pytest.mark.parametrize("shape", [(40, 1), (1, 1), (17, 23), (2, 9, 11)])
def test_odd_and_tiny_sizes(shape):
    x = np.random.default_rng(0).uniform(size=(3, *shape)).astype(np.float32)
    config = c3.edit(SMALL, steps=5, stage2_steps=3, synthesis_residual_convs=0)
    fit = c3.fit(x, config, progress=False)
    assert fit.reconstruction.shape == x.shape and np.isfinite(fit.psnr)


@pytest.mark.parametrize("config", [
    c3.C3_CLIC, c3.COOL_CHIC, c3.COOL_CHIC_V2,
    c3.edit(c3.C3, entropy_film=True, finest_grid=False, upsampling="lanczos"),
    c3.edit(c3.C3, entropy_per_grid=True, second_rounding_is_s=True, mean_rgb_bias=True,
            activation="relu")])
def test_every_structure_fits(config, photo):
    config = c3.edit(config, steps=40, stage2_steps=5, num_grids=3, parameter_steps=(1e-3, 1e-2),
                     context_size=(3, 3), warmup_starts=1)  # four steps do not tell starts apart
    fit = c3.fit(photo, config, progress=False)
    assert fit.history.loss[-1] < fit.history.loss[0]
    data = c3.encode(fit)
    np.testing.assert_array_equal(c3.decode(data), fit.reconstruction)
    assert fit.bpp == 8 * len(data) / fit.pixels == pytest.approx(fit.bpp_estimate, rel=0.1)


WARM = c3.edit(SMALL, steps=60, stage2_steps=5, warmup_starts=4, warmup_steps=50)


def test_of_the_starts_of_a_warm_up_the_best_goes_on(photo, capsys):
    fit = c3.fit(photo, WARM)
    losses = []
    key = training.begin(photo, WARM, jax.random.key(0)).key
    for start in (jax.random.key(0), *jax.random.split(key, 3)):
        _state, history, _ = loop.run_chunk(
            training.begin(photo, WARM, start), WARM, jnp.asarray(photo), jnp.array(6))
        losses.append(np.asarray(history.loss[:6]))  # a tenth of stage 1, not 50
    best = int(np.argmin([loss.mean() for loss in losses]))
    assert best > 0, "the first start would have gone on without a warm-up"
    np.testing.assert_array_equal(fit.history.loss[:6], losses[best])
    assert len(fit.history.loss) == 65 and fit.history.loss[-1] < fit.history.loss[6]
    assert "start 4 of 4" in capsys.readouterr().out


def test_a_batch_warms_up_each_of_its_fits(photo):
    images, keys = [photo, photo[:, ::-1].copy()], list(jax.random.split(jax.random.key(2), 2))
    configs = [WARM, c3.edit(WARM, rd_weight=1e-2)]  # the batch's program of other tests
    together = c3.fit_many(images, configs, keys=keys, progress=False)
    for image, config, key, many in zip(images, configs, keys, together, strict=True):
        one = c3.fit(image, config, key=key, progress=False)
        np.testing.assert_allclose(many.history.loss[:6], one.history.loss[:6], rtol=1e-4)
        np.testing.assert_allclose(many.history.loss, one.history.loss, rtol=2e-3)


def test_a_start_that_diverges_does_not_go_on(photo, monkeypatch):
    begun = []

    def begin(x, config, key):
        state = start(x, config, key)
        begun.append(state)
        if len(begun) == 1:
            state = state._replace(codec=jax.tree.map(lambda leaf: leaf * np.nan, state.codec))
        return state

    start = training.begin
    monkeypatch.setattr(training, "begin", begin)
    monkeypatch.setattr(FIT, "begin", begin)
    assert np.isfinite(c3.fit(photo, WARM, progress=False).history.loss).all()
    assert len(begun) == 4


def test_cool_chic_lives_where_its_first_start_is_of_one_color():
    x, key = c3.data.crop(c3.data.kodak(19), 96, 200, 96, 128)[:, ::4, ::4], jax.random.key(1)
    config = c3.edit(c3.COOL_CHIC_V2, rd_weight=1e-4, steps=150, stage2_steps=0)
    with training.plain_jax():
        *_, (_, first) = loop.chunks(x, config, training.begin(x, config, key))  # no warm-up
    alive = c3.fit(x, config, key=key, progress=False).history.loss[-1]
    assert first.loss[-1] > 0.9 * x.var((1, 2)).mean() and alive < 0.2 * first.loss[-1]


def test_a_warm_up_is_not_done_again_from_a_checkpoint(photo, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)

    def stop(state):
        raise KeyboardInterrupt

    path = tmp_path / "fit.ckpt"
    c3.fit(photo, WARM, progress=False, checkpoint=path, callback=stop)
    assert path.exists()
    monkeypatch.setattr(training, "begin", None)  # of the other starts
    resumed = c3.fit(photo, WARM, progress=False, checkpoint=path)
    monkeypatch.undo()
    assert same(resumed, c3.fit(photo, WARM, progress=False))


def test_many_fits_at_once_are_the_fits_one_by_one(photo):
    images = [photo, photo[:, ::-1].copy()]
    configs = [c3.edit(SMALL, steps=12, stage2_steps=6, rd_weight=w) for w in (1e-3, 1e-2)]
    keys = list(jax.random.split(jax.random.key(5), 2))
    together = c3.fit_many(images, configs, keys=keys, progress=False)
    for image, config, key, many in zip(images, configs, keys, together, strict=True):
        one = c3.fit(image, config, key=key, progress=False)
        np.testing.assert_allclose(many.history.loss, one.history.loss, rtol=2e-3)
        assert many.psnr == pytest.approx(one.psnr, abs=0.05)
        np.testing.assert_array_equal(many.image, image)


def test_a_batch_compiles_once_for_other_numbers(photo, compilations):
    batch = [photo, photo]
    config = c3.edit(SMALL, steps=12, stage2_steps=2)
    c3.fit_many(batch, [config, c3.edit(config, rd_weight=0.1)], progress=False)
    compilations.clear()
    other = c3.edit(config, steps=6)
    c3.fit_many(batch, [c3.edit(other, rd_weight=0.2), other], progress=False)
    assert compilations == []


def test_one_diverging_fit_does_not_stop_the_others(photo):
    config = c3.edit(SMALL, steps=12, stage2_steps=0)
    bad = c3.edit(config, rd_weight=3e38)
    good, diverged = c3.fit_many([photo, photo], [config, bad], progress=False)
    assert isinstance(good, c3.Fit) and isinstance(diverged, c3.FitError)


@pytest.mark.parametrize(("configs", "words"), [
    ([SMALL, c3.edit(SMALL, synthesis_widths=(7,))], "synthesis_widths"),
    ([SMALL, c3.edit(SMALL, steps=61)], "equal steps"),
    ([WARM, c3.edit(WARM, warmup_steps=9)], "equal warmup_steps"),
    ([WARM, SMALL], "warmup_starts"),
    ([SMALL], "1 configs")])
def test_what_cannot_share_a_batch(photo, configs, words):
    with pytest.raises(ValueError, match=words):
        c3.fit_many([photo, photo], configs, progress=False)
    with pytest.raises(ValueError, match="one shape"):
        c3.fit_many([photo, photo[:, 1:]], SMALL, progress=False)


def test_adaptive_takes_the_least_loss(photo):
    configs = [c3.edit(SMALL, steps=n, stage2_steps=0) for n in (2, 60)]
    best = c3.adaptive(photo, configs, progress=False)
    losses = [c3.fit(photo, config, progress=False).loss for config in configs]
    assert best.loss == min(losses) and best.config == configs[int(np.argmin(losses))]


def test_a_loss_that_is_not_finite_names_step_rate_and_last_loss(photo):
    with pytest.raises(c3.FitError, match=r"at step \d+ \(learning rate 3e\+38\).*last good loss"):
        c3.fit(photo, c3.edit(SMALL, learning_rate=3e38, gradient_clip=1e30), progress=False)


def test_interrupting_returns_the_best_so_far(photo, monkeypatch):
    monkeypatch.setattr(loop, "_chunk_size", lambda *_: 5)

    def stop(state):
        if int(state.step) >= 20:
            raise KeyboardInterrupt

    fit = c3.fit(photo, SMALL, progress=False, callback=stop)
    assert fit.interrupted and 20 <= len(fit.history.loss) < 90
    assert np.isfinite(fit.psnr) and "interrupted" in repr(fit)


def test_progress_is_text_with_loss_rate_and_quality(photo, capsys):
    c3.fit(photo, c3.edit(SMALL, steps=20, stage2_steps=10), progress=True)
    out = capsys.readouterr().out
    assert all(word in out for word in ("30/30", "left", "loss", "bpp", "dB", "stage 2"))


KILLED = """
import sys, jax, numpy as np, c3lite as c3
from c3lite.fitting import checkpoint
checkpoint.SECONDS_BETWEEN = 0.0
photo = np.load(sys.argv[1])
config = c3.Config.from_json(open(sys.argv[2]).read())
print("started", flush=True)
c3.fit(photo, config, progress=False, checkpoint=sys.argv[3],
       callback=lambda state: print(int(state.step), flush=True))
"""


def test_a_killed_fit_resumes_to_the_same_result(photo, tmp_path):
    config = c3.edit(SMALL, steps=1500, stage2_steps=150)
    np.save(tmp_path / "photo.npy", photo)
    (tmp_path / "config.json").write_text(config.to_json())
    path = tmp_path / "fit.ckpt"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path / "photo.npy", tmp_path / "config.json", path],
        stdout=subprocess.PIPE, text=True)
    for line in child.stdout:
        if line.strip().isdigit() and int(line) >= 300 and path.exists():
            break
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert path.exists(), "the child finished before it was killed"
    seen = []
    resumed = c3.fit(photo, config, progress=False, checkpoint=path,
                     callback=lambda state: seen.append(int(state.step)))
    assert seen[0] >= 200, "it started anew"
    assert not path.exists(), "a finished fit leaves no checkpoint"
    assert same(resumed, c3.fit(photo, config, progress=False))


def test_a_checkpoint_of_another_fit_or_torn_is_refused(photo, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    path = tmp_path / "fit.ckpt"

    def stop(state):
        raise KeyboardInterrupt

    c3.fit(photo, SMALL, progress=False, checkpoint=path, callback=stop)
    whole = path.read_bytes()
    with pytest.raises(ValueError, match="another fit"):
        c3.fit(photo, c3.edit(SMALL, rd_weight=0.1), progress=False, checkpoint=path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        c3.fit(photo, SMALL, progress=False, checkpoint=path)
    with pytest.raises(ValueError, match="does not exist"):
        c3.fit(photo, SMALL, progress=False, checkpoint=tmp_path / "no" / "fit.ckpt")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(file):
        file.write(b"half of the new")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomically(path, full)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("x", "words"), [
    (np.zeros((3, 0, 5), np.float32), "empty"),
    (np.zeros((4, 5, 5), np.float32), r"\(3, height, width\)"),
    (np.zeros((5, 5), np.float32), r"\(3, height, width\)"),
    (np.full((3, 5, 5), 1.5, np.float32), r"\[0, 1\]"),
    (np.full((3, 5, 5), -0.1, np.float32), r"\[0, 1\]"),
    (np.full((3, 5, 5), np.nan, np.float32), "NaN"),
    (np.zeros((3, 5, 5), np.uint8), "divide by 255"),
])
def test_bad_images_are_refused_in_one_sentence(x, words):
    with pytest.raises(ValueError, match=words):
        check_image(x)


def test_seconds_are_the_wall_time(photo):
    began = time.perf_counter()
    fit = c3.fit(photo, c3.edit(SMALL, steps=5, stage2_steps=0), progress=False)
    assert 0 < fit.seconds <= time.perf_counter() - began
