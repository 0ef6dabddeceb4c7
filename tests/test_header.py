"""The header: every choice that a config has is in it, or encoding says that it cannot be."""

import ast
import inspect
import math
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import c3lite as c3
from c3lite import config as config_module
from c3lite.coding import BitstreamError, files, header
from c3lite.coding.header import Contents
from c3lite.config import Config, coded_fields, field_types
from tests.coded import CONFIGS, coded, shape_of

MASK = {"mask_shape": (4, 3), "entropy_per_grid": True}
OTHER_VALUES = {
    "num_grids": [1, 2, 16], "quantization_step": [0.3, 0.123456789, 7.5],
    "synthesis_widths": [(), (1,), (7, 200, 1000), tuple(range(1, 16))],
    "entropy_widths": [(), (1,), (7, 200), tuple(range(1, 16))],
    "synthesis_residual_convs": [0, 1, 15], "context_size": [(1, 1), (3, 9, 9), (5, 13)],
    "previous_grid_size": [1, 3, 9], "mask_shape": [(1, 2), (9, 3)], "masked_grids": [0, 1, 2, 7],
    "mask_origins": [((0, 0), (-255, 255), (3, -4))], "log_scale_shift": [0.0, -3.25, 1 / 3],
    "context_taps": [0, 1, 14], "grid_features": [0, 1, 6], "featured_grids": [0, 3, 16],
    "hyper_grids": [0, 1, 7],
    "scale_min": [1e-3, 0.02, 200.0], "scale_max": [1e5, math.exp(5), 300.0],
}


def values_of(name):
    """Values of a field: all of a choice, some at and between the limits of a number."""
    hint = field_types()[name]
    choices = [True, False] if hint is bool else getattr(hint, "__args__", ())
    return OTHER_VALUES[name] if name in OTHER_VALUES else list(choices)


def changed(name, value, ndim):
    masks = MASK if ndim == 3 and "mask" in name else {}
    if name == "mask_shape":
        masks = MASK | {name: value}
    changes = {name: value} | masks
    if name == "scale_min":
        changes["scale_max"] = 1e3
    if name == "entropy_film":
        changes["entropy_per_grid"] = False
    if name == "hyper_grids":
        changes["grid_features"] = 6
    if masks:
        origins = tuple((n - 2, 5 * n) for n in range(changes.get("num_grids", 7)))
        changes.setdefault("mask_origins", origins[: changes.get("masked_grids", 3)])
    if "mask" in name and ndim == 2:
        changes = {}
    return c3.edit(c3.C3, **changes)


def read_back(config, ndim):
    """The config after a trip through a header."""
    decoded = header.as_decoded(config, ndim)
    out = header.Output()
    header.write_config(out, decoded, ndim)
    source = header.Input(bytes(out.data))
    back, dimensions = header.read_config(source)
    assert dimensions == ndim and source.at == len(out.data)
    return decoded, back


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("name", list(coded_fields()))
def test_every_value_of_every_field_that_a_decoder_needs_comes_back(name, ndim):
    assert len(values_of(name)) > 0
    for value in values_of(name):
        config = changed(name, value, ndim)
        decoded, back = read_back(config, ndim)
        assert back == decoded
        if not ("mask" in name and ndim == 2) and name != "masked_grids":
            assert getattr(back, name) == (pytest.approx(value, rel=1e-7)
                                           if isinstance(value, float) else value)


def test_numbers_of_fields_are_those_of_files():
    # part of the format: append only
    assert sorted(coded_fields().items(), key=lambda field: field[1])[:22] == [
        ("num_grids", 0), ("finest_grid", 1), ("quantization_step", 2), ("upsampling", 3),
        ("upsampling_recursive", 4), ("synthesis_widths", 5), ("synthesis_residual_convs", 6),
        ("synthesis_per_frame", 7), ("rgb_activation", 8), ("entropy_widths", 9),
        ("context_size", 10), ("previous_grid_size", 11), ("entropy_per_grid", 12),
        ("entropy_film", 13), ("mask_shape", 14), ("masked_grids", 15), ("mask_origins", 16),
        ("log_scale_shift", 17), ("scale_min", 18), ("scale_max", 19), ("activation", 20),
        ("residual_layers", 21)]
    assert len(set(coded_fields().values())) == len(coded_fields())


widths = st.lists(st.integers(1, 1024), max_size=3).map(tuple)


@settings(max_examples=60)
@given(st.fixed_dictionaries({}, optional={
    "num_grids": st.integers(1, 16), "finest_grid": st.booleans(), "rgb_activation": st.booleans(),
    "upsampling": st.sampled_from(values_of("upsampling")), "residual_layers": st.booleans(),
    "activation": st.sampled_from(values_of("activation")), "synthesis_widths": widths,
    "entropy_widths": widths, "synthesis_residual_convs": st.integers(0, 15),
    "entropy_film": st.booleans(), "quantization_step": st.floats(1e-3, 1e3),
    "context_size": st.tuples(*[st.integers(0, 30).map(lambda k: 2 * k + 1)] * 2),
    "context_taps": st.integers(0, 14), "linear_branches": st.booleans(),
    "previous_grid_size": st.sampled_from([0, 1, 3, 5])}), st.sampled_from([2, 3]))
