"""The matrix of transfers and the waterfall have everything in its place."""

import numpy as np
import pytest

from c3lite import plots


def test_transfer_matrix(ax):
    rises = {("a", "b"): 12.34, ("b", "a"): -0.5, ("c", "a"): 150.0}
    assert plots.transfer_matrix(rises, ax) is ax
    (image,) = ax.images
    shown = image.get_array()
    assert shown[0, 1] == 12.34 and shown[1, 0] == -0.5 and shown[2, 0] == 150
    assert np.ma.getmaskarray(shown).sum() == 9 - 3
    assert {text.get_text() for text in ax.texts} == {"+12.3", "−0.5", "+150.0"}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert "networks from" in ax.get_ylabel() and "coded" in ax.get_xlabel()
    with pytest.raises(ValueError, match="at least one pair"):
        plots.transfer_matrix({})


def test_waterfall(ax):
    parts = {"below": np.array([(6.0, 10.0), (8.0, 10.0)]), "above": np.array([(5.0, 7.0)])}
    assert plots.waterfall(parts, ax, guesses={"above": 11.0}) is ax
    lengths = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert lengths == [(0, 7), (7, 10), (0, 5), (5, 7)]
    assert {text.get_text() for text in ax.texts} == {"17.0", "12.0"}
    band, _, guess, _zero = ax.lines
    assert list(band.get_xdata()) == [16, 18] and list(guess.get_xdata()) == [11]
    assert list(guess.get_ydata()) == [1]
