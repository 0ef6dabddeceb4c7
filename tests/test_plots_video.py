"""Pictures of masks and contexts in videos."""

import jax
import numpy as np
import pytest
from matplotlib.patches import Rectangle

import c3lite as c3
from c3lite import plots
from c3lite.fitting.training import History
from c3lite.model.context import grid_offsets
from c3lite.video.masks import LearnedOffsets

pytestmark = pytest.mark.usefixtures("closed_figures")

CONFIG = c3.edit(c3.ADAPTIVE_UVG[6], mask_origins=((-7, 18), (2, -5), (0, 0)))


@pytest.fixture
def learned():
    heat = np.zeros((65, 65), np.float32)
    heat[32 - 6, 32 + 20] = 1
    nothing = History(*(np.zeros(0, np.float32) for _ in History._fields))
    return LearnedOffsets(CONFIG, (heat, heat, heat), nothing, 1.0)


def boxes(ax):
    return [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in ax.patches
            if isinstance(p, Rectangle)]


def test_the_box_is_where_the_mask_looks(learned):
    ax = plots.mask_heat_map(learned, motion=(20, -6))
    assert boxes(ax) == [(17.5, -7.5, 4, 4)]
    shown = ax.images[0]
    left, right, bottom, top = shown.get_extent()
    row, column = np.argwhere(shown.get_array())[0]
    # the brightest cell is centered on (20, -6) of the axes
    assert (left + column + 0.5, top + row + 0.5) == (20, -6) and (right, bottom) == (32.5, 32.5)
    assert ax.lines[-1].get_xydata().tolist() == [[20, -6]]
    assert "dx 18 to 21, dy -7 to -4" in ax.get_title() and ax.get_xlabel() == "dx (latents)"
    with pytest.raises(ValueError, match="grids 0 to 2"):
        plots.mask_heat_map(learned, 3)


@pytest.mark.parametrize(("grid", "lag"), [(0, 0), (0, 1), (1, 1)])
def test_a_context_covers_its_pixels(grid, lag):
    video = np.asarray(jax.random.uniform(jax.random.key(0), (3, 4, 64, 96)))
    position, scale = (1, 20, 20), 2**grid
    ax = plots.context_on_frame(video, CONFIG, position, lag=lag, grid=grid)
    np.testing.assert_allclose(
        ax.images[0].get_array(), video[:, (1 - lag) * scale].transpose(1, 2, 0), atol=1e-6)
    expected = {((20 + dx) * scale - 0.5, (20 + dy) * scale - 0.5, scale, scale)
                for t, dy, dx in grid_offsets(CONFIG, 3, grid) if t == -lag}
    *context, itself = boxes(ax)
    assert set(context) == expected and len(context) == (24 if lag == 0 else 16)
    assert itself == (20 * scale - 0.5, 20 * scale - 0.5, scale, scale)


def test_what_lies_outside_is_not_drawn_or_refused():
    video = np.zeros((3, 4, 64, 96), np.float32)
    ax = plots.context_on_frame(video, CONFIG, (1, 3, 90), lag=1)  # the box is beyond the frame
    assert len(boxes(ax)) == 1
    for position, lag in [((0, 3, 3), 1), ((1, 64, 3), 0), ((4, 3, 3), 0)]:
        with pytest.raises(ValueError, match="no latent"):
            plots.context_on_frame(video, CONFIG, position, lag=lag)
