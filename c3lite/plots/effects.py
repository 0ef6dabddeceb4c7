"""What a change does, in percent: of a setting, of a codec, of the picture networks come from."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import ArrayLike, Float
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm

from c3lite.plots import styles
from c3lite.plots.styles import COLORS, TARGET, label, name_rows, new_axes, number_cells, signed


def bd_rate_bars(rates_percent: Mapping[str, float | int], ax: Axes | None = None, *,
                 beside: Mapping[str, float | int] | None = None) -> Axes:
    """BD-rates in percent, a bar each from the top; negative is better. Black lines are the
    paper's, `beside` for some of the names. Raises `ValueError` without a bar."""
    if not rates_percent:
        raise ValueError("bd_rate_bars needs at least one BD-rate")
    ax = new_axes(ax, figsize=(6, 0.8 + 0.36 * len(rates_percent)))
    beside = {name: other for name, other in (beside or {}).items() if name in rates_percent}
    for row, (name, value) in enumerate(rates_percent.items()):
        ax.barh(row, value, 0.7, color=styles.style(name)["color"])
        away, outer, side = (4, max, "left") if value >= 0 else (-4, min, "right")
        ax.annotate(signed(value), (outer(value, beside.get(name, 0)), row),
                    xytext=(away, 0), textcoords="offset points", fontsize=9, va="center", ha=side,
                    zorder=3, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
    if beside:
        rows = np.array([list(rates_percent).index(name) for name in beside])
        ax.vlines(list(beside.values()), rows - 0.42, rows + 0.42, color="black", linewidth=2,
                  label="the paper's")
    ax.margins(x=0.22)  # for the numbers
    return name_rows(ax, map(label, rates_percent), "BD-rate (%)")


def changes(ours: Mapping[str, float | Sequence[float] | np.ndarray], ax: Axes | None = None, *,
            spread: float | None = None, label: str = "change of the loss (%)") -> Axes:
    """What each change of a setting does, in percent: a bar a setting, worse to the right; of
    several values, for seeds or pictures, their mean, and a circle for each. The gray band is plus
    and minus `spread`, what another random seed does."""
    ax = new_axes(ax, figsize=(8, 0.9 + 0.42 * len(ours)))
    rows = np.arange(len(ours))
    single = [np.atleast_1d(np.asarray(values, np.float64)) for values in ours.values()]
    means = [float(values.mean()) for values in single]
    if spread is not None:
        ax.axvspan(-spread, spread, color="#D9D9D9", label="another random seed", zorder=0)
    several = any(values.size > 1 for values in single)
    ax.barh(rows, means, 0.55, color=COLORS[0], zorder=2,
            label="mean" if several else None if spread is None else "here")
    if several:
        ax.plot(np.concatenate(single), np.repeat(rows, [values.size for values in single]), "o",
                color="white", markeredgecolor="black", markersize=5, label="one fit", zorder=3)
    for row, mean, values in zip(rows, means, single, strict=True):
        ax.annotate(signed(round(mean, 1) + 0), (max(values.max(), 0), row), (6, 0),
                    textcoords="offset points", va="center", fontsize=9, zorder=4)
    ax.use_sticky_edges = False  # numbers stand behind 0, too
    ax.margins(x=0.12)
    return name_rows(ax, ours, label)


def waterfall(parts: Mapping[str, Float[ArrayLike, "seeds 2"]], ax: Axes | None = None, *,
              guesses: Mapping[str, float] | None = None) -> Axes:
    """The RD loss of one setting after another: a bar a setting from the top, in two parts.
    `parts` has (MSE, lambda bpp) of each seed, both times 10^4 to be read easily; bars are means,
    black lines reach from the best seed to the worst. Diamonds are `guesses` of the sum."""
    ax = new_axes(ax, figsize=(8, 1.2 + 0.42 * len(parts)))
    shown = {row: guesses[name] for row, name in enumerate(parts) if name in (guesses or {})}
    for row, points in enumerate(map(np.atleast_2d, parts.values())):
        mse, rate = points.mean(0)
        total = points.sum(1)
        ax.barh(row, mse, 0.6, color=styles.ERROR, label=None if row else "error (MSE)")
        ax.barh(row, rate, 0.6, mse, color=styles.RATE, label=None if row else "rate (λ · bpp)")
        ax.plot([total.min(), total.max()], [row, row], color="black", linewidth=2.5)
        end = max(total.max(), shown.get(row, 0))  # a guess does not hide the number
        ax.annotate(f"{total.mean():.1f}", (end, row), (8, 0), va="center", fontsize=9,
                    textcoords="offset points")
    if shown:
        ax.plot(shown.values(), shown.keys(), "D", color=TARGET, markeredgecolor="black",
                label="your guess")
    ax.margins(x=0.09)
    return name_rows(ax, parts, "MSE + λ · bpp (× 10⁻⁴)")


def loss_rises(rises_percent: Mapping[str, Float[ArrayLike, "..."]], ax: Axes | None = None, *,
               beside: Mapping[str, float] | None = None) -> Axes:
    """Rises of a loss in percent: a dot a fit, a black bar at their mean, a row a name, a cross for
    the paper's, `beside`. The axis is logarithmic beyond 10 %: failures are orders of magnitude
    larger than effects. What is not finite is left out. Raises `ValueError` without a row."""
    if not rises_percent:
        raise ValueError("loss_rises needs at least one row")
    ax = new_axes(ax, figsize=(7, 0.9 + 0.34 * len(rises_percent)))
    for row, values in enumerate(rises_percent.values()):
        values = np.asarray(values, float)
        values = values[np.isfinite(values)]
        reach = 0.22 * (len(values) > 1)
        ax.plot(values, row + np.linspace(-reach, reach, len(values)), "o", color=COLORS[0],
                alpha=0.6, markersize=4)
        if len(values):
            ax.vlines(values.mean(), row - 0.36, row + 0.36, color="black", linewidth=2)
    crosses = {row: beside[name] for row, name in enumerate(rises_percent)
               if name in (beside or {})}
    if crosses:
        ax.plot(crosses.values(), crosses.keys(), "x", color="black", markersize=7,
                label="the paper's")
    ax.set_xscale("symlog", linthresh=10)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.grid(alpha=0.3, axis="x")
    return name_rows(ax, rises_percent, "RD loss against the base (%)")


def transfer_matrix(rises_percent: Mapping[tuple[str, str], float], ax: Axes | None = None, *,
                    title: str = "") -> Axes:
    """Rises of the RD loss in percent by (source, target), sources as rows and targets as columns;
    pairs that are not there stay gray. Colors are logarithmic beyond 1 %: red is worse than the
    target's own fit, blue better. Raises `ValueError` without a pair."""
    if not rises_percent:
        raise ValueError("transfer_matrix needs at least one pair (source, target)")
    names = list(dict.fromkeys(name for pair in rises_percent for name in pair))
    matrix = np.array([[rises_percent.get((source, target), np.nan) for target in names]
                       for source in names])
    side = 1.6 + 0.85 * len(names)
    ax = new_axes(ax, figsize=(side + 1.2, side))
    limit = max(2.0, float(np.nanmax(np.abs(matrix))))
    ax.set_facecolor("#DDDDDD")
    ax.imshow(np.ma.masked_invalid(matrix), cmap="RdBu_r",
              norm=SymLogNorm(1.0, vmin=-limit, vmax=limit))
    number_cells(ax, matrix, lambda size: np.log1p(size) > 0.6 * np.log1p(limit), names, names,
                 rotation=30, ha="right")
    ax.set(xlabel="coded picture", ylabel="networks from")
    ax.set_title(title or "RD loss against the picture's own fit (%)", fontsize=10)
    return ax
