"""Notebooks beside the tables: templates without outputs, parameters as their presets set them."""

from pathlib import Path

import nbformat
import pytest
import yaml

from c3lite.ablation import notebook
from c3lite.ablation.studies import decode_time, network_transfer

ABLATIONS = Path(__file__).parents[1] / "ablations"
KNOWN = {"quantization": notebook.PARAMETERS, "transfer": network_transfer.PARAMETERS,
         "complexity": decode_time.PARAMETERS}

each_study = pytest.mark.parametrize("name", KNOWN)


def parameters(name) -> dict:
    template = nbformat.read(ABLATIONS / f"{name}.ipynb", as_version=4)
    (cell,) = [c for c in template.cells if "parameters" in c.metadata.get("tags", [])]
    values: dict = {}
    exec(cell.source, values)
    return {k: v for k, v in values.items() if not k.startswith("_")}


@each_study
def test_templates_have_no_outputs(name):
    template = nbformat.read(ABLATIONS / f"{name}.ipynb", as_version=4)
    nbformat.validate(template)
    cells = [cell for cell in template.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@each_study
def test_parameters_are_typed_commented_and_the_laptops(name):
    values = parameters(name)
    notebook.check_parameters(values, KNOWN[name])
    preset = yaml.safe_load((ABLATIONS / "presets" / name / "laptop.yaml").read_text())
    assert preset == {key: values[key] for key in preset}


@each_study
def test_presets_set_what_there_is(name):
    files = sorted((ABLATIONS / "presets" / name).glob("*.yaml"))
    assert {"smoke", "laptop"} <= {path.stem for path in files}
    for path in files:
        preset = yaml.safe_load(path.read_text())
        assert preset["preset"] == path.stem
        notebook.check_parameters(parameters(name) | preset, KNOWN[name])
        assert preset["is_result"] == (path.stem != "smoke")


def test_wrong_parameters_are_errors(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(ABLATIONS)
    good = parameters("transfer") | {"store": str(tmp_path)}
    read = notebook.read_parameters("transfer", dict(good), network_transfer.PARAMETERS)
    assert read.store.folder == tmp_path and "store" not in capsys.readouterr().out
    notebook.read_parameters("transfer", good | {"seed": 7}, network_transfer.PARAMETERS)
    assert "other than in the preset: seed 7" in capsys.readouterr().out
    for wrong, error, words in (
            ({"sed": 1}, ValueError, "did you mean 'seed'"),
            ({"rd_weight": "1e-3"}, TypeError, "YAML reads"),
            ({"images": ["kodim05"]}, TypeError, "two or more"),
            ({"preset": "labtop"}, ValueError, "did you mean 'laptop'")):
        with pytest.raises(error, match=words):
            notebook.read_parameters("transfer", good | wrong, network_transfer.PARAMETERS)
