"""Draw the README's picture: `python -m tests.tools.make_overview`.

Decodes the file that lesson 00 begins with, beside AVIF and JPEG in as many bytes, and writes
notebooks/images/overview.jpg.
"""

import io
from pathlib import Path

import matplotlib.pyplot as plt
import PIL.Image

import c3lite as c3
from c3lite import codecs, plots

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
OUTPUT = NOTEBOOKS / "images" / "overview.jpg"
DETAIL = (170, 80)
"""Row and column where the detail of the photo begins."""


def draw(file: bytes) -> plt.Figure:
    """The decoded photo, and a detail of it by three codecs in as many bytes."""
    photo, decoded = c3.data.kodak(23), c3.decode(file)
    bpp = 8 * len(file) / photo[0].size
    rivals = [codecs.at_bpp(photo, codec, bpp) for codec in (codecs.avif, codecs.jpeg)]
    shown = {f"c3lite, {bpp:.2f} bpp, {c3.metrics.psnr(decoded, photo):.1f} dB": decoded} | {
        f"{r.codec.upper()}, {r.bpp:.2f} bpp, {r.psnr:.1f} dB": r.reconstruction for r in rivals}
    figure = plt.figure(figsize=(10, 6.9), layout="constrained")
    panels = figure.subplot_mosaic("PPPQQQ;AABBCC", height_ratios=(3, 2))
    plots.image(photo, panels["P"]).set_title("original, 24 bits per pixel")
    plots.image(decoded, panels["Q"]).set_title(f"{len(file):,} bytes of c3lite")
    for name, (title, picture) in zip("ABC", shown.items(), strict=True):
        plots.image(c3.data.crop(picture, *DETAIL, 160, 240), panels[name]).set_title(title)
    return figure


def main() -> None:
    """Decode, draw, and write the picture."""
    memory = io.BytesIO()
    draw((NOTEBOOKS / "results" / "parrots.c3").read_bytes()).savefig(memory, dpi=120)
    with PIL.Image.open(memory) as picture:
        picture.convert("RGB").save(OUTPUT, quality=88, optimize=True)
    print(f"wrote {OUTPUT}, {OUTPUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
