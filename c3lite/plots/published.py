"""Many codecs in one picture: BD-rates, decoding cost, crowded rate-distortion curves.

The numbers come from `c3lite.reference`, or are our own beside them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    EngFormatter,
    FuncFormatter,
    LogLocator,
    NullFormatter,
    PercentFormatter,
)

from c3lite.evaluation.complexity import MACs
from c3lite.evaluation.reference import RDCurve
from c3lite.evaluation.report import PART_COLORS
from c3lite.plots.fits import PART_NAMES
from c3lite.plots.rd import _rd_axes
from c3lite.plots.styles import OTHER, label, new_axes, style

Rates = Mapping[str, float | int]
"""A number for each name of a codec."""

_MARKERS = "ov^sDPX<>ph*"


def bd_rate_bars(
    rates_percent: Rates,
    ax: Axes | None = None,
    *,
    beside: Rates | None = None,
) -> Axes:
    """BD-rates in percent, a bar each, in the mapping's order from the top; negative is better.

    `beside` marks another figure for some of the names with a black line, such as the paper's.
    Raises `ValueError` without a bar.
    """
    if not rates_percent:
        raise ValueError("bd_rate_bars needs at least one BD-rate")
    ax = new_axes(ax, figsize=(6, 0.8 + 0.36 * len(rates_percent)))
    values = list(rates_percent.values())
    beside = {name: other for name, other in (beside or {}).items() if name in rates_percent}
    for row, (name, value) in enumerate(rates_percent.items()):
        ax.barh(row, value, 0.7, color=style(name)["color"])
        away, outer, side = (4, max, "left") if value >= 0 else (-4, min, "right")
        ax.annotate(f"{value:+.1f}".replace("-", "−"), (outer(value, beside.get(name, 0)), row),
                    xytext=(away, 0), textcoords="offset points", fontsize=9, va="center", ha=side,
                    zorder=3, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
    rows = [list(rates_percent).index(name) for name in beside]
    if rows:
        ax.vlines(list(beside.values()), np.array(rows) - 0.42, np.array(rows) + 0.42,
                  color="black", linewidth=2, label="the paper's")
        ax.legend()
    low, high = (pick(0, *values, *beside.values()) for pick in (min, max))
    room = 0.22 * (high - low or 1)  # for the numbers
    ax.set_xlim(low - room * (low < 0), high + room * (high > 0))
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(range(len(values)), [label(name) for name in rates_percent])
    ax.invert_yaxis()
    ax.set_xlabel("BD-rate (%)")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def bd_rate_against_macs(
    rates_percent: Rates, macs: Rates, ax: Axes | None = None
) -> Axes:
    """BD-rate over the cost of decoding in MACs per pixel (Figs. 1, 9, 17); down left is better.

    One named point for every name in both mappings. Raises `ValueError` when there is none.
    """
    names = [name for name in rates_percent if name in macs]
    if not names:
        raise ValueError("no name has both a BD-rate and MACs per pixel")
    ax = new_axes(ax)
    height = np.ptp([rates_percent[name] for name in names]) or 1
    named: list[str] = []  # above their points
    for name in sorted(names, key=lambda name: macs[name]):
        crowded = any(macs[name] < 3.5 * macs[n] and abs(
            rates_percent[name] - rates_percent[n]) < 0.05 * height for n in named[-2:])
        if not crowded:
            named.append(name)
        look = style(name)
        ax.plot(macs[name], rates_percent[name], look["marker"], color=look["color"],
                markersize=8 if look["color"] != OTHER["color"] else 6, zorder=3)
        ax.annotate(label(name), (macs[name], rates_percent[name]),
                    xytext=(7, -11 if crowded else 4), textcoords="offset points", fontsize=9)
    ax.axhline(0, color="gray", linewidth=0.8, linestyle="--")
    ax.set_xscale("log")
    low, high = min(macs[n] for n in names), max(macs[n] for n in names)
    ax.set_xlim(low / 1.8, high * 5)  # room for the last name
    ax.margins(y=0.12)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_xlabel("decoding cost (MACs per pixel)")
    ax.set_ylabel("BD-rate (%)")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def rate_difference(
    curves: Mapping[str, RDCurve], anchor: RDCurve, ax: Axes | None = None
) -> Axes:
    """How much more rate than the anchor a codec needs at equal PSNR, in percent, over the PSNR.

    BD-rate is the mean of such a line (of its logarithm); where the line crosses zero, the better
    codec changes. Between points by piecewise cubics of ln(bpp), only where both curves have
    points. Raises `ValueError` for curves that share no PSNR with the anchor.
    """
    log_anchor = _log_rate(anchor)
    ax = new_axes(ax)
    for name, curve in curves.items():
        log_rate = _log_rate(curve)
        low = max(log_rate.x[0], log_anchor.x[0])
        high = min(log_rate.x[-1], log_anchor.x[-1])
        if not low < high:
            raise ValueError(f"{name} and the anchor share no range of PSNR")
        quality = np.linspace(low, high, 200)
        percent = 100 * np.expm1(log_rate(quality) - log_anchor(quality))
        look = style(name)
        ax.plot(quality, percent, label=label(name),
                **{k: look[k] for k in ("color", "linewidth", "linestyle") if k in look})
    ax.axhline(0, color="black", linewidth=0.8)
    ax.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    ax.set_xlabel("PSNR (dB)")
    ax.set_ylabel("rate against the anchor")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend()
    return ax


def _log_rate(curve: RDCurve):
    """ln(bpp) as a function of PSNR, through all points."""
    from scipy.interpolate import PchipInterpolator  # slow to import, and only needed here

    quality, first = np.unique(curve.psnr_db, return_index=True)
    return PchipInterpolator(quality, np.log(curve.bpp[first]))


def ranked_curves(
    curves: Mapping[str, RDCurve], ax: Axes | None = None, *, rates_percent: Rates
) -> Axes:
    """A crowd of RD curves: the legend, on the right, lists them from the best BD-rate down.

    The rate's axis is logarithmic: equal distances are equal percentages, as in the BD-rate.
    Methods without a color of their own are gray, told apart by their markers. A name without a
    BD-rate comes last.
    """
    ax = new_axes(ax, figsize=(9, 5))
    others = iter(_MARKERS * (1 + len(curves) // len(_MARKERS)))
    for name in sorted(curves, key=lambda n: rates_percent.get(n, np.inf)):
        look = style(name)
        if look["color"] == OTHER["color"]:
            look |= {"marker": next(others), "color": "#8C8C8C", "markersize": 4.5}
        rate, quality = curves[name]
        order = np.argsort(rate)
        number = f"  {rates_percent[name]:+.1f} %" if name in rates_percent else ""
        ax.plot(rate[order], quality[order], label=label(name) + number.replace("-", "−"), **look)
    _rd_axes(ax)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9,
              title="BD-rate" if rates_percent else None)
    return ax


def macs_by_part(costs: Mapping[str, MACs], ax: Axes | None = None) -> Axes:
    """What decoding costs, in MACs per pixel, a bar a codec, parted by component (Table 7)."""
    ax = new_axes(ax, figsize=(8, 0.9 + 0.42 * len(costs)))
    left = np.zeros(len(costs))
    for part in MACs._fields:
        widths = np.array([getattr(cost, part) for cost in costs.values()])
        bars = ax.barh(range(len(costs)), widths, 0.7, left, color=PART_COLORS[part],
                       label=PART_NAMES[part] if part != "upsampling" else "upsampling",
                       edgecolor="white")
        ax.bar_label(bars, [f"{w:,.0f}" if w > 0.08 * sum_ else "" for w, sum_ in zip(
            widths, (c.total for c in costs.values()), strict=True)], label_type="center",
            fontsize=9, color="black" if part == "synthesis" else "white")
        left += widths
    for row, total in enumerate(left):
        ax.text(total, row, f" {total:,.0f}", va="center", fontsize=9)
    ax.set_yticks(range(len(costs)), costs)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.12 * left.max())
    ax.set_xlabel("MACs per pixel")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    return ax
