"""Pictures of fits and of rate-distortion points: `f(data, ax=None) -> Axes`.

Nothing here fits anything. Each function draws on `ax`, or on a new figure without one, and gives
the axes back to add to. A color means one thing: a method has its own (`METHOD_STYLE`), and so
have the parts of a file; around one latent, orange is the latent and blue is its context.

Units: rates in bits per pixel (bpp), PSNR in dB, errors in 8-bit levels (1/255 of the range),
latents in steps (multiples of the bin width q).
"""

from c3lite.plots.frames import context_on_frame, correlation_map, film_strip, mask_heat_map
from c3lite.plots.costs import bd_rate_against_macs, cost_by_size, macs_by_part, published_macs
from c3lite.plots.effects import bd_rate_bars, changes, loss_rises, transfer_matrix, waterfall
from c3lite.plots.fits import (
    PART_NAMES, bit_map, error, history, image, latent_bits, latent_grids, loss_bands, losses,
    pixel_bits, predicted, symbol_grids, where_bits_went)
from c3lite.plots.ideas import (
    coding_intervals, context_window, decoding_steps, influence, model_overview, prediction,
    rounding_bands, trade_off, wavefront)
from c3lite.plots.rd import published_curves, rate_difference, rd_curve
from c3lite.plots.styles import COLORS, METHOD_STYLE, label, name_lines, show, show_moving, style