def test_configs_come_back(changes, ndim):
    assume(changes.get("upsampling") != "separable" or changes.get("finest_grid", True))
    decoded, back = read_back(c3.edit(c3.C3, **changes), ndim)
    assert back == decoded


# More than version 2 has a place for ------------------------------------------------------------


@pytest.mark.parametrize("name", ["upsampling", "activation"])
def test_a_choice_beyond_its_bits_comes_back(name, monkeypatch):
    number = header._small_number
    monkeypatch.setattr(header, "_small_number", lambda config, field: (
        number(config, field) + 8 * (field == name)))  # as if eight others came before
    header._known.cache_clear()
    for value in values_of(name):
        decoded, back = read_back(c3.edit(c3.C3, num_grids=5, **{name: value}), 2)
        assert getattr(back, name) == value and back == decoded
    header._known.cache_clear()


def test_a_new_field_is_written_where_it_is_not_at_its_default(monkeypatch):
    numbers = coded_fields() | {"learned_gains": 22, "gain_floor": 23, "warmup_steps": 24,
                                "parameter_steps": 25, "init": 26}
    for module in (header, config_module):
        monkeypatch.setattr(module, "coded_fields", lambda: numbers)
    header._known.cache_clear()
    config = c3.edit(c3.C3, learned_gains=True, gain_floor=0.7, warmup_steps=77, init="cool_chic",
                     parameter_steps=(0.5, 0.25))
    decoded, back = read_back(config, 2)
    assert back == decoded and back.learned_gains and back.warmup_steps == 77
    out = header.Output()
    header.write_config(out, header.as_decoded(c3.C3, 2), 2)
    assert len(out.data) == 1  # as before
    header._known.cache_clear()


def test_what_an_older_program_would_not_know_is_refused():
    out = header.Output()
    header.write_config(out, header.as_decoded(c3.edit(c3.C3, num_grids=5), 2), 2)
    body = bytes(out.data[1:])
    for extra, words in ((b"\1\x63\0", "unknown number 99"), (b"\1\3\x09", "choice 9 of bilinear")):
        with pytest.raises(BitstreamError, match=words + ".*newer c3lite"):
            header.read_config(header.Input(b"\x7f" + body + extra))
    with pytest.raises(BitstreamError, match="preset 120"):
        header.read_config(header.Input(bytes([120]) + body))


def test_encode_compares_the_config_that_was_read_back(monkeypatch):
    fit = coded(c3.edit(c3.C3, num_grids=2), (8, 9))
    code = header._code_version_2

    def faulty(stream, config=None):
        values = code(stream, config)
        return values if config is not None else values | {"upsampling": "bicubic"}

    monkeypatch.setattr(header, "_code_version_2", faulty)
    with pytest.raises(BitstreamError, match="does not give back"):
        c3.encode(fit)


@pytest.mark.parametrize(("changes", "words"), [
    ({"scale_max": math.inf}, "scale_max is inf"), ({"log_scale_shift": math.nan}, "shift is nan"),
    ({"synthesis_widths": (1,) * 16}, "more than 15"), ({"entropy_widths": (1,) * 16}, "15"),
    ({"synthesis_residual_convs": 16}, "15"), ({"context_size": (3, 257)}, "farther"),
    ({"previous_grid_size": 257}, "limit")])
def test_a_config_that_no_file_can_hold_is_refused(changes, words):
    config = c3.edit(c3.C3, **changes)
    with pytest.raises(BitstreamError, match=words):
        files._contents(Contents(config, (8, 8), None))


def test_a_video_without_positions_of_its_masks_is_refused():
    with pytest.raises(BitstreamError, match="learn_offsets"):
        header.as_decoded(c3.edit(c3.C3, **MASK), 3)


# The format stays what it is --------------------------------------------------------------------

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize("name", sorted(path.stem for path in FILES.glob("golden_*.c3")))
def test_files_of_before_are_read_and_written_byte_for_byte(name):
    """Written by the version before headers were derived from marks, on 2026-11-25."""
    data = (FILES / f"{name}.c3").read_bytes()
    assert c3.encode(files.read(data)) == data
    image = c3.decode(data)
    assert image.shape == (3, *c3.inspect(data).shape) and 0.01 < image.std() < 0.5


@pytest.mark.parametrize("name", list(CONFIGS))
def test_what_was_read_can_be_encoded_again(name):
    data = c3.encode(coded(CONFIGS[name], shape_of(name)))
    assert c3.encode(files.read(data)) == data


# Fields -----------------------------------------------------------------------------------------


def test_every_field_of_a_config_is_documented():
    (tree,) = ast.parse(inspect.getsource(Config)).body
    for field, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(after, ast.Expr) and len(after.value.value) > 10, field.target.id
