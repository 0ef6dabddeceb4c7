"""Lessons' plots draw what they are given, and refuse what they cannot draw."""

import jax.numpy as jnp
import numpy as np
import pytest

import c3lite as c3
from c3lite import plots
from c3lite.model import context, entropy
from tests import made

pytestmark = pytest.mark.usefixtures("closed_figures")


@pytest.fixture(scope="module")
def fit():
    return made.fit((20, 33), c3.edit(c3.COOL_CHIC, num_grids=4))


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_symbols_and_networks_are_the_files(fit):
    grids = plots.symbol_grids(fit)
    assert [grid.shape for grid in grids] == [(20, 33), (10, 17), (5, 9), (3, 5)]
    np.testing.assert_array_equal(np.concatenate([grid.ravel() for grid in grids]),
                                  fit.coded.symbols)
    weight = fit.networks.synthesis.layers[0].weight
    whole = fit.coded.networks.synthesis.layers[0].weight
    np.testing.assert_allclose(weight, whole * np.float32(fit.coded.steps[0]))


def test_model_overview_shows_the_fit(fit, ax):
    assert plots.model_overview(fit, ax, grid=0) is ax
    pictures = [np.asarray(image.get_array()) for child in ax.child_axes for image in child.images]
    assert any(p.shape == fit.reconstruction.transpose(1, 2, 0).shape for p in pictures)
    assert any(p.shape == (20, 33) and (p == plots.symbol_grids(fit)[0]).all() for p in pictures)
    assert any("4→12→12→3" in text for text in texts(ax))
    (titled,) = [child.get_title() for child in ax.child_axes if "the latent is" in
                 child.get_title()]
    bits = float(titled.split(": ")[1].split()[0])
    assert np.isclose(plots.latent_bits(fit)[0], bits, atol=0.051).any()
    with pytest.raises(ValueError, match="too small"):
        plots.model_overview(fit, grid=3)
    video = made.fit((5, 9, 14), c3.edit(c3.C3, num_grids=3, finest_grid=False))
    with pytest.raises(ValueError, match="of an image"):
        plots.model_overview(video)


def test_context_window(ax):
    offsets = context.causal_offsets((3, 3), 2)
    assert plots.context_window(offsets, ax) is ax
    assert texts(ax) == ["1", "2", "3", "4", "?", "", "", "", ""]
    values = plots.context_window(offsets, values=np.arange(9).reshape(3, 3))
    assert texts(values) == ["0", "1", "2", "3", "4", "", "", "", ""]  # the future stays unknown
    with pytest.raises(ValueError, match="3 x 3"):
        plots.context_window(offsets, values=np.zeros((5, 5)))


def test_prediction_is_the_entropy_models(ax):
    assert plots.prediction(0.3, 0.8, 2, ax) is ax
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in ax.patches}
    assert 0.95 < sum(heights.values()) <= 1
    bits = float(entropy.bin_bits(*map(jnp.asarray, (2.0, 0.3, 0.8))))
    assert heights[2] == pytest.approx(2**-bits, rel=1e-4)
    assert f"{bits:.1f} bits" in ax.get_title()
    far = plots.prediction(0.0, 0.1, 9)
    assert any(bar.get_x() > 8 for bar in far.patches)


def test_influence_leaves_zeros_white(ax):
    gradient = np.array([[0, 1e-3], [-2.0, 0]])
    assert plots.influence(gradient, ax, at=(1, 1), label="d") is ax
    (image,) = ax.images
    np.testing.assert_array_equal(np.ma.getmaskarray(image.get_array()), gradient == 0)
    assert image.get_clim() == (-2, 2)
    assert ax.child_axes[0].get_ylabel() == "d"
    assert np.isfinite(plots.influence(np.zeros((2, 2))).images[0].get_clim()).all()


def test_rounding_bands(ax):
    z = np.linspace(-1, 1, 5)
    assert plots.rounding_bands(z, {"mine": (z, z - 0.5, z + 0.5)}, ax) is ax
    staircase, mean = ax.lines
    # the staircase climbs to the next whole number at every half
    x, y = staircase.get_data()
    assert all(y[list(x).index(edge)] == edge + 0.5 for edge in (-0.5, 0.5))
    np.testing.assert_array_equal(mean.get_ydata(), z)
    (band,) = ax.collections
    assert band.get_datalim(ax.transData).y0 == -1.5
    assert "steps" in ax.get_xlabel() and ax.get_xlim() == (-1, 1)


def test_trade_off_has_a_place_for_infinity(ax):
    settings, bias = np.array([0.1, np.inf, 1]), np.array([1.0, 3, 2])
    assert plots.trade_off(settings, {"bias": bias}, ax, label="T") is ax
    (line,) = ax.lines
    assert line.get_ydata().tolist() == [1, 2, 3]
    assert line.get_xdata()[-1] > 1
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.1", "1", "∞"]
    assert ax.get_xlabel() == "T"


def test_changes(ax):
    assert plots.changes({"a": 1.5, "b": -2.0}, ax, spread=0.5) is ax
    assert [bar.get_width() for bar in ax.patches] == [1, 1.5, -2]  # the first is the band
    assert texts(ax) == ["+1.5", "−2.0"]
    assert len(ax.get_legend().get_texts()) == 2
    assert plots.changes({"a": 1.0}).get_legend() is None


def test_changes_of_several_fits(ax):
    plots.changes({"a": [1.0, 4.0], "b": np.array([-2.0, -1.0, 0.0])}, ax)
    assert [bar.get_width() for bar in ax.patches] == [2.5, -1]  # the means
    (circles,) = [line for line in ax.lines if line.get_marker() == "o"]
    assert circles.get_xydata().tolist() == [[1, 0], [4, 0], [-2, 1], [-1, 1], [0, 1]]
    assert texts(ax) == ["+2.5", "−1.0"]
    assert len(ax.get_legend().get_texts()) == 2
