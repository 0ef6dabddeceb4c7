"""Single ideas, as the lessons need them: the model, a context, a prediction, rounding, coding."""

import itertools
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, Int, Num
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, SymLogNorm
from matplotlib.patches import FancyArrowPatch, Rectangle

from c3lite.coding.payload import Plan
from c3lite.coding.pixels import upsampled
from c3lite.fitting.fit import Fit
from c3lite.model import context as ctx
from c3lite.model import entropy, latents
from c3lite.plots import styles
from c3lite.plots.fits import latent_bits, predicted, symbol_grids

# eagerly, each operation would be compiled alone
_bin_bits = jax.jit(entropy.bin_bits, static_argnums=3)


def model_overview(fit: Fit, ax: Axes | None = None, *, grid: int = 1) -> Axes:
    """Fig. 2 of the paper drawn from a fit of an image: how a decoder works. The latent whose
    distribution is predicted is the one of `grid` whose cost is nearest to 3 bits, of those whose
    context lies inside. Raises `ValueError` for a video."""
    if len(fit.shape) != 2:
        raise ValueError(f"the overview of an image has (height, width), not {fit.shape}")
    ax = styles.new_axes(ax, figsize=(11, 6))
    ax.set(xlim=(0, 11), ylim=(0, 6))
    ax.axis("off")
    config, symbols = fit.config, symbol_grids(fit)
    height, width = fit.shape
    unit = min(2.0 / width, 1.75 / height)  # axes units a pixel
    _draw_grids(ax, symbols, unit, fit.shape)
    _draw_upsampled(ax, fit, 1.15 * unit)
    _arrow(ax, (3.85, 4.6), (4.45, 4.6), "upsample")
    widths = "→".join(map(str, (config.num_grids, *config.synthesis_widths, 3)))
    _arrow(ax, (7.0, 4.6), (8.35, 4.6), f"synthesis\n$f_\\theta$\n{widths}")
    w, h = 1.25 * unit * width, 1.25 * unit * height
    _panel(ax, 8.4, 4.6 - h / 2, w, h).imshow(
        fit.reconstruction.transpose(1, 2, 0), interpolation="nearest", aspect="auto")
    ax.text(8.4 + w / 2, 4.5 + h / 2 + 0.18, f"reconstruction, {fit.psnr:.1f} dB", ha="center")
    _draw_entropy(ax, fit, symbols, grid)
    return ax


def _panel(ax, x, y, width, height):
    return styles.bare(ax.inset_axes((x, y, width, height), transform=ax.transData))


def _arrow(ax, start, end, text):
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=16, color="#595959"))
    ax.text((start[0] + end[0]) / 2, start[1] + 0.12, text, ha="center", va="bottom", fontsize=9)


def _draw_grids(ax, symbols, unit, shape):
    x = 0.0
    for n, grid in enumerate(symbols):
        w, h = (max(unit * side / 2**n, 0.05) for side in (shape[1], shape[0]))
        styles.signed_picture(_panel(ax, x, 3.8, w, h), grid, aspect="auto")
        x += w + 0.06
    ax.text(0, 3.75, "latent grids: whole numbers\n(white: 0)", va="top", fontsize=9)


def _draw_upsampled(ax, fit, unit):
    up = upsampled(fit.config, fit.shape, fit.coded.symbols,
                   jax.tree.map(np.asarray, fit.networks.upsampling))
    w, h = unit * fit.shape[1], unit * fit.shape[0]
    step = min(0.09, (2.45 - w) / max(len(up) - 1, 1)) if w < 2.45 else 0.02
    for n in reversed(range(len(up))):  # the coarsest at the back
        panel = _panel(ax, 4.5 + n * step, 4.55 - h / 2 + (n - 3) * step, w, h)
        styles.signed_picture(panel, up[n], max(float(np.abs(up[n]).max()), 1e-6), aspect="auto")
        panel.set_zorder(2 - n / 100)


