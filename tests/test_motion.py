"""Phase correlation against motion that is known."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import c3lite as c3
from c3lite.video import motion


@given(st.integers(-24, 24), st.integers(-8, 8), st.sampled_from([19, 23]))
@settings(deadline=None, max_examples=60)
def test_the_displacement_of_a_moving_window(dx, dy, photo):
    clip = c3.data.moving_window(dx, dy, frames=3, height=64, width=96, photo=photo)
    assert motion.displacements(clip).tolist() == [[dx, dy]] * 2
    # and its meaning: what is here now was (dx, dy) further in the previous frame
    y, x = 30, 40
    assert (clip[:, 1, y, x] == clip[:, 0, y + dy, x + dx]).all()


def test_a_static_or_flat_clip_does_not_move():
    still = c3.data.moving_window(0, 0, frames=3)
    assert not motion.displacements(still).any()
    assert not motion.displacements(np.full((3, 3, 20, 30), 0.5, np.float32)).any()
    assert motion.moving_frames(still).size == 0


def test_the_surface_has_its_peak_at_the_displacement():
    clip = c3.data.moving_window(-7, 3, frames=2)
    surface = motion.correlation(clip[:, 0], clip[:, 1], reach=10)
    assert surface.shape == (21, 21)
    assert np.unravel_index(surface.argmax(), surface.shape) == (10 + 3, 10 - 7)
    same = motion.correlation(clip[:, 0], clip[:, 0])
    assert same.max() == pytest.approx(1, abs=1e-3)  # the mean, without a phase, does not vote
    # the reach is a limit, and small frames have a smaller one
    assert np.abs(motion.displacement(clip[:, 0], clip[:, 1], reach=5)).max() <= 5
    assert motion.correlation(clip[:, 0, :5, :9], clip[:, 1, :5, :9]).shape == (5, 9)


def test_which_frames_move():
    parts = [c3.data.moving_window(0, 0, frames=3), c3.data.moving_window(4, 0, frames=3),
             c3.data.moving_window(0, -5, frames=2)]
    clip = np.concatenate(parts, axis=1)  # cuts at frames 3 and 6, of any displacement
    moved = set(motion.moving_frames(clip).tolist())
    assert moved - {3, 6} == {4, 5, 7}
    assert set(motion.moving_frames(clip, at_least=5).tolist()) - {3, 6} == {7}


def test_only_frames_of_one_shape_are_compared():
    with pytest.raises(ValueError, match="of one shape"):
        motion.displacement(np.zeros((3, 8, 8)), np.zeros((3, 8, 9)))
    assert motion.displacements(np.zeros((3, 1, 8, 8))).shape == (0, 2)


def test_real_clips_move_as_their_sources_say():
    folder = Path(os.environ.get("C3LITE_DATA", "")) / "video"
    clip = folder / "bikes_pan_320x136_25fps_32f.y4m"
    if not clip.is_file():
        pytest.skip("no clip video/bikes_pan... in the folder that C3LITE_DATA names")
    found = motion.displacements(c3.data.video(clip))
    assert np.abs(found[:, 0]).mean() == pytest.approx(1.65, abs=0.01)
    assert np.abs(found[:, 0]).max() == 9
    assert motion.moving_frames(c3.data.video(clip)).tolist() == [1, 2, 3, 4, 5]
