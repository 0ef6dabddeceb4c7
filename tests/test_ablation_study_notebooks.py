"""Notebooks beside the tables: templates without outputs, parameters as their presets set them."""

from pathlib import Path

import nbformat
import pytest
import yaml

from c3lite.ablation import decoding, study, transfers

ABLATIONS = Path(__file__).parents[1] / "ablations"
KNOWN = {"quantization": study.PARAMETERS, "transfer": transfers.PARAMETERS,
         "complexity": decoding.PARAMETERS}

each_study = pytest.mark.parametrize("name", KNOWN)


def parameters(name) -> dict:
    notebook = nbformat.read(ABLATIONS / f"{name}.ipynb", as_version=4)
    (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    values: dict = {}
    exec(cell.source, values)
    return {k: v for k, v in values.items() if not k.startswith("_")}


@each_study
def test_templates_have_no_outputs(name):
    notebook = nbformat.read(ABLATIONS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@each_study
def test_parameters_are_typed_commented_and_the_laptops(name):
    values = parameters(name)
    study.check_parameters(values, KNOWN[name])
    preset = yaml.safe_load((ABLATIONS / "presets" / name / "laptop.yaml").read_text())
    assert preset == {key: values[key] for key in preset}


@each_study
def test_presets_set_what_there_is(name):
    files = sorted((ABLATIONS / "presets" / name).glob("*.yaml"))
    assert {"smoke", "laptop"} <= {path.stem for path in files}
    for path in files:
        preset = yaml.safe_load(path.read_text())
        assert preset["preset"] == path.stem
        study.check_parameters(parameters(name) | preset, KNOWN[name])
        assert preset["is_result"] == (path.stem != "smoke")


def test_wrong_parameters_are_errors(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(ABLATIONS)
    good = parameters("transfer") | {"store": str(tmp_path)}
    read = study.read_parameters("transfer", dict(good), transfers.PARAMETERS)
    assert read.store.folder == tmp_path and "store" not in capsys.readouterr().out
    study.read_parameters("transfer", good | {"seed": 7}, transfers.PARAMETERS)
    assert "other than in the preset: seed 7" in capsys.readouterr().out
    for wrong, error, words in (
            ({"sed": 1}, ValueError, "did you mean 'seed'"),
            ({"rd_weight": "1e-3"}, TypeError, "YAML reads"),
            ({"images": ["kodim05"]}, TypeError, "two or more"),
            ({"preset": "labtop"}, ValueError, "did you mean 'laptop'")):
        with pytest.raises(error, match=words):
            study.read_parameters("transfer", good | wrong, transfers.PARAMETERS)
