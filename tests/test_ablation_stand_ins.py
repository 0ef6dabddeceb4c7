"""Rows of the quantization study differ in what they name; losses, spreads and jumps by hand."""

import dataclasses
import math

import numpy as np
import pytest

import c3lite as c3
from c3lite.ablation.jobs import Result
from c3lite.ablation.rows import BASE as ROOT
from c3lite.ablation.store import Record
from c3lite.ablation.studies import stand_ins as study

BASE = c3.edit(c3.C3, steps=1000, stage2_steps=100)  # ROOT is its row's name


def changed(config):
    return {f.name for f in dataclasses.fields(BASE)
            if getattr(config, f.name) != getattr(BASE, f.name)}


def test_rows_change_what_they_name():
    rows = {row.name: row.configs[0] for row in study.stand_ins(BASE)}
    assert list(rows) == [ROOT, *study.STAND_INS] and rows[ROOT] == BASE
    schedule = {"temperature", "noise_shape"}
    for name, config in rows.items():
        if name in study.HARD:
            # T = 1e-4 is the base's own
            assert changed(config) | {"stage2_temperature"} == {
                "steps", "stage2_steps", "stage2_learning_rate", "stage2_temperature"}
        else:
            assert changed(config) <= schedule
    assert changed(rows["soft-rounding alone"]) == {"noise_shape"}
    assert changed(rows["Kumaraswamy noise"]) == {"temperature"}
    assert rows["soft-rounding alone"].noise_shape == c3.Anneal(math.inf, math.inf)
    assert rows["uniform noise"].temperature == c3.Anneal(math.inf, math.inf)
    assert rows["uniform noise"].noise_shape == c3.Anneal(1.0, 1.0)


@pytest.mark.parametrize(("name", "T", "a"), [
    ("start held", 0.3, 2.0), ("middle held", 0.2, 1.5), ("end held", 0.1, 1.0)])
def test_held_rows_are_points_of_the_schedule(name, T, a):
    config = dict(study.stand_ins(BASE))[name][0]
    assert config.temperature.start == config.temperature.end == pytest.approx(T)
    assert config.noise_shape == c3.Anneal(a, a)


def test_hard_rows_run_as_long_and_start_as_fast():
    longer = c3.edit(BASE, steps=100_000, stage2_steps=10_000)
    for base, patience in ((BASE, 20), (longer, 1000)):
        config = dict(study.stand_ins(base))["straight-through"][0]
        assert (config.steps, config.stage2_steps) == (0, base.steps + base.stage2_steps)
        assert config.stage2_learning_rate == 1e-2 and config.stage2_patience == patience


def record(loss, networks_bits=100.0, error=None, steps=4, past=(8.0, 4.0, 4.0, 4.0, 6.0)):
    config = {"rd_weight": 1e-2, "steps": steps}
    return Record(
        key="", numerics=1, config=config, image="", image_sha256="", shape=(10, 10), seed=0,
        bits={} if error else {"latents": 50.0, "synthesis": networks_bits}, psnr_db=30.0,
        loss=loss + 1e-2 * networks_bits / 100, steps=len(past), seconds=1.0, batch=1, device="",
        versions={}, date="", error=error,
        history={"step": list(range(len(past))), "loss": list(past)})


def results(**losses):
    return [Result(row.replace("_", " "), image, 1e-2, seed, record(loss))
            for row, images in losses.items() for image, seeds in images.items()
            for seed, loss in enumerate(seeds)]


def test_losses_are_the_latents():
    assert record(0.5).latents_loss == pytest.approx(0.5)
    assert record(0.5, networks_bits=9.0).latents_loss == pytest.approx(0.5)


def test_jump_is_from_the_stand_in_to_rounding():
    assert study.jump_percent(record(1.0, past=(8.0, 4.0, 4.0, 4.0, 6.0))) == pytest.approx(20)
    assert math.isnan(study.jump_percent(record(1.0, steps=0)))
    assert math.isnan(study.jump_percent(record(1.0, steps=9)))


def test_rise_and_spread_by_hand():
    found = study.stability(results(
        uniform={"a": (2.0, 2.2), "b": (15.0, 15.0)}, C3={"a": (1.0, 1.0), "b": (9.0, 11.0)}))
    base, uniform = found
    assert base.row == ROOT and base.rise_percent == pytest.approx(0, abs=1e-6)
    assert uniform.rise_percent == pytest.approx((110 + 50) / 2)
    np.testing.assert_allclose(uniform.rises_percent, [100, 120, 50, 50], rtol=1e-6)
    assert uniform.spread_percent == pytest.approx(math.sqrt((np.var([0, 20], ddof=1) + 0) / 2))
    assert base.spread_percent == pytest.approx(math.sqrt(np.var([0, 20], ddof=1) / 2))
    assert math.isnan(study.stability(results(C3={"a": (1.0,)}))[0].spread_percent)


def test_a_table_of_it():
    found = study.stability(results(uniform={"a": (2.0, 2.2)}, C3={"a": (1.0, 1.0)}))
    text = str(study.stability_table(found))
    assert text.splitlines()[2].split() == [
        "uniform", "+110.00", "14.14", "+20.0", "2", "-", "unknown"]
    assert "<td>+110.00</td>" in study.stability_table(found)._repr_html_()


def test_failed_fits_are_counted_and_left_out():
    some = results(C3={"a": (1.0,)}, wild={"a": (3.0,)})
    some.append(Result("wild", "a", 1e-2, 1, record(math.nan, error="the loss is nan")))
    wild = study.stability(some)[1]
    assert (wild.fits, wild.failed, wild.rise_percent) == (2, 1, pytest.approx(200))
    with pytest.raises(ValueError, match="'C3' has no finished fit of a at rate"):
        study.stability(some[1:])


def test_curves_of_one_image_and_rate():
    some = results(C3={"a": (1.0, 2.0), "b": (3.0,)}, other={"a": (1.0,)})
    found = study.curves(some)
    assert {row: len(seeds) for row, seeds in found.items()} == {"C3": 2, "other": 1}
    steps, loss = found["C3"][0]
    assert steps.tolist() == [0, 1, 2, 3, 4] and loss[-1] == 6.0
