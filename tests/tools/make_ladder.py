"""Draw the README's waterfall from the ladder's store: `python -m tests.tools.make_ladder`.

Fits nothing. Writes notebooks/images/ladder.png, of the fits at the course's price.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import c3lite as c3
from c3lite import ablation, course, plots
from c3lite.ablation.rows import LADDER

REPOSITORY = Path(__file__).parents[2]
STORE = REPOSITORY / "ablations/results/ladder/laptop/store"
OUTPUT = REPOSITORY / "notebooks/images/ladder.png"
NAMES = dict(zip(LADDER, ("+ quantization step 0.4", "+ shift of the log-scale", "+ GELU",
                          "+ soft-rounding", "+ Kumaraswamy noise", "+ adaptive stage 2: C3"),
                 strict=True)) | {"none of them": "without the six"}


def parts() -> dict[str, np.ndarray]:
    """MSE and lambda bpp, times 10^4, of each rung's seeds at the course's price, from the bottom.

    Raises `KeyError` where the store lacks a rung.
    """
    found: dict[str, list] = {}
    for record in ablation.Store(STORE).records():
        config = c3.Config.from_json(json.dumps(record.config))
        found.setdefault(config.canonical_json(), []).append(1e4 * np.array(
            [10 ** (-record.psnr_db / 10), course.RD_WEIGHT * record.bpp]))
    base = c3.edit(c3.C3, rd_weight=course.RD_WEIGHT, steps=course.STEPS,
                   stage2_steps=course.STEPS // 10)
    return {NAMES[row.name]: np.array(found[row.configs[0].canonical_json()])
            for row in ablation.rungs(base)}


def main() -> None:
    """Draw, write, and print the sums."""
    ax = plots.waterfall(parts())
    ax.figure.savefig(OUTPUT, dpi=130, bbox_inches="tight")
    plt.close(ax.figure)
    for name, points in parts().items():
        print(f"{name:28}{points.sum(1).mean():6.2f}")


if __name__ == "__main__":
    main()
