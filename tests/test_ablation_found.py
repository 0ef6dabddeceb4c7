"""Fits found in stores have the names of the rows that they are, and keep apart by length."""

import dataclasses

import c3lite as c3
from c3lite import ablation
from c3lite.ablation.grid import row_name
from tests import swept


def add(folder, config, image="kodim05", **changes):
    made = swept.record(config, image, **changes)
    key = f"{sum(1 for _ in folder.rglob('*.json')):032x}"
    ablation.Store(folder).add(dataclasses.replace(made, key=key))


def test_rows_are_recognized_whatever_their_rate_and_length():
    base = c3.edit(c3.C3, rd_weight=3e-4, steps=2000, stage2_steps=200)
    for row in [*ablation.knockouts(base), *ablation.annealing(base)]:
        assert row_name(swept.record(row.configs[0], "kodim05")) == row.name
    rival = c3.edit(c3.COOL_CHIC_V2, rd_weight=3e-4, steps=100, stage2_steps=0)
    assert row_name(swept.record(rival, "kodim05")) == "COOL-CHICv2"
    other = c3.edit(base, num_grids=5)
    assert row_name(swept.record(other, "kodim05")) is None


def test_stores_stand_apart_by_folder_and_length(tmp_path):
    base = c3.edit(c3.C3, steps=100, stage2_steps=10)
    table, kodak = tmp_path / "table03" / "laptop" / "store", tmp_path / "kodak" / "store"
    add(table, c3.edit(base, temperature=float("inf")))
    add(table, base, "kodim14")
    add(table, base)
    add(table, c3.edit(base, steps=50))
    add(table, c3.edit(base, num_grids=5))
    add(table, base, error="not finite")
    add(kodak, c3.edit(c3.COOL_CHIC_V2, steps=100))
    add(tmp_path / "table03" / "smoke" / "store", base)
    found = ablation.stores(tmp_path)
    assert {name: [(r.row, r.image) for r in results] for name, results in found.items()} == {
        "kodak, 100 steps": [("COOL-CHICv2", "kodim05")],
        "table03/laptop, 100 steps": [
            ("C3", "kodim05"), ("C3", "kodim14"), ("soft-rounding", "kodim05")],
        "table03/laptop, 50 steps": [("C3", "kodim05")]}
    (rival,) = found["kodak, 100 steps"]
    assert rival.rd_weight == rival.record.config["rd_weight"]
    assert ablation.stores(tmp_path / "nothing") == {}
