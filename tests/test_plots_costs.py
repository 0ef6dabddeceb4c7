"""Costs by size and by codec, from the figures given."""

import numpy as np
import pytest

from c3lite import plots
from c3lite.evaluation import reference
from c3lite.evaluation.complexity import MACs


def test_cost_by_size(ax):
    costs = {(20, 30): MACs(6.0, 3.0, 1.0), (10, 15): MACs(2.0, 1.0, 1.0)}
    assert plots.cost_by_size(costs, ax, unit="MACs") is ax
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["entropy network"].get_ydata().tolist() == [2, 6]
    assert lines["in all"].get_xdata().tolist() == [150, 600]
    assert lines["in all"].get_ydata().tolist() == [4, 10]
    np.testing.assert_allclose(lines["in proportion to pixels"].get_ydata(), [4, 16])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["10×15", "20×30"]
    assert "MACs" in ax.get_ylabel() and ax.get_legend() is None
    assert [t.get_text() for t in ax.texts] == list(lines)
    with pytest.raises(ValueError, match="at least one shape"):
        plots.cost_by_size({})


def test_published_macs_in_order(ax):
    assert plots.published_macs("kodak", {"C3": 1770.0}, ax) is ax
    names = [t.get_text() for t in ax.get_yticklabels()]
    known = [name for name, info in reference.codecs("kodak").items()
             if info.macs_per_pixel_min or info.macs_per_pixel_max]
    assert len(names) == len(known) + 1 and "C3 (ours)" in names
    dots = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert dots == sorted(dots) and 1770 in dots
