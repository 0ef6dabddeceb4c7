"""Draw the README's picture: `python -m tests.tools.make_overview` (minutes on 2 CPU cores).

Fits a window of Kodak 23 at three rate weights, beside JPEG, WebP and AVIF on the same pixels, and
writes notebooks/images/overview.jpg.
"""

import argparse
import io
from pathlib import Path

import jax.random as jr
import matplotlib.pyplot as plt
import PIL.Image

import c3lite as c3
from c3lite import plots
from c3lite.evaluation import anchors as codecs

OUTPUT = Path(__file__).parents[2] / "notebooks" / "images" / "overview.jpg"
RD_WEIGHTS = (3e-4, 1e-3, 4e-3)


def draw(fits: list[c3.Fit]) -> plt.Figure:
    """The four panels, of fits of one picture in the order of `RD_WEIGHTS`."""
    shown = fits[1]
    height, width = shown.shape
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    plots.image(shown.image, axes[0, 0]).set_title("original, 24 bits per pixel")
    plots.image(shown.reconstruction, axes[0, 1]).set_title(
        f"C3, {shown.bpp:.2f} bits per pixel, {shown.psnr:.1f} dB")
    symbols = shown.coded.symbols[: height * width].reshape(height, width)
    limit = max(abs(symbols).max(), 1)
    axes[1, 0].imshow(symbols, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axes[1, 0].set_xticks([])
    axes[1, 0].set_yticks([])
    axes[1, 0].set_title(f"finest of {shown.config.num_grids} latent grids (white is 0)")
    qualities = {codecs.jpeg: (20, 50, 75, 88), codecs.webp: (10, 50, 75, 90),
                 codecs.avif: (30, 50, 65, 78)}
    curves = {codec.__name__: codecs.rd_curve(shown.image, codec, levels)
              for codec, levels in qualities.items()}
    plots.rd_curve({"C3": fits} | curves, axes[1, 1]).set_title(
        f"{height} × {width} pixels, all bits counted")
    return figure


def main() -> None:
    """Fit, draw, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    steps = parser.parse_args().steps
    photo = c3.data.crop(c3.data.kodak(23), y=96, x=384, height=256, width=384)
    config = c3.edit(c3.C3, steps=steps, stage2_steps=steps // 10)
    fits = [c3.fit(photo, c3.edit(config, rd_weight=rd_weight), key=jr.key(0))
            for rd_weight in RD_WEIGHTS]
    for fit in fits:
        print(fit)
    memory = io.BytesIO()
    draw(fits).savefig(memory, dpi=120)
    OUTPUT.parent.mkdir(exist_ok=True)
    with PIL.Image.open(memory) as picture:
        picture.convert("RGB").save(OUTPUT, quality=85, optimize=True)
    print(f"wrote {OUTPUT.relative_to(Path.cwd())}, {OUTPUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
