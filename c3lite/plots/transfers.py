"""How well the networks of one picture serve another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm

from c3lite.plots.styles import new_axes


def transfer_matrix(
    rises_percent: Mapping[tuple[str, str], float], ax: Axes | None = None, *, title: str = ""
) -> Axes:
    """Rises of the RD loss in percent, sources as rows and targets as columns.

    The mapping is by (source, target), as `network_transfer.rises` gives; pairs that are not in
    it stay gray. Colors are logarithmic beyond 1 %: red is worse than the target's own fit, blue
    better. Raises `ValueError` without a pair.
    """
    if not rises_percent:
        raise ValueError("transfer_matrix needs at least one pair (source, target)")
    names = list(dict.fromkeys(name for pair in rises_percent for name in pair))
    matrix = np.full((len(names), len(names)), np.nan)
    for (source, target), value in rises_percent.items():
        matrix[names.index(source), names.index(target)] = value
    side = 1.6 + 0.85 * len(names)
    ax = new_axes(ax, figsize=(side + 1.2, side))
    limit = max(2.0, float(np.nanmax(np.abs(matrix))))
    ax.set_facecolor("#DDDDDD")
    ax.imshow(np.ma.masked_invalid(matrix), cmap="RdBu_r",
              norm=SymLogNorm(1.0, vmin=-limit, vmax=limit))
    for (row, column), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            strong = np.log1p(abs(value)) > 0.6 * np.log1p(limit)
            ax.text(column, row, f"{value:+.1f}".replace("-", "−"), ha="center", va="center",
                    fontsize=9, color="white" if strong else "black")
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_xlabel("coded picture")
    ax.set_ylabel("networks from")
    ax.set_title(title or "RD loss against the picture's own fit (%)", fontsize=10)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax
