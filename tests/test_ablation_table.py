"""BD-rates of tables: known shifts, best of several, intervals, and what is missing."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import c3lite as c3
from c3lite.ablation import bd_table, loss_changes, mean_curve, networks_over, plots
from c3lite.ablation.jobs import Result
from tests import swept

WEIGHTS = (2e-4, 5e-4, 1e-3, 4e-3)


RECORDS = {w: swept.record(c3.edit(c3.C3, rd_weight=w)) for w in WEIGHTS}


def scaled(record, factor):
    """The record with `factor` times the bits."""
    bits = {part: factor * b for part, b in record.bits.items()}
    return dataclasses.replace(record, bits=bits)


def results(row, factor=1.0, images=("a", "b", "c"), seeds=(0,), weights=WEIGHTS):
    return [Result(row, image, w, seed, scaled(
        RECORDS[w], factor(image, seed) if callable(factor) else factor))
        for image in images for seed in seeds for w in weights]


@settings(max_examples=10)
@given(st.floats(0.5, 2.0))
def test_a_known_shift_of_rate_is_found_without_spread(factor):
    table = bd_table(results("C3") + results("row", factor), {"row": 22.0}, resamples=20)
    line = table.lines[1]
    for estimate in (line.bd_rate, line.latents_bd_rate):
        np.testing.assert_allclose(estimate, 3 * [100 * (factor - 1)], atol=1e-6)
    assert line.paper == 22.0 and line.images == 3 and line.seeds == 1 and line.steps == 110_000
    assert table.lines[0].note == "anchor" and table.lines[0].bd_rate.value == 0


def test_bd_rate_is_of_the_mean_curves():
    row = results("row", lambda image, seed: {"a": 1.1, "b": 1.2, "c": 2.0}[image])
    bpp, latents_bpp, psnr_db = mean_curve(row, "row")
    by_hand = np.mean([[r.record.bpp for r in row if r.image == i] for i in "abc"], axis=0)
    np.testing.assert_allclose(bpp, by_hand)
    np.testing.assert_allclose(latents_bpp, 0.75 * bpp)
    base = mean_curve(results("C3"), "C3")
    table = bd_table(results("C3") + row, resamples=50)
    assert table.lines[1].bd_rate.value == pytest.approx(
        c3.metrics.bd_rate(bpp, psnr_db, base[0], base[2]))


def test_networks_over_more_pixels_weigh_less():
    base, same = results("C3"), networks_over(results("C3"), RECORDS[WEIGHTS[0]].pixels)
    for a, b in zip(base, same, strict=True):
        assert a.record.bits == b.record.bits and a.record.loss == pytest.approx(b.record.loss)
    wide = networks_over(base, 10 * base[0].record.pixels)
    for a, b in zip(base, wide, strict=True):
        networks_bpp = a.record.bpp - a.record.latents_bpp
        assert b.record.latents_bpp == a.record.latents_bpp
        assert b.record.bpp == pytest.approx(a.record.latents_bpp + networks_bpp / 10)
        mse = a.record.loss - a.rd_weight * a.record.bpp
        assert b.record.loss == pytest.approx(mse + a.rd_weight * b.record.bpp)
    # in the limit only the latents are left
    far = bd_table(networks_over(base + results("row", 1.2), 10**15), resamples=5).lines[1]
    assert far.bd_rate.value == pytest.approx(far.latents_bd_rate.value)
    failed = [r._replace(record=dataclasses.replace(r.record, error="no", bits={})) for r in base]
    assert networks_over(failed, 5) == failed


def test_the_loss_needs_neither_four_rates_nor_a_common_range():
    rows = [results(*row, weights=WEIGHTS[:2]) for row in (("C3",), ("row", 1.2))]
    worse = [r._replace(record=dataclasses.replace(r.record, loss=1.1 * r.record.loss))
             for r in rows[1]]
    line = bd_table(rows[0] + worse, resamples=20).lines[1]
    assert math.isnan(line.bd_rate.value) and math.isnan(line.bd_rate.low)
    assert line.loss == pytest.approx((10.0, 10.0, 10.0)) and "at least 4 points" in line.note


def test_the_order_in_which_fits_finished_changes_nothing():
    def mixed(image, seed):
        return {"a": 0.9, "b": 1.2, "c": 1.0}[image] * (1 + 0.02 * seed)

    rows = [results("C3", seeds=(0, 1)), results("row", mixed, seeds=(0, 1))]
    table, turned = (bd_table(one + other, resamples=50) for one, other in (
        rows, [row[::-1] for row in rows]))
    assert table == turned and not math.isnan(table.lines[1].bd_rate.low)


def test_the_interval_is_of_images_and_seeds_and_flags_noise():
    def mixed(image, seed):
        return {"a": 0.9, "b": 1.1, "c": 1.0}[image] * (1 + 0.02 * seed)

    line = bd_table(results("C3", seeds=(0, 1)) + results("row", mixed, seeds=(0, 1))).lines[1]
    assert line.bd_rate.low < line.bd_rate.value < line.bd_rate.high
    assert line.note == "within noise" and line.seeds == 2
    sure = bd_table(results("C3") + results("row", lambda image, _: 1.2 + 0.1 * (image == "a")))
    assert sure.lines[1].note == "" and sure.lines[1].bd_rate.low > 0
    seeds = bd_table(results("C3", images="a", seeds=(0, 1)) + results(
        "row", lambda _, seed: 1.1 + 0.1 * seed, images="a", seeds=(0, 1))).lines[1]
    assert seeds.bd_rate.low < seeds.bd_rate.high  # one image, but two seeds


def test_one_fit_a_point_has_no_interval():
    line = bd_table(results("C3", images="a") + results("row", 1.1, images="a")).lines[1]
    assert math.isnan(line.bd_rate.low) and "no interval" in line.note


def test_of_several_configs_the_least_loss_counts():
    worse, better = ([r._replace(record=dataclasses.replace(r.record, loss=loss))
                      for r in results("row", factor)] for factor, loss in ((3.0, 2.0), (1.1, 1.0)))
    for both in (worse + better, better + worse):
        assert bd_table(results("C3") + both).lines[1].bd_rate.value == pytest.approx(10)


def test_incomplete_images_do_not_count():
    partial = results("row", 1.1, images="ab") + results("row", 9.0, images="c",
                                                         weights=WEIGHTS[:3])
    line = bd_table(results("C3") + partial).lines[1]
    assert line.images == 2 and line.bd_rate.value == pytest.approx(10)
    nothing = bd_table(results("C3") + results("row", weights=WEIGHTS[:3])).lines[1]
    assert "no image" in nothing.note and math.isnan(nothing.bd_rate.value)


def test_failed_fits_are_counted_and_left_out():
    failed = [r._replace(record=swept.record(c3.C3, bits={}, loss=math.nan, error="diverged"))
              for r in results("row", images="c")]
    line = bd_table(results("C3") + results("row", 1.1, images="ab") + failed).lines[1]
    assert line.images == 2 and "4 fits failed" in line.note


def test_curves_that_do_not_overlap_say_so():
    low = [r._replace(record=swept.record(c3.edit(c3.C3, rd_weight=r.rd_weight), r.image,
                                          psnr_db=r.record.psnr_db - 60)) for r in results("row")]
    line = bd_table(results("C3") + low).lines[1]
    assert "share no range" in line.note and math.isnan(line.bd_rate.value)


def test_another_codec_as_the_anchor():
    curve = [(r.record.bpp, r.record.psnr_db) for r in results("x", images="a")]
    curve = np.array(curve).T.tolist()
    anchor = dict.fromkeys("abc", ([2 * bpp for bpp in curve[0]], curve[1]))
    line = bd_table(results("row"), anchor=anchor, anchor_name="HEVC").lines[0]
    assert line.bd_rate.value == pytest.approx(-50) and math.isnan(line.loss.value)


def test_text_and_html():
    paper = {"p": 1.0, "q": 5.0, "r": 22.0}
    rows = [r for name, f in (("p", 1.01), ("q", 1.02), ("r", 1.3)) for r in results(name, f)]
    table = bd_table(results("C3") + rows, paper, paper_title="paper % (Kodak)")
    assert "paper % (Kodak)" in str(table) and "+30.00" in str(table)
    assert table._repr_html_().count("<tr>") == 5


def test_bad_tables():
    with pytest.raises(ValueError, match="no results"):
        bd_table([])
    with pytest.raises(ValueError, match="anchor 'base'"):
        bd_table(results("C3"), anchor="base")
    with pytest.raises(ValueError, match="no results of a row 'x'"):
        mean_curve(results("C3"), "x")


def test_records_are_ready_for_json():
    json.dumps(swept.record(c3.C3).config)


def test_loss_changes_by_rate_weight():
    worse = [r._replace(record=dataclasses.replace(r.record, loss=r.record.loss * f))
             for r, f in zip(results("row"), [1.1, 1, 1, 1, 1.21, 1, 1, 1, 1.1 * 1.1**-1, 1, 1, 1],
                             strict=True)]
    changes = loss_changes(results("C3") + worse)
    assert changes["C3"] == dict.fromkeys(WEIGHTS, 0.0)
    assert changes["row"][2e-4] == pytest.approx(10) and changes["row"][4e-3] == 0
    assert loss_changes([]) == {}


def test_loss_changes_of_the_latents_alone():
    """Networks of more bits, whose price is in the loss, change nothing then."""
    dearer = []
    for r in results("row"):
        bits = r.record.bits | {"synthesis": r.record.bits["synthesis"] + 1000}
        loss = r.record.loss + r.rd_weight * 1000 / r.record.pixels
        dearer.append(r._replace(record=dataclasses.replace(r.record, bits=bits, loss=loss)))
    both = results("C3") + dearer
    assert loss_changes(both)["row"][4e-3] > 0.01
    alone = loss_changes(both, latents_alone=True)
    assert alone["row"] == pytest.approx(dict.fromkeys(WEIGHTS, 0.0), abs=1e-9)
    ax = plots.effects_by_rate(alone | {"other": {WEIGHTS[0]: 12.34}})
    assert [t.get_text() for t in ax.get_yticklabels()] == ["row", "other"]
    assert {t.get_text() for t in ax.texts} >= {"+12.3", "+0.0"}
    assert ax.get_xlabel() == "rate weight λ" and ax.get_ylabel() == "row"
    assert [t.get_text() for t in ax.get_xticklabels()] == [f"{w:g}" for w in WEIGHTS]
    assert np.isnan(ax.images[0].get_array().filled(np.nan)[1, 1:]).all()


def test_a_table_says_how_many_fits_collapsed():
    def told(row, collapsed):
        return [r._replace(record=dataclasses.replace(r.record, key=f"{row}{r[1:4]}",
                                                      collapsed=next(collapsed)))
                for r in results(row, images="ab")]

    base, some = told("C3", iter([False] * 8)), told("row", iter([True, True, *[False] * 6]))
    table = bd_table(base + some)
    assert "2 of 16 fits collapsed" in str(table) and "2 of 16 fits" in table._repr_html_()
    assert "2 fits collapsed" in table.lines[1].note and "collapsed" not in table.lines[0].note
    old = bd_table(base + told("row", iter([None] * 8)))
    assert old.collapses == "0 of 8 fits collapsed; 8 fits were not checked for a collapse"
    assert "collapsed" not in old.lines[1].note


# Steps that a short fit is worth ------------------------------------------------------------------


def of_length(name, steps, seed=0, off=1.0):
    """Results of two images and weights whose loss falls as a power of the steps."""
    config = c3.edit(c3.C3, steps=steps)
    return [Result(name, image, weight, seed, swept.record(
                c3.edit(config, rd_weight=weight), image, seed=seed, bpp=1.0, shape=(100, 100),
                file_bytes=1250, psnr_db=-10 * math.log10(off * steps**-0.1 * scale - weight)))
            for image, scale in (("a", 1.0), ("b", 0.3)) for weight in (1e-4, 1e-3)]


def test_a_short_fit_is_worth_the_steps_that_reach_its_loss(capsys):
    curve = [r for n in (1000, 2000, 4000) for r in of_length(f"C3, {n} steps", n)]
    short = [r for seed, worth in enumerate((1500, 3000, 5000))
             for r in of_length("C3_FAST", 1000, seed, (worth / 1000) ** -0.1)]
    worth = plots.steps_worth(curve, short, "C3_FAST")
    found = worth.in_steps(worth.short.mean(1), worth.curve.mean(1))
    np.testing.assert_allclose(found[:2], (1500, 3000), rtol=1e-3)
    assert math.isnan(found[2])  # C3's curve does not go so far
    ax = worth.show()
    said = capsys.readouterr().out
    assert "by seed 1,500, 3,000, over 4,000" in said and "lambda 0.001" in said
    assert "worth under 1,000 steps" in str(worth._replace(short=worth.short + 1))
    assert ax.get_xlabel() == "steps of stage 1"
