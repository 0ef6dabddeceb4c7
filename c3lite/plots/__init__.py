"""Pictures of fits and of rate-distortion points: `f(data, ax=None) -> Axes`.

Nothing here fits anything. Each function draws on `ax`, or on a new figure without one, and gives
the axes back to add to. A method has the same color everywhere (`METHOD_STYLE`).

Units: rates in bits per pixel (bpp), PSNR in dB, errors in 8-bit levels (1/255 of the range),
latents in steps (multiples of the bin width q).
"""

from c3lite.plots.clips import correlation_map, film_strip
from c3lite.plots.coding import coding_intervals, wavefront
from c3lite.plots.decoding import cost_by_size, published_macs
from c3lite.plots.fits import (
    PART_NAMES,
    bit_map,
    error,
    history,
    image,
    latent_bits,
    latent_grids,
    pixel_bits,
    where_bits_went,
)
from c3lite.plots.lessons import (
    changes,
    context_window,
    decoder_networks,
    influence,
    learning_rates,
    losses,
    model_overview,
    prediction,
    rounding_bands,
    symbol_grids,
    trade_off,
)
from c3lite.plots.published import (
    bd_rate_against_macs,
    bd_rate_bars,
    macs_by_part,
    ranked_curves,
    rate_difference,
)
from c3lite.plots.quantization import loss_bands, loss_rises
from c3lite.plots.rd import estimate_against_file, published_curves, rd_curve
from c3lite.plots.styles import COLORS, METHOD_STYLE, label, show, style
from c3lite.plots.transfers import transfer_matrix
from c3lite.plots.video import context_on_frame, mask_heat_map

__all__ = [
    "COLORS", "METHOD_STYLE", "PART_NAMES", "bd_rate_against_macs", "bd_rate_bars", "bit_map",
    "changes", "coding_intervals", "context_on_frame", "context_window", "correlation_map",
    "cost_by_size", "decoder_networks", "error", "estimate_against_file", "film_strip", "history",
    "image", "influence", "label", "latent_bits", "latent_grids", "learning_rates", "loss_bands",
    "loss_rises", "losses", "macs_by_part", "mask_heat_map", "model_overview", "pixel_bits",
    "prediction", "published_curves", "published_macs", "ranked_curves", "rate_difference",
    "rd_curve", "rounding_bands", "show", "style", "symbol_grids", "trade_off", "transfer_matrix",
    "wavefront", "where_bits_went",
]
