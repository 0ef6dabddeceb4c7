"""The published figures that ship with the package can be read, and names are checked."""

import numpy as np
import pytest

from c3lite.evaluation import reference


def test_every_codec_of_every_data_set_has_points():
    assert reference.datasets()[:2] == ["kodak", "clic2020-professional-valid"]
    for dataset in reference.datasets():
        for codec in reference.codecs(dataset):
            points = reference.rd_points(dataset, codec)
            assert len(points.bpp) == len(points.psnr_db) >= 2
            assert (np.diff(points.bpp) > 0).all()
            assert 0 < points.bpp[0] and 15 < points.psnr_db.min() and points.psnr_db.max() < 60


def test_what_is_known_about_a_codec():
    info = reference.codecs("kodak")["C3 (paper)"]
    assert info.reference == "https://arxiv.org/abs/2312.02753"
    assert info.source.startswith("Tables 13/14")
    assert info.macs_per_pixel_min == 1770
    assert reference.codecs("kodak")["COOL-CHICv2"].macs_per_pixel_max == 2300
    assert reference.codecs("kodak")["JPEG"].macs_per_pixel_max is None


def test_cool_chic():
    results = reference.cool_chic("Cool-Chic v1.0", "kodim01")
    assert results.rd_weight.tolist() == [1e-4, 5e-4, 4e-3, 2e-2]
    assert results.bpp[0] == 2.46958
    assert results.psnr_db[0] == 40.5391
    assert len(reference.cool_chic("Cool-Chic v5.0", "kodim24").bpp) == 5
    short = reference.cool_chic("Cool-Chic v5.0.1 mop, 2000 steps", "kodim03")
    assert short.bpp.tolist() == [0.62028, 0.361165, 0.223816, 0.117594]


def test_paper_table():
    assert reference.paper_table("table3_kodak_knockout_bd_rate_percent")["soft-rounding"] == 22.18
    row = reference.paper_table("table11_clic2020_fixed_T_a_bd_rate_percent")[4]
    assert row == {"T": 0.2, "a": 1.5, "bd_rate": 5.66}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reference.rd_points("Kodak", "VTM"), "dataset 'Kodak'; did you mean 'kodak'"),
        (lambda: reference.rd_points("kodak", "C3 paper"), r"did you mean 'C3 \(paper\)'"),
        (lambda: reference.rd_points("uvg/beauty", "BPG"), "unknown codec 'BPG'"),
        (lambda: reference.codecs("uvg/beuty"), "did you mean 'uvg/beauty'"),
        (lambda: reference.cool_chic("Cool-Chic v2", "kodim01"), "did you mean 'Cool-Chic v2.0'"),
        (lambda: reference.cool_chic("Cool-Chic v2.0", "kodim1"), "unknown image 'kodim1'"),
        (lambda: reference.paper_table("table3"), "unknown table 'table3'; did you mean 'table"),
        (lambda: reference.rd_points("", ""), "unknown dataset ''"),
    ],
)
def test_unknown_names(call, message):
    with pytest.raises(ValueError, match=message):
        call()
