"""Pictures of clips: the marks are where the data say."""

import numpy as np
import pytest

import c3lite as c3
from c3lite import plots
from c3lite.plots.frames import GAP
from c3lite.video import motion

pytestmark = pytest.mark.usefixtures("closed_figures")


def test_the_circle_stays_on_one_thing_in_the_picture():
    clip = c3.data.moving_window(6, -3, frames=4, height=32, width=48)
    found = motion.displacements(clip)
    ax = plots.film_strip(clip, displacements=found)
    cross, circle = ax.lines
    x, y = np.rint(circle.get_data()).astype(int)
    x -= np.arange(4) * (48 + GAP)
    things = clip[:, np.arange(4), y, x]
    assert (things == things[:, :1]).all()
    assert np.ptp(np.asarray(cross.get_data())[1]) == 0
    (strip,) = ax.images
    assert strip.get_array().shape == (32, 4 * 48 + 3 * GAP, 3)
    np.testing.assert_array_equal(
        strip.get_array()[:, 48 + GAP : 96 + GAP], clip[:, 1].transpose(1, 2, 0))
    assert [label.get_text() for label in ax.get_xticklabels()] == [f"frame {t}" for t in range(4)]


def test_a_strip_is_cut_after_some_frames_and_needs_a_clip():
    clip = c3.data.moving_window(0, 0, frames=9, height=8, width=8)
    assert len(plots.film_strip(clip, at_most=3).get_xticks()) == 3
    with pytest.raises(ValueError, match="a clip is"):
        plots.film_strip.__wrapped__(clip[:, 0])


def test_the_peak_is_circled():
    clip = c3.data.moving_window(-7, 3, frames=2)
    surface = motion.correlation(clip[:, 0], clip[:, 1], reach=12)
    ax = plots.correlation_map(surface)
    assert ax.get_title() == "peak at (-7, 3)"
    assert np.ravel(ax.lines[-1].get_data()).tolist() == [-7, 3]
    assert ax.images[0].get_extent() == [-12.5, 12.5, 12.5, -12.5]


def test_no_mark_hides_the_middle():
    # a camera at rest has its peak there
    ax = plots.correlation_map(motion.correlation(*[c3.data.kodak(19)[:, :24, :32]] * 2, reach=8))
    assert [line.get_xdata().tolist() for line in ax.lines] == [[0]]
    ends = [abs(segment).max(1).min() for lines in ax.collections[:2]
            for segment in lines.get_segments()]
    assert ends == [3] * 4
