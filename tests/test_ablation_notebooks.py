"""Templates of ablations: alike, without outputs, and running with made-up fits."""

import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml

import c3lite as c3
from c3lite.ablation import notebook, paper
from tests import swept

ABLATIONS = Path(__file__).parents[1] / "ablations"
PRESETS = {path.stem: yaml.safe_load(path.read_text()) for path in
           sorted((ABLATIONS / "presets").glob("*.yaml"))}

TABLES = [table for table in paper.TABLES if table != "quantization"]  # has its own tests

each_table = pytest.mark.parametrize("table", TABLES)


def cells(table):
    template = nbformat.read(ABLATIONS / f"{table}.ipynb", as_version=4)
    return [cell for cell in template.cells if cell.cell_type == "code"]


@each_table
def test_a_template_is_small_and_has_no_outputs(table):
    template = nbformat.read(ABLATIONS / f"{table}.ipynb", as_version=4)
    nbformat.validate(template)
    assert len(template.cells) <= 8
    assert not any(cell.outputs or cell.execution_count for cell in cells(table))
    assert cells(table)[0].metadata.tags == ["parameters"]
    # the harness is one: what differs between tables is the rows
    assert cells(table)[0].source == cells("table03")[0].source


def parameters(source):
    namespace = {}
    exec(source, namespace)
    return {k: v for k, v in namespace.items() if not k.startswith("__")}


def test_the_templates_hold_the_laptop_preset():
    defaults = parameters(cells("table03")[0].source)
    notebook.check_parameters(defaults)
    assert {k: defaults[k] for k in PRESETS["laptop"]} == PRESETS["laptop"]
    for line in cells("table03")[0].source.splitlines():
        if line[0].isalpha():  # typed and commented, for `papermill --help-notebook`
            assert ": " in line and "  # " in line


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_complete(preset):
    defaults = parameters(cells("table03")[0].source)
    notebook.check_parameters({**defaults, **PRESETS[preset]})
    assert set(PRESETS) == {"smoke", "short", "laptop", "long", "gpu", "paper"}
    assert PRESETS[preset]["preset"] == preset
    assert len(PRESETS[preset]["rd_weights"]) >= 4  # as BD-rates need
    comment = (ABLATIONS / "presets" / f"{preset}.yaml").read_text()
    assert comment.startswith("# ") and "Memory" in comment


def ran_with_made_up_fits(table, folder, monkeypatch):
    """The code of a notebook's cells, and the variables it has left."""
    swept.patch(monkeypatch)
    monkeypatch.chdir(ABLATIONS)
    monkeypatch.delenv("C3LITE_DATA", raising=False)
    code = [cell.source for cell in cells(table)]
    namespace = {}
    exec(code[0], namespace)
    namespace |= {**PRESETS["smoke"], "is_result": True, "store": str(folder)}
    for source in code[1:]:
        exec(source, namespace)
    return code, namespace


def test_worth_runs_with_made_up_fits(tmp_path, monkeypatch, capsys):
    _, namespace = ran_with_made_up_fits("worth", tmp_path, monkeypatch)
    assert namespace["worth"].steps.tolist() == [12, 24, 48, 96, 192]
    assert "by seed" in capsys.readouterr().out


@pytest.mark.parametrize("table", [table for table in TABLES if table != "worth"])
def test_a_template_runs_with_made_up_fits(table, tmp_path, monkeypatch, capsys):
    code, namespace = ran_with_made_up_fits(table, tmp_path, monkeypatch)
    made = namespace["table"]
    assert "different fits, 0 of them in the store" in capsys.readouterr().out
    assert [line.row for line in made.lines] == [row.name for row in namespace["table_rows"]]
    by_row = {line.row: line for line in made.lines}
    assert all(line.images == 1 for line in made.lines)
    if table == "table03":
        assert by_row["soft-rounding"].bd_rate.value == pytest.approx(20)
        assert by_row["gelu"].bd_rate.value == pytest.approx(0, abs=1e-6)
        assert by_row["soft-rounding"].paper == 22.18
    if table == "table12":  # ever more of the paper's settings
        one, three, nine, fast = (set(row.configs) for row in namespace["table_rows"])
        assert one < three < nine and (len(one), len(three), len(nine)) == (1, 3, 9)
        assert len(fast) == 1 and not fast & nine
        about = namespace["study"]
        assert nine == set(map(about.config, c3.ADAPTIVE_UVG)) and one == {about.config(c3.UVG)}
        assert all(line.paper is not None for line in made.lines[:3])
    if table == "stage1_only":
        (both,), (one,) = (row.configs for row in namespace["table_rows"])
        assert one == c3.edit(both, stage2_steps=0) and both.stage2_steps > 0
    # some are without numbers in the paper
    if table not in ("steps", "baseline", "fast", "fast_video", "beyond", "ladder"):
        assert any(line.paper is not None for line in made.lines)
    namespace["is_result"] = False
    exec(code[1], namespace)
    silent = namespace["study"].table(namespace["results"])
    assert all(str(line.bd_rate) == "-" and "no result" in line.note for line in silent.lines)


@pytest.mark.parametrize(("code", "kept"), [(1, "earlier"), (0, "new")])
def test_a_run_that_fails_keeps_the_notebook_of_the_one_before(code, kept, tmp_path):
    result = tmp_path / "table03.ipynb"
    result.write_text("earlier")
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\necho new > {tmp_path}/unfinished.ipynb\nexit {code}\n")
    python.chmod(0o755)
    (tmp_path / ".c3lite-installed").touch()
    done = subprocess.run(["make", "ablation", f"VENV={tmp_path}", f"RESULTS={tmp_path}"],
                          cwd=ABLATIONS.parent, capture_output=True, text=True)
    assert (done.returncode == 0) == (code == 0), done.stderr
    assert result.read_text().strip() == kept
    assert (tmp_path / "unfinished.ipynb").exists() == (code != 0)


def test_the_first_row_alone_has_curves_and_no_bars(tmp_path, monkeypatch):
    swept.patch(monkeypatch)
    monkeypatch.chdir(ABLATIONS)
    code = [cell.source for cell in cells("table03")]
    namespace = {}
    exec(code[0], namespace)
    namespace |= {**PRESETS["smoke"], "is_result": True, "store": str(tmp_path), "rows": ["C3"]}
    for source in code[1:]:
        exec(source, namespace)
    assert [line.row for line in namespace["table"].lines] == ["C3"]



def test_a_number_that_yaml_reads_as_text_is_refused():
    defaults = parameters(cells("table03")[0].source)
    with pytest.raises(TypeError, match=r"write|1\.0e-3"):
        notebook.check_parameters({**defaults, **yaml.safe_load("rd_weights: [1e-3]")})
