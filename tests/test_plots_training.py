"""Curves and rises of losses draw what they are given."""

import numpy as np
import pytest

from c3lite import plots
from c3lite.plots import fits
from tests import made


def test_loss_bands_hold_all_seeds(ax):
    steps = np.arange(0, 100, 10)
    seeds = [(steps, np.full(10, 2.0)), (steps, np.full(10, 4.0)), (steps[:8], np.full(8, 3.0))]
    assert plots.loss_bands({"one": seeds, "two": seeds[:1]}, ax, stage2=50) is ax
    line, other = (line for line in ax.lines if line.get_label() in ("one", "two"))
    np.testing.assert_allclose(line.get_ydata(), 3.0)
    assert len(line.get_xdata()) == 8 and len(other.get_xdata()) == 10
    assert line.get_color() != other.get_color()
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (2, 4)
    with pytest.raises(ValueError, match="none has no curve"):
        plots.loss_bands({"none": []}, ax)


def test_loss_bands_do_not_smooth_across_the_stages(ax):
    steps = np.arange(8)
    plots.loss_bands({"jump": [(steps, np.array([1.0] * 4 + [9.0] * 4))]}, ax, stage2=4,
                     smooth=3)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1] * 4 + [9] * 4)
    mean = fits._smoothed(steps, steps.astype(float), 3, None)
    np.testing.assert_allclose(mean, [0, 0.5, 1, 2, 3, 4, 5, 6])


def test_rises_show_every_fit_and_the_mean(ax):
    values = {"base": np.array([-1.0, 1.0]), "worse": np.array([20.0, 40.0, np.nan]),
              "lost": np.array([np.inf])}
    assert plots.loss_rises(values, ax, beside={"worse": 25.0, "unknown": 1.0}) is ax
    dots = [np.sort(line.get_xdata()).tolist() for line in ax.lines if line.get_marker() == "o"]
    assert dots == [[-1, 1], [20, 40], []]
    means = [c.get_segments()[0][0, 0] for c in ax.collections]
    assert means == [0, 30]
    (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (25, 1)
    assert [t.get_text() for t in ax.get_yticklabels()] == list(values)
    with pytest.raises(ValueError, match="at least one row"):
        plots.loss_rises({})


def test_losses_are_running_means(ax):
    fit, loss = made.fit(), np.arange(1.0, 51)
    assert plots.losses({"mine": loss, "a fit": fit}, ax) is ax
    mine, of_fit = ax.lines
    assert mine.get_ydata()[0] == 1
    assert mine.get_ydata()[19] == pytest.approx(loss[:20].mean())
    assert mine.get_ydata()[49] == pytest.approx(loss[-20:].mean())
    assert of_fit.get_xdata()[-1] == len(fit.history.loss) - 1
    assert mine.get_color() != of_fit.get_color()
    assert ax.get_yscale() == "log" and "step" in ax.get_xlabel()
