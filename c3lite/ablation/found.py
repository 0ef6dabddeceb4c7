"""What stores hold, as rows of tables, whatever made them: for lessons and reports."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

from c3lite.ablation.rows import Row, annealing, knockouts
from c3lite.ablation.store import Record, Store, canonical
from c3lite.ablation.sweep import Result
from c3lite.config import C3, COOL_CHIC, COOL_CHIC_V2, Config, edit


def stores(folder: str | os.PathLike) -> dict[str, list[Result]]:
    """The finished fits of every store under a folder, by its path there and their steps.

    So "table03/laptop, 2000 steps": fits of other lengths are not to be compared, and stand apart.
    A fit has the name of the row that its config is: C3, C3 without an ingredient or with a fixed
    schedule, COOL-CHIC, COOL-CHICv2. Fits of other configs and failed ones are left out, so are
    stores of smoke tests. Results stand in the order of those rows, then of images, rate weights.
    """
    folder = Path(folder)
    found: dict[str, list[Result]] = {}
    for fits in sorted(folder.rglob("fits")):
        path = fits.parent.relative_to(folder)
        if "smoke" in path.parts:
            continue
        place = (path.parent if path.name == "store" else path).as_posix()
        for r in Store(fits.parent).records():
            name = row_name(r) if r.error is None else None
            if name is not None:
                result = Result(name, r.image, r.config["rd_weight"], r.seed, r)
                found.setdefault(f"{place}, {r.config['steps']:g} steps", []).append(result)
    return {name: sorted(found[name], key=_place) for name in sorted(found)}


def _place(result: Result):
    return list(_names().values()).index(result.row), result.image, result.rd_weight, result.seed


def row_name(record: Record) -> str | None:
    """The row that a stored fit's config is; None for another."""
    config = Config.from_json(json.dumps(record.config))
    return _names().get(_less_schedule(config))


def _less_schedule(config: Config) -> str:
    return canonical(edit(config, rd_weight=1.0, steps=1, stage2_steps=0))


@functools.cache
def _names() -> dict[str, str]:
    codecs = [Row("COOL-CHIC", (COOL_CHIC,)), Row("COOL-CHICv2", (COOL_CHIC_V2,))]
    rows = [*knockouts(C3), *annealing(C3)[1:], *codecs]
    return {_less_schedule(row.configs[0]): row.name for row in rows}
