"""Rows: each differs from its base in exactly the field that it is about."""

import dataclasses
import itertools
import math

import pytest

import c3lite as c3
from c3lite.ablation import rows as rows_module
from c3lite.ablation.rows import (
    KNOCKOUTS,
    LADDER,
    annealing,
    between,
    knockouts,
    rungs,
    schedules,
    sequential,
)

INTENDED = {
    "soft-rounding": ("temperature", c3.Anneal(math.inf, math.inf)),
    "kumaraswamy-noise": ("noise_shape", c3.Anneal(1.0, 1.0)),
    "gelu": ("activation", "relu"),
    "shifted-log-scale": ("log_scale_shift", 0.0),
    "adaptive-lr-stage2": ("stage2_patience", 10**9),
    "quantization-step<1": ("quantization_step", 1.0),
    "previous-grid-conditioning": ("previous_grid_size", 0),
}


def changed(a, b):
    return {f.name: getattr(b, f.name) for f in dataclasses.fields(a)
            if getattr(a, f.name) != getattr(b, f.name)}


@pytest.mark.parametrize("name", INTENDED)
def test_a_knockout_changes_its_field_alone(name):
    base, row = knockouts(c3.C3_CLIC, [name])
    field, value = INTENDED[name]
    assert base.configs == (c3.C3_CLIC,) and row.name == name
    assert changed(c3.C3_CLIC, row.configs[0]) == {field: value}


def test_over_the_fast_preset_the_noise_becomes_uniform():
    base, row = knockouts(FAST, ["kumaraswamy-noise"])
    assert changed(base.configs[0], row.configs[0]) == {
        "noise": "kumaraswamy", "noise_shape": c3.Anneal(1.0, 1.0)}


def test_tables_3_and_10_have_the_rows_of_the_paper():
    assert set(INTENDED) == set(KNOCKOUTS)
    for base, table in ((c3.C3, "table3_kodak_knockout_bd_rate_percent"),
                        (c3.C3_CLIC, "table10_clic2020_knockout_bd_rate_percent")):
        names = [row.name for row in knockouts(base)]
        assert names[0] == "C3" and set(names[1:]) == set(c3.reference.paper_table(table))


def test_sequential_rows_lose_one_field_after_another():
    rows = sequential(c3.ADAPTIVE_CLIC, c3.C3_CLIC, c3.COOL_CHIC_V2)
    assert rows[0].configs == c3.ADAPTIVE_CLIC and rows[1].configs == (c3.C3_CLIC,)
    assert rows[-1].configs == (c3.COOL_CHIC_V2,)
    removed = [row.name for row in rows[2:-1]]
    assert removed == list(KNOCKOUTS)
    for before, after in itertools.pairwise(rows[1:-1]):
        field, value = INTENDED[after.name]
        assert changed(before.configs[0], after.configs[0]) == {field: value}


FAST = c3.edit(c3.C3_FAST, steps=c3.C3.steps, stage2_steps=c3.C3.stage2_steps)


def test_parts_of_a_difference_are_taken_alone_or_left_out():
    parts = rows_module.FAST_PARTS
    rows, count = between(c3.C3, FAST, ("C3", "fast"), parts), len(parts)
    assert [rows[0], rows[count + 1]] == [("C3", (c3.C3,)), ("fast", (FAST,))]
    difference = changed(c3.C3, FAST)
    assert set(difference) == set(itertools.chain(*parts.values()))
    for n, (part, fields) in enumerate(parts.items(), start=1):
        taken, left = rows[n], rows[count + 1 + n]
        assert (taken.name, left.name) == (f"with {part}", f"fast without {part}")
        assert changed(c3.C3, taken.configs[0]) == {f: difference[f] for f in fields}
        assert set(changed(FAST, left.configs[0])) == set(fields)
    with pytest.raises(ValueError, match=r"no part has quantization_step, "):
        between(c3.edit(c3.C3, quantization_step=0.5), FAST, ("C3", "fast"), parts)


def test_a_part_in_which_they_do_not_differ_is_no_row():
    rows = [row.name for row in between(
        c3.C3, c3.edit(FAST, noise="kumaraswamy"), ("C3", "fast"), rows_module.FAST_PARTS)]
    assert "with SOAP" in rows and "with Gaussian noise" not in rows
    assert "fast without Gaussian noise" not in rows


@pytest.mark.parametrize(("T", "a"), list(itertools.product((0.1, 0.2, 0.3), (1.0, 1.5, 2.0))))
def test_annealing_rows_hold_temperature_and_noise(T, a):
    (row,) = [row for row in annealing(c3.C3_CLIC) if row.name == f"T={T:g} a={a:g}"]
    config = row.configs[0]
    assert set(changed(c3.C3_CLIC, config)) <= {"temperature", "noise_shape"}
    assert config.temperature == c3.Anneal(T, T) and config.noise_shape == c3.Anneal(a, a)


def test_annealing_has_the_rows_of_the_paper():
    table = c3.reference.paper_table("table11_clic2020_fixed_T_a_bd_rate_percent")
    assert {row.name for row in annealing(c3.C3)} == {"C3"} | {
        f"T={line['T']:g} a={line['a']:g}" for line in table}


def test_other_lengths():
    short = schedules(c3.C3, [500])[1]
    assert short.name == "500 steps"
    assert changed(c3.C3, short.configs[0]) == {"steps": 500, "stage2_steps": 50}


@pytest.mark.parametrize(("base", "names", "words"), [
    (c3.C3, ["soft-roundin"], "did you mean 'soft-rounding'"),
    (c3.C3, ["previous-grid-conditioning"], "has no 'previous-grid-conditioning'")])
def test_unknown_and_impossible_rows(base, names, words):
    with pytest.raises(ValueError, match=words):
        knockouts(base, names)


def test_every_row_edits_one_field_of_the_paper_s():
    for edits in rows_module.KNOCKOUTS.values():
        assert len(changed(c3.C3_CLIC, c3.edit(c3.C3_CLIC, **edits))) == 1


def test_a_ladder_gives_one_field_back_a_rung_until_it_is_the_base():
    rows = rungs(c3.C3)
    assert [row.name for row in rows] == ["none of them", *LADDER]
    assert set(LADDER) == set(c3.reference.paper_table("table3_kodak_knockout_bd_rate_percent"))
    for below, above in itertools.pairwise(rows):
        field, removed = INTENDED[above.name]
        assert changed(above.configs[0], below.configs[0]) == {field: removed}
    assert rows[-1].configs == (c3.C3,)
