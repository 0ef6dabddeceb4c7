"""Ours beside Cool-Chic's published results: the right numbers, and none for a crop."""

import math
from pathlib import Path

import pytest
import yaml

import c3lite as c3
from c3lite.ablation import Result, notebook
from c3lite.ablation.studies import cool_chic
from c3lite.evaluation import reference
from tests import swept

PRESETS = sorted((Path(__file__).parents[1] / "ablations" / "presets" / "kodak").glob("*.yaml"))


def results(image, bpp_factor=1.0, **changes):
    """Fits that are Cool-Chic 3.0's published points, their rate times a factor."""
    points = reference.cool_chic("Cool-Chic v3.0", "kodim03")
    for weight, bpp, psnr_db in zip(*points, strict=True):
        config = c3.edit(c3.C3, rd_weight=float(weight))
        made = swept.record(config, image, psnr_db=float(psnr_db), bpp=float(bpp), shape=(512, 768),
                            file_bytes=round(bpp_factor * bpp * 512 * 768 / 8), **changes)
        yield Result("C3", image, float(weight), 0, made)


def test_a_version_beside_itself():
    same = list(results("kodim03"))
    for row in cool_chic.image_by_image(same, ["Cool-Chic v3.0"]).rows:
        assert row[-1].endswith(("+0.0 %", "-0.0 %"))
    for r in same:
        assert r.record.file_bpp == pytest.approx(r.record.bpp, rel=1e-3)
    text = str(cool_chic.versions_table(same, ["Cool-Chic v3.0"]))
    assert "+0.0 % (of 1)" in text or "-0.0 % (of 1)" in text


def test_a_tenth_more_rate_is_ten_percent():
    more = list(results("kodim03", 1.1))
    assert "+10.0 % (of 1)" in str(cool_chic.versions_table(more, ["Cool-Chic v3.0"]))
    r = more[2]
    mse, bpp = 10 ** (-r.record.psnr_db / 10), r.record.file_bpp
    expected = 100 * (mse + r.rd_weight * bpp) / (mse + r.rd_weight * bpp / 1.1) - 100
    table = cool_chic.image_by_image(more)
    assert len(table.rows) == 5 and len(table.head) == len(table.rows[0])
    at = len(table.head) - len(cool_chic.VERSIONS) + cool_chic.VERSIONS.index("Cool-Chic v3.0")
    assert table.rows[2][at].endswith(f" {expected:+.1f} %")
    assert f"{bpp:.4f}" in table.rows[2]


def test_what_was_not_published_has_no_numbers():
    crop = list(results("kodim03[0:96,0:128]"))
    odd = [r._replace(rd_weight=0.5) for r in results("kodim03")]
    assert cool_chic.image_by_image(odd).rows[0][-1] == "-"
    assert cool_chic.image_by_image(crop).rows[0][-1] == "-"
    assert cool_chic.versions_table(crop).rows == [
        ["C3", *["-"] * len(cool_chic.VERSIONS)]]
    failed = list(results("kodim03", error="not finite"))
    assert cool_chic.image_by_image(failed).rows == []
    with pytest.raises(ValueError, match="unknown codec"):
        cool_chic.image_by_image(crop, ["Cool-Chic v9"])


def test_of_several_fits_of_a_row_the_best_counts():
    good = list(results("kodim03"))
    dead = [r._replace(record=r.record.__class__(**{**r.record.__dict__, "loss": 1.0,
                                                    "psnr_db": 12.0})) for r in good]
    assert cool_chic.image_by_image(dead + good) == cool_chic.image_by_image(good)
    assert cool_chic.versions_table(dead + good) == cool_chic.versions_table(good)


def test_a_fit_of_an_older_store_has_no_file():
    config = c3.edit(c3.C3, rd_weight=1e-3)
    old = Result("C3", "kodim03", 1e-3, 0, swept.record(config, "kodim03"))
    assert math.isnan(old.record.file_bpp)
    assert cool_chic.image_by_image([old]).rows[0][4] == "-"


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_are_those_of_a_table(path):
    values = yaml.safe_load(path.read_text())
    known = yaml.safe_load((path.parents[1] / "laptop.yaml").read_text())
    assert set(known) | {"minutes", "rows"} >= set(values) >= set(known)
    laptop = {**known, "minutes": 0.0, "rows": [], "batch": 0, "seeds": [0]}
    notebook.check_parameters({**laptop, "executor": "local", "store": "", "is_result": True,
                               **values})
    assert values["preset"] == path.stem and path.read_text().startswith("# ")