def _draw_entropy(ax, fit, symbols, n):
    offsets = ctx.grid_offsets(fit.config, 2, n)
    grid, bits = symbols[n], latent_bits(fit)
    reach = _reach(offsets)
    inner = np.zeros(grid.shape, bool)
    inner[reach:-reach, reach:-reach] = True
    if not inner.any():
        raise ValueError(f"grid {n} is too small to hold a context of {2 * reach + 1} entries")
    y, x = np.unravel_index(np.where(inner, abs(bits[n] - 3), np.inf).argmin(), grid.shape)
    mu, scale = (float(part[n][y, x]) for part in predicted(fit))
    panel = ax.inset_axes((0.1, 0.35, 2.3, 2.3), transform=ax.transData)
    context_window(offsets, panel, values=grid[y - reach:y + reach + 1, x - reach:x + reach + 1])
    ax.text(0.1, 2.75, f"grid {n} around row {y}, column {x}", fontsize=9)
    widths = "→".join(map(str, (len(offsets), *fit.config.entropy_widths, 2)))
    _arrow(ax, (2.7, 1.5), (4.9, 1.5), f"entropy network $g_\\psi$\n{widths}")
    panel = ax.inset_axes((5.5, 0.6, 3.1, 1.8), transform=ax.transData)
    prediction(mu, scale, int(grid[y, x]), panel, distribution=fit.config.latent_distribution)
    shares = [f"grid {k}: {part.sum() / fit.bits['latents']:.0%}" for k, part in enumerate(bits)]
    ax.text(9.1, 2.3, "share of the\nlatents' bits", fontsize=9, va="top")
    ax.text(9.1, 1.8, "\n".join(shares), fontsize=8, va="top")


def _reach(offsets) -> int:
    return max([abs(o) for offset in offsets for o in offset] + [1])


def context_window(offsets: Sequence[Sequence[int]], ax: Axes | None = None, *,
                   values: Num[ArrayLike, "rows columns"] | None = None) -> Axes:
    """A latent (orange) and its context (blue), at (dy, dx) of every input, numbered in this order.

    values: the latents around, as many rows and columns as the context reaches, the latent in the
    middle, to be written in the cells instead. Raises `ValueError` for another number of values.
    """
    offsets = [tuple(offset) for offset in offsets]
    reach = _reach(offsets)
    ax = styles.new_axes(ax, figsize=(3.2, 3.2))
    if values is not None and np.shape(values) != (2 * reach + 1,) * 2:
        raise ValueError(f"values must be {2 * reach + 1} x {2 * reach + 1}, the latent in the "
                         f"middle, not {np.shape(values)}")
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            known = (dy, dx) in offsets  # also the center, where another grid is looked at
            target = (dy, dx) == (0, 0) and not known
            color = styles.TARGET if target else styles.KNOWN if known else "#EEEEEE"
            ax.add_patch(Rectangle((dx - 0.5, dy - 0.5), 1, 1, facecolor=color, edgecolor="white"))
            if values is not None and (known or target):
                text = f"{np.asarray(values)[dy + reach, dx + reach]:g}"
            else:
                text = "?" if target else str(offsets.index((dy, dx)) + 1) if known else ""
            ax.text(dx, dy, text, ha="center", va="center", fontsize=9,
                    color="white" if known and not target else "black")
    ax.set(xlim=(-reach - 0.5, reach + 0.5), ylim=(reach + 0.5, -reach - 0.5), aspect="equal")
    return styles.bare(ax)


def prediction(mu: float, scale: float, latent: int | None = None, ax: Axes | None = None, *,
               distribution: str = "laplace") -> Axes:
    """The probability of every whole number under an integrated distribution (Eq. 12). mu and scale
    are in steps. The bar of `latent`, if given, is orange and its cost in the title."""
    middle = int(np.round(mu))
    farthest = 0 if latent is None else abs(latent - middle) + 1
    radius = max(int(np.clip(np.ceil(3 * scale), 3, 12)), farthest)
    k = np.arange(middle - radius, middle + radius + 1)
    bits = np.asarray(_bin_bits(*(np.broadcast_to(np.float32(v), k.shape)
                                  for v in (k, mu, scale)), distribution))
    ax = styles.new_axes(ax, figsize=(6, 2.8))
    ax.bar(k, 2.0**-bits, color=[styles.TARGET if value == latent else styles.KNOWN for value in k])
    ax.set(xlabel="latent (steps)", ylabel="probability")
    ax.spines[["top", "right"]].set_visible(False)
    title = f"μ = {mu:.2f}, scale = {scale:.2f} steps"
    if latent is not None:
        title += f"; the latent is {latent}: {bits[k == latent][0]:.1f} bits"
    ax.set_title(title, fontsize=9)
    return ax


def influence(gradient: Float[ArrayLike, "rows columns"], ax: Axes | None = None, *,
              at: tuple[int, int] | None = None, label: str = "gradient") -> Axes:
    """A gradient with respect to a grid: red raises an output, blue lowers it, exactly 0 is white,
    on a log scale of both signs over three decades; an orange frame marks its output, `at`."""
    gradient = np.asarray(gradient, np.float64)
    limit = max(float(np.abs(gradient).max()), 1e-12)
    ax = styles.new_axes(ax, gradient[None])
    norm = SymLogNorm(limit / 1e3, vmin=-limit, vmax=limit)
    drawn = ax.imshow(np.where(gradient == 0, np.nan, gradient), cmap="RdBu_r", norm=norm,
                      interpolation="nearest")
    ax.set_facecolor("white")
    bar = styles.color_bar(drawn, ax, label)
    bar.set_yticks([-limit, 0, limit], [f"{v:.2g}" for v in (-limit, 0, limit)], minor=False)
    bar.minorticks_off()
    if at is not None:
        ax.add_patch(Rectangle((at[1] - 0.5, at[0] - 0.5), 1, 1, fill=False, linewidth=2,
                               edgecolor=styles.TARGET))
    return styles.bare(ax)


def rounding_bands(z: Float[ArrayLike, " n"],
                   bands: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
                   ax: Axes | None = None) -> Axes:
    """What stands in for rounding (Figs. 3 and 12, bottom): mean and interval over z, in steps.
    `bands` maps a name to (mean, low, high), an entry each z. The dashed staircase is rounding."""
    ax = styles.new_axes(ax, figsize=(5, 4))
    z = np.asarray(z)
    edges = np.arange(np.floor(z.min()) - 0.5, np.ceil(z.max()) + 1)
    ax.step(edges, edges + 0.5, where="post", color="black", linestyle="--", linewidth=1,
            label="rounding")
    for name, (mean, low, high), color in styles.colored(bands):
        ax.fill_between(z, low, high, color=color, alpha=0.22, linewidth=0)
        ax.plot(z, mean, color=color, label=name)
    return styles.finished(ax, xlim=(z.min(), z.max()),
                           xlabel="latent z (steps)", ylabel="seen by the networks (steps)")


def trade_off(settings: Float[ArrayLike, " n"], quantities: Mapping[str, Float[ArrayLike, " n"]],
              ax: Axes | None = None, *, label: str = "temperature T") -> Axes:
    """Quantities that a setting trades against each other, a marked line each, both axes log. An
    infinite setting is drawn at the right end, behind a gap, and labeled ∞."""
    ax = styles.new_axes(ax, figsize=(7, 3.5))
    settings = np.asarray(settings, np.float64)
    finite = np.isfinite(settings)
    at = np.where(finite, settings, 4 * settings[finite].max())
    order = np.argsort(at)
    for (name, values, color), marker in zip(
            styles.colored(quantities), itertools.cycle("osD^"), strict=False):
        ax.plot(at[order], np.asarray(values)[order], marker=marker, color=color, label=name)
    styles.finished(ax, {"which": "both"}, xscale="log", yscale="log", xlabel=label)
    ax.set_xticks(at[order], ["∞" if np.isinf(s) else f"{s:g}" for s in settings[order]])
    ax.xaxis.set_minor_formatter("")
    low, high = ax.get_ylim()  # within a decade the ticks between powers of ten are all there is
    styles.plain_numbers(ax.yaxis, minor="{x:g}" if high < 8 * low else "")
    return ax


def coding_intervals(cumulative: Sequence[int], symbols: Sequence[int], ax: Axes | None = None,
                     names: Sequence[str] | None = None) -> Axes:
    """How an entropy coder narrows its interval: each row is what the row above has left, blown up
    to full width and parted as the cumulative frequencies say, the chosen part in blue. `names` are
    the symbols' labels. Raises `ValueError` for a symbol that the table does not have."""
    edges = np.asarray(cumulative) / cumulative[-1]
    if not all(0 <= s < len(edges) - 1 for s in symbols):
        raise ValueError(f"symbols of this table are 0 to {len(edges) - 2}")
    names = [str(s) for s in range(len(edges) - 1)] if names is None else names
    ax = styles.new_axes(ax, figsize=(8, 0.5 + 0.75 * len(symbols)))
    low, width = 0.0, 1.0
    for row, chosen in enumerate(symbols):
        for s, (left, right) in enumerate(itertools.pairwise(edges)):
            mine = s == chosen
            ax.barh(row, right - left, 0.5, left, edgecolor="white",
                    color=styles.KNOWN if mine else "#D9D9D9")
            if right - left > 0.03:
                ax.text((left + right) / 2, row, names[s], ha="center", va="center",
                        color="white" if mine else "black")
        ax.text(-0.01, row, f"from {low:.6f}\nwidth {width:.6f}", ha="right", va="center",
                fontsize=8)
        if row < len(symbols) - 1:
            for near, far in ((edges[chosen], 0), (edges[chosen + 1], 1)):
                ax.plot([near, far], [row + 0.25, row + 0.75], color="gray", linewidth=0.8)
        low, width = low + width * edges[chosen], width * (edges[chosen + 1] - edges[chosen])
    ax.set_xlim(-0.16, 1)
    ax.invert_yaxis()
    ax.axis("off")
    return ax


def decoding_steps(config, shape: tuple[int, ...]) -> tuple[Int[np.ndarray, "..."], ...]:
    """In which step of the wavefront each latent is decoded, an array for each grid."""
    plan = Plan(config, shape)
    steps = np.empty(len(plan.order), np.int32)
    for n, (places, _) in enumerate(plan.steps()):
        steps[plan.order[places]] = n
    return latents.split(steps, plan.shapes)


def wavefront(config, shape: tuple[int, int], ax: Axes | None = None, *,
              step: int | None = None) -> Axes:
    """In which step of the decoder each latent of an image's finest grid is decoded.

    With `step`, the state before it: what is known, what the step decodes at once, the context of
    the one in the middle of these, and what is unknown. Raises `ValueError` for a video, and for a
    step in which no latent of this grid is decoded.
    """
    if len(shape) != 2:
        raise ValueError(f"the wavefront of an image has (height, width), not {shape}")
    steps = decoding_steps(config, shape)[0]
    height, width = steps.shape
    ax = styles.new_axes(ax, steps[None])
    if step is None:
        styles.color_bar(ax.imshow(steps, cmap="viridis", interpolation="nearest"), ax, "step")
        return styles.bare(ax)
    front = np.argwhere(steps == step)
    if not len(front):
        raise ValueError(f"no latent of the finest grid is decoded in step {step}")
    kinds = np.select([steps < step, steps == step], [1, 2])
    middle = front[len(front) // 2]
    offsets = np.array(ctx.grid_offsets(config, 2, 0)).reshape(-1, 2)
    for y, x in middle + offsets:
        if 0 <= y < height and 0 <= x < width:
            kinds[y, x] = 3
    names = {"unknown": "#FFFFFF", "known": "#BFBFBF", "this step": styles.TARGET,
             "a context": styles.KNOWN}
    ax.pcolormesh(kinds, cmap=ListedColormap(list(names.values())), vmin=-0.5, vmax=3.5,
                  edgecolors="#8C8C8C", linewidth=0.2)
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    for name, color in names.items():
        ax.plot([], [], "s", markersize=9, color=color, markeredgecolor="#8C8C8C", label=name)
    ax.legend(**styles.BESIDE)
    return styles.bare(ax)
