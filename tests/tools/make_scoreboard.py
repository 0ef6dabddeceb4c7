"""Write what `course.scoreboard` compares with: `python -m tests.tools.make_scoreboard`.

Reads the finished fits of notebooks/results/course and of the ladder, at the price and length of
the course, and what lessons have written, and fits nothing. A row whose fits are not there yet has
no numbers.
"""

import json
from pathlib import Path

import c3lite as c3
from c3lite import ablation, course
from c3lite.ablation.rows import KNOCKOUTS

REPOSITORY = Path(__file__).parents[2]
NOTEBOOKS = REPOSITORY / "notebooks"
STORES = NOTEBOOKS / "results/course", REPOSITORY / "ablations/results/ladder/laptop/store"

LENGTH = {"rd_weight": course.RD_WEIGHT, "steps": course.STEPS,
          "stage2_steps": course.STEPS // 10}
NONE = {name: value for row in list(KNOCKOUTS)[:6] for name, value in KNOCKOUTS[row].items()}
OWN = {"C3 in 100 lines": "hundred_lines.json",
       "C3, one table for each grid": "one_table.json"}
"""Rows that a lesson measures itself, with `RECOMPUTE = True`, and the file that it writes."""
ROWS = {  # name: the lesson that runs it, and its config
    "C3_FAST": ("00", c3.C3_FAST),
    "COOL-CHIC": ("01", c3.COOL_CHIC),
    "C3": ("01b", c3.C3),
    "C3 in 100 lines": ("01b", None),
    "C3 without soft-rounding": ("02", c3.edit(c3.C3, **KNOCKOUTS["soft-rounding"])),
    "C3 without Kumaraswamy noise": ("03", c3.edit(c3.C3, **KNOCKOUTS["kumaraswamy-noise"])),
    "C3 without GELU": ("04", c3.edit(c3.C3, **KNOCKOUTS["gelu"])),
    "C3 without the shift": ("04", c3.edit(c3.C3, **KNOCKOUTS["shifted-log-scale"])),
    "C3 with a step of 1": ("04", c3.edit(c3.C3, **KNOCKOUTS["quantization-step<1"])),
    "C3, stage 2 at one rate": ("04a", c3.edit(c3.C3, **KNOCKOUTS["adaptive-lr-stage2"])),
    "C3 without any of the six": ("04b", c3.edit(c3.C3, **NONE)),
    "C3, one table for each grid": ("05", None),
    "C3, every byte of the file": ("05b", c3.C3),
}


def main() -> None:
    """Read the stores, print and write the scoreboard."""
    by_config: dict[str, list] = {}
    for store in STORES:
        for record in ablation.Store(store).records():
            config = c3.Config.from_json(json.dumps(record.config))
            by_config.setdefault(config.canonical_json(), []).append(record)
    out = {}
    for name, (lesson, config) in ROWS.items():
        own = NOTEBOOKS / "results" / OWN.get(name, "")
        if config is None:
            points = json.loads(own.read_text("utf-8")) if own.exists() else []
        else:
            found = by_config.get(c3.edit(config, **LENGTH).canonical_json(), [])
            points = [(r.file_bpp if "byte" in name else r.bpp, r.psnr_db) for r in
                      sorted(found, key=lambda r: r.seed)]
        out[name] = {"lesson": lesson, "bpp_psnr_db": points}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in out.items())
    (NOTEBOOKS / "results/scoreboard.json").write_text(f"{{\n{lines}\n}}\n", "utf-8")
    course.scoreboard("99", folder=NOTEBOOKS / "results")


if __name__ == "__main__":
    main()
