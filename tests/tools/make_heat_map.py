"""Draw the README's map of Table 3 by rate from its store: `python -m tests.tools.make_heat_map`.

Fits nothing. Writes notebooks/images/table03_by_rate.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt

from c3lite.ablation import loss_changes
from c3lite.ablation.plots import effects_by_rate
from c3lite.ablation.stored import stored
from tests.tools.figures import NAMES

REPOSITORY = Path(__file__).parents[2]
OUTPUT = REPOSITORY / "notebooks/images/table03_by_rate.png"


def main() -> None:
    """Draw, write, and print the numbers."""
    results = stored("table03/long", REPOSITORY / "ablations").results
    changes = {NAMES.get(row, row): by_weight
               for row, by_weight in loss_changes(results, latents_alone=True).items()}
    ax = effects_by_rate(changes)
    ax.set_ylabel("taken away from C3")
    ax.figure.savefig(OUTPUT, dpi=130, bbox_inches="tight")
    plt.close(ax.figure)
    for row, by_weight in changes.items():
        print(f"{row:40}", *(f"{w:g}: {change:+6.1f} %" for w, change in by_weight.items()))


if __name__ == "__main__":
    main()
