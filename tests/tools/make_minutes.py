"""Draw the README's plot of rate against minutes: `python -m tests.tools.make_minutes`.

One whole photo, its rate at one PSNR, from the stores of kodak.ipynb. Fits nothing. Writes
notebooks/images/minutes.png. Only fits of CPU cores count: a fit has one core to itself.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import c3lite as c3
from c3lite import codecs, plots, reference
from c3lite.ablation.stored import stored

REPOSITORY = Path(__file__).parents[2]
OUTPUT = REPOSITORY / "notebooks/images/minutes.png"
PHOTO, PSNR_DB = "kodim03", 35.0
PUBLISHED = ("Cool-Chic v2.0", "Cool-Chic v3.0", "Cool-Chic v5.0")
QUALITIES = {codecs.jpeg: (20, 35, 50, 65, 80), codecs.webp: (50, 70, 80, 90, 95),
             codecs.avif: (40, 55, 65, 75, 85)}


def rate_at(bpp, psnr_db) -> float:
    """The curve's rate at `PSNR_DB`, straight in ln(bpp) between its points."""
    order = np.argsort(psnr_db)
    return float(np.exp(np.interp(
        PSNR_DB, np.take(psnr_db, order), np.log(np.take(bpp, order)), np.nan, np.nan)))


def measured() -> dict[str, tuple[float, float]]:
    """Minutes of a core a file, and the rate, by row: of the store that has four of its fits."""
    found = {}
    for store in ("kodak/whole", "kodak/peer"):
        rows: dict[str, list] = {}
        for r in stored(store, REPOSITORY / "ablations").results:
            if r.image == PHOTO and "CPU" in r.record.device:
                rows.setdefault(r.row, []).append(r.record)
        found |= {row: (np.median([r.seconds for r in records]) / 60, rate_at(
            [r.file_bpp for r in records], [r.psnr_db for r in records]))
            for row, records in rows.items() if len(records) == 4}
    return found


def lines() -> dict[str, float]:
    """Rates of other codecs: of files made here, and published of this photo."""
    photo = c3.data.kodak(int(PHOTO[5:]))
    curves = {codec.__name__.upper(): codecs.rd_curve(photo, codec, each)
              for codec, each in QUALITIES.items()}
    curves["HEVC, intra"] = codecs.hevc(photo[:, None], (28, 31, 34, 37, 40))
    rates = {name: rate_at([p.bpp for p in points], [p.psnr for p in points])
             for name, points in curves.items()}
    for version in PUBLISHED:
        points = reference.cool_chic(version, PHOTO)
        rates[f"{version}, published"] = rate_at(points.bpp, points.psnr_db)
    return rates


def main() -> None:
    """Draw, write, and print the numbers."""
    figure, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    points, others = measured(), lines()
    for name, (minutes, rate) in points.items():
        ax.plot(minutes, rate, label=name, **plots.style(name) | {"markersize": 9})
        print(f"{name:26}{minutes:6.1f} min {rate:.4f} bpp")
    for name, rate in sorted(others.items(), key=lambda other: other[1]):
        ax.axhline(rate, color="#767676", linewidth=0.8, zorder=1, label=name)
        print(f"{name:26}           {rate:.4f} bpp")
    longest = max(minutes for minutes, _ in points.values())
    ax.set(xlim=(0, 1.5 * longest), ylim=(0, None), xlabel="minutes of one CPU core, 2,200 steps",
           ylabel=f"bits per pixel at {PSNR_DB:g} dB")
    plots.name_lines(ax)
    figure.savefig(OUTPUT, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
