"""Decoding is timed by component, on files of any size."""

import numpy as np
import pytest

import c3lite as c3
from c3lite.ablation.studies import decode_time
from c3lite.model import latents
from tests import coded


@pytest.mark.parametrize("name", ["c3", "cool-chic-v2"])
def test_every_component_takes_time(name):
    fit = coded.coded(coded.CONFIGS[name], (31, 50))
    (seconds,) = decode_time.decode_times([c3.encode(fit)], repeats=2)
    assert seconds.entropy > 0 and seconds.upsampling > 0 and seconds.synthesis >= 0
    assert seconds.total == pytest.approx(sum(seconds))


def test_files_take_turns_and_the_least_time_of_each_counts(monkeypatch):
    order, clock = [], iter([(5, 1, 2), (9, 9, 9), (4, 3, 1), (7, 8, 10)])

    def decoded(data):
        order.append(data)
        return next(clock)

    monkeypatch.setattr(decode_time, "_decode", decoded)
    assert decode_time.decode_times([b"a", b"b"], 2) == [(4, 1, 1), (7, 8, 9)]
    assert order == [b"a", b"b", b"a", b"b"]


def test_a_damaged_file_is_refused():
    with pytest.raises(c3.BitstreamError):
        decode_time.decode_times([b"nothing"])


def test_tiles_repeat_the_latents():
    fit = coded.coded(coded.CONFIGS["c3"], (32, 64))
    larger = decode_time.tiled(fit, (64, 96))
    shapes = latents.grid_shapes(fit.config, (64, 96))
    assert larger.shape == (64, 96)
    assert larger.coded.symbols.size == sum(np.prod(shape) for shape in shapes)
    finest = larger.coded.symbols[: 64 * 96].reshape(64, 96)
    original = fit.coded.symbols[: 32 * 64].reshape(32, 64)
    np.testing.assert_array_equal(finest, np.tile(original, (2, 2))[:, :96])
    assert c3.decode(c3.encode(larger)).shape == (3, 64, 96)


def test_a_table_of_seconds_and_macs(capsys):
    fit = coded.coded(coded.CONFIGS["c3"], (31, 50))
    found = decode_time.measure({"c3": fit}, (31, 50), repeats=1)
    found += decode_time.measure({"c3": fit, "again": fit}, (62, 100), repeats=1)[:1]
    assert len(capsys.readouterr().out.splitlines()) == 3
    head, small, large = map(str.split, str(decode_time.table(found)).splitlines())
    assert head[:2] == ["codec", "size"] and (small[1], large[1]) == ("31x50", "62x100")
    macs = c3.complexity.macs_per_pixel(fit.config, (62, 100))
    assert f"{macs.total:,.0f}" in large and f"{macs.synthesis:,.0f}" in large
    size = 8 * found[1].bytes / (62 * 100)
    assert float(large[2]) == pytest.approx(size, abs=0.01)
