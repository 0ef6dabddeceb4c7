"""A clip's fit that is killed, again and again, ends as if it had not been, and repeats no step."""

import concurrent.futures
import functools

import jax
import numpy as np
import pytest

import c3lite as c3
from c3lite.fitting import checkpoint, loop
from c3lite.fitting.checkpoint import Checkpoint
from c3lite.video import masks as video

SMALL = c3.edit(
    c3.ADAPTIVE_UVG[6], num_grids=2, masked_grids=1, synthesis_widths=(4,), entropy_widths=(4,),
    context_size=(3, 3), steps=6, stage2_steps=3, parameter_steps=(1e-3, 1e-2), rd_weight=2e-4)
"""E3, made small."""
SETTINGS = [SMALL, c3.edit(SMALL, rd_weight=3e-4)]
"""Two that share their masks, and a compiled program."""
PATCH = (2, 16, 24)


class Killed(BaseException):
    """As a kill: nothing that catches errors, or Ctrl-C, catches it."""


@pytest.fixture(scope="module")
def clip():
    return c3.data.moving_window(2, 1, frames=4, height=16, width=24)


class AtOnce:
    """In place of the thread that writes checkpoints: a kill comes right after what was saved."""

    def submit(self, write, *args, **notes):
        write(*args, **notes)
        done = concurrent.futures.Future()
        done.set_result(None)
        return done


@pytest.fixture
def steps(monkeypatch):
    """Each step is a chunk of its own and is saved; how many were done."""
    done = []
    small_window = functools.partial(video.learn_offsets, window=9)  # quick to compile
    monkeypatch.setattr(video, "learn_offsets", small_window)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(checkpoint, "_WRITER", AtOnce())
    monkeypatch.setattr(loop, "_chunk_size", lambda *_: 1)
    monkeypatch.setattr(loop, "FIRST_CHUNK", 1)
    measured = loop.measured

    def counted(history, steps_done):
        done.append(int(steps_done))
        return measured(history, steps_done)

    monkeypatch.setattr(loop, "measured", counted)
    return done


def kill_after_saves(monkeypatch, every):
    saves, save = [], Checkpoint.save

    def dying(self, *args, **notes):
        save(self, *args, **notes)
        saves.append(frozenset(notes))
        if len(saves) % every == 0:
            raise Killed

    monkeypatch.setattr(Checkpoint, "save", dying)
    return saves


def fit(clip, folder=None):
    return c3.fit_video(clip, SETTINGS, patch=PATCH, mask_steps=5, progress=False,
                        checkpoint=folder)


def test_a_clip_killed_again_and_again_ends_the_same(clip, steps, tmp_path, monkeypatch):
    whole = fit(clip)
    needed = sum(steps)
    assert needed == 2 * (5 + 2 * 9)  # of each patch one mask and two settings
    steps.clear()
    folder = tmp_path / "kept"
    saves = kill_after_saves(monkeypatch, every=4)
    kills = 0
    while True:
        try:
            resumed = fit(clip, folder)
            break
        except Killed:
            kills += 1
            assert folder.is_dir()
    assert kills > 10
    assert {frozenset({"steps"}), frozenset({"learned"})} < set(saves)  # steps, masks, and fits
    assert sum(steps) == needed
    for ours, theirs in zip(resumed.fits, whole.fits, strict=True):
        assert ours.config == theirs.config and ours.loss == theirs.loss
        np.testing.assert_array_equal(ours.coded.symbols, theirs.coded.symbols)
        np.testing.assert_array_equal(ours.history.loss, theirs.history.loss)
    assert c3.encode(resumed) == c3.encode(whole)
    assert not folder.exists()


def test_what_is_kept_belongs_to_one_clip_and_its_settings(clip, steps, tmp_path, monkeypatch):
    kill_after_saves(monkeypatch, every=25)  # after the first patch's first setting
    with pytest.raises(Killed):
        fit(clip, tmp_path)
    with pytest.raises(ValueError, match=r"patch1.* belongs to another fit"):
        fit(clip[:, ::-1], tmp_path)
    (tmp_path / "patch1").write_bytes(b"torn")
    with pytest.raises(ValueError, match="patch1 is not a readable checkpoint"):
        fit(clip, tmp_path)


def test_adaptive_ends_at_ctrl_c_with_the_best_so_far(clip, steps, monkeypatch, tmp_path):
    placed = [c3.edit(SMALL, mask_origins=((0, 0),), rd_weight=w) for w in (2e-4, 1.0)]
    part, seen = clip[:, :2], []

    def stop_in_the_second(bar, *_):
        seen.append(bar)
        if len(seen) == 12:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "show_progress", stop_in_the_second)
    path = tmp_path / "adaptive"
    best = c3.adaptive(part, placed, progress=False, checkpoint=path)
    assert best.interrupted and best.config == placed[0] and len(seen) == 12
    assert path.exists()
    steps.clear()
    monkeypatch.setattr(loop, "show_progress", lambda *_: None)
    again = c3.adaptive(part, placed, key=jax.random.key(0), progress=False, checkpoint=path)
    assert sum(steps) <= 8 and not again.interrupted and not list(tmp_path.iterdir())
