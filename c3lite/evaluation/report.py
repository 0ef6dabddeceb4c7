"""A fit as a piece of HTML for notebooks: the picture, the numbers, where the bits went.

No script and no style sheet, only inline styles: it survives being saved, sanitized and exported.
Text takes the page's color, so that it reads on light and on dark themes.
"""

import base64
import io
import math
from html import escape

import numpy as np
import PIL.Image

WIDTH = 480
"""Largest width of the picture, in pixels; a video shows its middle frame."""

PART_COLORS = {
    "latents": "#0072B2", "synthesis": "#E69F00", "entropy": "#009E73", "upsampling": "#CC79A7",
}
"""Colors of the parts of a file (the keys of `Fit.bits`), in `plots` too."""


def html(fit) -> str:
    """The HTML that stands for a `Fit` at the end of a notebook cell."""
    size, bits = "×".join(map(str, fit.shape)), sum(fit.bits.values())
    rows = {
        "size": f"{size} pixels",
        "PSNR": f"{fit.psnr:.2f} dB",
        "rate": f"{fit.bpp_estimate:.4f} bits per pixel, networks included (estimate)",
        "size of the file": f"about {math.ceil(bits / 8):,} bytes, "
        f"{24 * fit.pixels / max(bits, 1):,.0f} times smaller than 24 bits per pixel",
        "RD loss": f"{fit.loss:.4g} at λ = {float(fit.config.rd_weight):.4g}",
        "fitted in": f"{len(fit.history.loss):,} steps, {fit.seconds:.1f} s elapsed"
        + (" (interrupted)" if fit.interrupted else ""),
    }
    if fit.collapsed:
        rows["collapsed"] = "hardly better than one color (Fit.collapsed)"
    table = "".join(
        f'<tr><td style="text-align:left;padding:1px 12px 1px 0;opacity:.75">{escape(name)}</td>'
        f'<td style="text-align:left;padding:1px 0">{escape(text)}</td></tr>'
        for name, text in rows.items())
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:18px;align-items:flex-start;'
        'font-size:13px;color:inherit">'
        f"{_picture(fit, size)}"
        '<div style="min-width:300px">'
        '<table style="border:none;background:none;color:inherit;font-size:inherit">'
        f"{table}</table>"
        f"{_bar(fit)}</div></div>"
    )


def _picture(fit, size):
    x = fit.reconstruction
    frame = x if x.ndim == 3 else x[:, x.shape[1] // 2]
    pixels = np.round(255 * frame).astype(np.uint8).transpose(1, 2, 0)
    picture = PIL.Image.fromarray(pixels)
    # small ones are enlarged by whole factors, so that their pixels stay squares
    shown = max(1, WIDTH // picture.width) * picture.width
    if picture.width > WIDTH:
        height = max(1, round(picture.height * WIDTH / picture.width))
        picture, shown = picture.resize((WIDTH, height), PIL.Image.Resampling.LANCZOS), WIDTH
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    data = base64.b64encode(file.getvalue()).decode()
    alt = (f"Reconstruction, {size} pixels, {fit.psnr:.2f} dB at "
           f"{fit.bpp_estimate:.3f} bits per pixel")
    name = "reconstruction" + (", the middle frame" if x.ndim == 4 else "")
    return (f'<div><img src="data:image/jpeg;base64,{data}" alt="{escape(alt)}" width="{shown}" '
            f'style="max-width:100%;image-rendering:pixelated"><div>{name}</div></div>')


def _bar(fit):
    total = max(sum(fit.bits.values()), 1e-9)
    pieces, legend = [], []
    for name, bits in fit.bits.items():
        color, share = PART_COLORS.get(name, "#808080"), 100 * bits / total
        pieces.append(f'<div title="{escape(name)}" '
                      f'style="width:{share:.2f}%;background-color:{color};height:14px"></div>')
        legend.append(
            f'<div><span style="color:{color}">&#9632;</span> {escape(name)}: {bits:,.0f} bits, '
            f"{bits / fit.pixels:.4f} bpp, {share:.0f} %</div>")
    return (
        '<div style="margin-top:10px">where the bits went</div>'
        f'<div style="display:flex;width:100%;margin:4px 0">{"".join(pieces)}</div>'
        f'{"".join(legend)}'
    )
