"""Pictures of many codecs show every number they are given, in the order they promise."""

import numpy as np
import pytest

import c3lite as c3
from c3lite import plots
from c3lite.evaluation import complexity, reference
from c3lite.evaluation.complexity import MACs

pytestmark = pytest.mark.usefixtures("closed_figures")

RATE = np.array([0.1, 0.2, 0.4, 0.8])
QUALITY = np.array([28.0, 31.0, 34.0, 37.0])
ANCHOR = reference.RDCurve(RATE, QUALITY)


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_bd_rate_bars():
    rates = {"C3 (paper)": 5.43, "MLIC+": -13.2, "STF": 0.0}
    ax = plots.bd_rate_bars(rates, beside={"MLIC+": -12.0, "unknown": 99.0})
    assert [bar.get_width() for bar in ax.patches] == list(rates.values())
    assert texts(ax) == ["+5.4", "−13.2", "+0.0"]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(rates)
    assert ax.yaxis_inverted()  # the first on top
    (marks,) = ax.collections
    assert [segment[0][0] for segment in marks.get_segments()] == [-12.0]
    low, high = ax.get_xlim()
    assert low < -13.2 and 5.43 < high < 99
    with pytest.raises(ValueError, match="at least one"):
        plots.bd_rate_bars({})


def test_bars_of_one_sign_start_at_zero():
    assert plots.bd_rate_bars({"a": 1.0, "b": 3.0}).get_xlim()[0] == 0
    assert plots.bd_rate_bars({"a": -1.0}).get_xlim()[1] == 0
    assert plots.bd_rate_bars({"a": 0.0}).get_xlim()[0] <= 0


def test_bd_rate_against_macs():
    ax = plots.bd_rate_against_macs({"C3": 5.0, "MLIC+": -13.0, "WYH": 1.0},
                                    {"C3": 1770, "MLIC+": 555340, "DCVC": 1})
    points = {line.get_label(): tuple(line.get_xydata()[0]) for line in ax.lines[:2]}
    assert {t.get_text() for t in ax.texts} == set(points)
    assert points == {"C3": (1770, 5.0), "MLIC+": (555340, -13.0)}
    assert ax.get_xscale() == "log" and "MACs" in ax.get_xlabel()
    with pytest.raises(ValueError, match="no name"):
        plots.bd_rate_against_macs({"C3": 5.0}, {})


def test_rate_difference_of_a_constant_factor():
    worse = reference.RDCurve(1.25 * RATE, QUALITY)
    ax = plots.rate_difference({"C3": worse, "VTM": ANCHOR}, ANCHOR)
    ours, anchor, _zero = ax.lines
    np.testing.assert_allclose(ours.get_ydata(), 25)
    np.testing.assert_allclose(anchor.get_ydata(), 0, atol=1e-9)
    assert ours.get_xdata()[[0, -1]].tolist() == [28, 37]
    assert ours.get_color() == plots.METHOD_STYLE["C3"]["color"]


def test_rate_difference_only_where_both_have_points():
    half = reference.RDCurve(RATE[1:], QUALITY[1:])
    x = plots.rate_difference({"C3": half}, ANCHOR).lines[0].get_xdata()
    assert (x.min(), x.max()) == (31, 37)
    with pytest.raises(ValueError, match="share no range"):
        plots.rate_difference({"C3": reference.RDCurve(RATE, QUALITY + 20)}, ANCHOR)


def test_macs_by_part():
    costs = {"Kodak": complexity.macs_per_pixel(c3.C3, (512, 768)), "made up": MACs(1.0, 2.0, 3.0)}
    ax = plots.macs_by_part(costs)
    widths = np.array([bar.get_width() for bar in ax.patches]).reshape(3, 2)
    np.testing.assert_allclose(widths.sum(0), [c.total for c in costs.values()])
    assert any("1,770" in t for t in texts(ax))
    assert [t.get_text() for t in ax.get_yticklabels()] == list(costs)


@pytest.mark.parametrize("dataset", ["kodak", "clic2020-professional-valid", "uvg"])
def test_draws_what_is_published(dataset):
    known = reference.codecs(dataset)
    curves = {name: reference.rd_points(dataset, name) for name in known}
    ax = plots.rd_curve(curves)
    assert len(ax.lines) == len(known)
