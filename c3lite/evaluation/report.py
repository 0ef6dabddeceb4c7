"""A fit as a piece of HTML for notebooks: the picture, the numbers, where the bits went. With
inline styles alone it survives being saved, sanitized and exported."""

import base64
import io
import math
from html import escape
from pathlib import Path

from PIL.Image import Resampling

from c3lite.data.images import to_pillow

WIDTH = 480  # largest width of the picture, in pixels; a video shows its middle frame

PART_COLORS = {"latents": "#44AA99", "synthesis": "#DDCC77", "entropy": "#AA4499",
               "upsampling": "#999933"}
"""Colors of the parts of a file (the keys of `Fit.bits`), in `plots` too."""

TEMPLATE = (Path(__file__).parent / "report.html").read_text("utf-8")


def html(fit) -> str:
    """The HTML that stands for a `Fit` at the end of a notebook cell."""
    size, total = "×".join(map(str, fit.shape)), sum(fit.bits.values())
    rows = {
        "size": f"{size} pixels",
        "PSNR": f"{fit.psnr:.2f} dB",
        "rate": f"{fit.bpp_estimate:.4f} bits per pixel, networks included (estimate)",
        "size of the file": f"about {math.ceil(total / 8):,} bytes, "
        f"{24 * fit.pixels / max(total, 1):,.0f} times smaller than 24 bits per pixel",
        "RD loss": f"{fit.loss:.4g} at λ = {float(fit.config.rd_weight):.4g}",
        "fitted in": f"{len(fit.history.loss):,} steps, {fit.seconds:.1f} s elapsed"
        + (" (interrupted)" if fit.interrupted else "")}
    if len(fit.shape) == 2 and fit.ms_ssim is not None:  # a clip's takes seconds
        rows["PSNR"] += f", MS-SSIM {fit.ms_ssim:.4f}"
    if fit.collapsed:
        rows["collapsed"] = "hardly better than one color (Fit.collapsed)"
    bars, legend = [], []
    for name, bits in fit.bits.items():
        color, share = PART_COLORS.get(name, "#808080"), 100 * bits / max(total, 1e-9)
        bars.append(f'<div title="{escape(name)}" '
                    f'style="width:{share:.2f}%;background-color:{color};height:14px"></div>')
        legend.append(
            f'<div><span style="color:{color}">&#9632;</span> {escape(name)}: {bits:,.0f} bits, '
            f"{bits / fit.pixels:.4f} bpp, {share:.0f} %</div>")
    picture, width = _picture(fit.reconstruction)
    return TEMPLATE.format(
        picture=picture, width=width, bars="".join(bars), legend="".join(legend),
        alt=escape(f"Reconstruction, {size} pixels, {fit.psnr:.2f} dB at {fit.bpp_estimate:.3f} "
                   "bits per pixel"),
        caption="reconstruction" + (", the middle frame" if len(fit.shape) == 3 else ""),
        rows="".join(
            f'<tr><td style="text-align:left;padding:1px 12px 1px 0;opacity:.75">{escape(name)}'
            f'</td><td style="text-align:left;padding:1px 0">{escape(text)}</td></tr>'
            for name, text in rows.items()))


def _picture(x) -> tuple[str, int]:
    """A JPEG in base64, and the width to show it with."""
    picture = to_pillow(x if x.ndim == 3 else x[:, x.shape[1] // 2])
    # small ones are enlarged by whole factors, so that their pixels stay squares
    shown = max(1, WIDTH // picture.width) * picture.width
    if picture.width > WIDTH:
        height = max(1, round(picture.height * WIDTH / picture.width))
        picture, shown = picture.resize((WIDTH, height), Resampling.LANCZOS), WIDTH
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return base64.b64encode(file.getvalue()).decode(), shown
