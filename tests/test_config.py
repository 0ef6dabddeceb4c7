"""Configs: edits, their errors, presets against the paper's tables, and what is traced."""

import dataclasses
import json
import math

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import c3lite as c3
from c3lite import Anneal, Config, edit

FIELDS = {f.name: f for f in dataclasses.fields(Config)}


def test_every_field_is_explained_or_grouped_in_order():
    # a config is a pytree whose leaves are numbers; everything else is structure
    leaves = jax.tree.leaves(c3.C3)
    assert all(isinstance(leaf, int | float) for leaf in leaves)
    static = {name for name, f in FIELDS.items() if f.metadata.get("static")}
    assert {"num_grids", "synthesis_widths", "activation", "upsampling"} <= static
    assert static.isdisjoint({"rd_weight", "steps", "temperature", "gradient_clip"})


@given(st.floats(1e-6, 1), st.floats(0.1, 100), st.integers(0, 10**6))
def test_numbers_do_not_change_the_structure(rd_weight, clip, steps):
    other = edit(c3.C3, rd_weight=rd_weight, gradient_clip=clip, steps=steps)
    assert jax.tree.structure(other) == jax.tree.structure(c3.C3)
    assert other.rd_weight == rd_weight and other.steps == steps


@pytest.mark.parametrize(("change", "error", "words"), [
    ({"rd_wieght": 1e-3}, ValueError, "did you mean 'rd_weight'"),
    ({"temprature__end": 0.1}, ValueError, "did you mean 'temperature'"),
    ({"temperature__middle": 0.1}, ValueError, "start and end"),
    ({"rd_weight": 0.0}, ValueError, "greater than 0"),
    ({"rd_weight": -1.0}, ValueError, "greater than 0"),
    ({"rd_weight": math.nan}, ValueError, "greater than 0"),
    ({"steps": -1}, ValueError, "0 or more"),
    ({"num_grids": 0}, ValueError, "1..16"),
    ({"noise_shape": 0.5}, ValueError, "1 \\(uniform\\) to 16"),
    ({"noise_sigma": -0.1}, ValueError, "0 or more"),
    ({"mask_shape": (0, 4)}, ValueError, "above 0"),
    ({"activation": "gelo"}, ValueError, "one of 'gelu', 'relu'"),
    ({"noise_shape": 30.0}, ValueError, "or inf \\(none\\)"),
    ({"temperature": (0.3, math.inf)}, ValueError, "inf at both"),
    ({"upsampling": "biliner"}, ValueError, "one of 'bilinear'"),
    ({"context_size": (6, 6)}, ValueError, "odd"),
    ({"scale_max": 1e-4}, ValueError, "above scale_min"),
    ({"entropy_film": True, "entropy_per_grid": True}, ValueError, "exclude"),
    ({"mask_origins": ((0, 0),)}, ValueError, "mask_shape"),
    ({"parameter_steps": ()}, ValueError, "one or more"),
])
def test_impossible_edits_say_what_is_wrong(change, error, words):
    with pytest.raises(error, match=words):
        edit(c3.C3, **change)


@pytest.mark.parametrize("change", [
    {"mask_shape": (4,)}, {"mask_origins": ((0, 0.5),)}, {"noise_sigma": "wide"},
    {"rd_weight": "1e-3"}, {"steps": 1.5}, {"steps": True}, {"finest_grid": 1},
    {"synthesis_widths": 18}, {"temperature": "hot"}, {"context_size": ("7", "7")}])
def test_wrong_types_are_type_errors(change):
    with pytest.raises(TypeError, match="must be"):
        edit(c3.C3, **change)


def test_annealed_fields_take_numbers_pairs_and_ends():
    assert edit(c3.C3, temperature=0.2).temperature == Anneal(0.2, 0.2)
    assert edit(c3.C3, temperature=(0.4, 0.2)).temperature == Anneal(0.4, 0.2)
    assert edit(c3.C3, temperature__end=0.2).temperature == Anneal(0.3, 0.2)
    assert edit(c3.C3, **{"temperature.start": 0.5}).temperature == Anneal(0.5, 0.1)
    assert edit(c3.C3, temperature=math.inf).temperature.linear(0.3) == math.inf


@pytest.mark.parametrize("preset", [*c3.PRESETS.values(), *c3.ADAPTIVE_KODAK[:2]])
def test_json_round_trip(preset):
    assert Config.from_json(preset.to_json()) == preset


def test_a_config_of_another_version_is_refused():
    values = json.loads(c3.C3.to_json()) | {"version": 99}
    with pytest.raises(ValueError, match="version 99"):
        Config.from_json(json.dumps(values))


def test_schedules():
    anneal = Anneal(2.0, 1.0)
    assert [float(anneal.linear(p)) for p in (0, 0.5, 1)] == [2, 1.5, 1]
    cosine = [float(Anneal(1e-2, 0.0).cosine(p)) for p in (0, 0.5, 1)]
    assert cosine == pytest.approx([1e-2, 5e-3, 0], abs=1e-9)
    assert float(Anneal(1e-2, 1e-2).cosine(0.7)) == pytest.approx(1e-2)


def test_defaults_are_tables_4_and_5():
    config = c3.C3
    assert (config.steps, config.stage2_steps) == (100_000, 10_000)
    assert config.learning_rate == Anneal(1e-2, 0.0)
    assert config.temperature == Anneal(0.3, 0.1) and config.noise_shape == Anneal(2.0, 1.0)
    assert (config.num_grids, config.quantization_step, config.context_size) == (7, 0.4, (7, 7))
    assert config.synthesis_widths == config.entropy_widths == (18, 18)
    assert (config.stage2_learning_rate, config.stage2_patience, config.stage2_decay) == (
        1e-4, 20, 0.8)
    assert c3.C3_CLIC == edit(config, previous_grid_size=3)


def test_adaptive_lists_are_all_combinations():
    assert len(set(c3.ADAPTIVE_KODAK)) == 12 and len(set(c3.ADAPTIVE_CLIC)) == 6
    assert c3.C3 in c3.ADAPTIVE_KODAK and c3.C3_CLIC in c3.ADAPTIVE_CLIC


def test_a_config_of_before_its_newest_fields_still_loads():
    values = json.loads(c3.UVG.to_json())
    for name in ("noise", "noise_sigma", "clip_gradient", "network_optimizer", "network_decay",
                 "latent_beta2", "latent_epsilon", "clipped_gradients", "latent_gains",
                 "latent_gain_bins", "frozen_networks"):
        del values[name]
    assert Config.from_json(json.dumps(values)) == c3.UVG


def test_fields_that_depend_on_each_other_are_edited_together():
    config = edit(c3.C3, scale_min=200.0, scale_max=300.0)
    assert (config.scale_min, config.scale_max) == (200.0, 300.0)
    both = edit(c3.C3, temperature__start=0.5, temperature__end=0.4)
    assert both.temperature == Anneal(0.5, 0.4)
    with pytest.raises(ValueError, match="above scale_min"):
        edit(c3.C3, scale_min=200.0)
