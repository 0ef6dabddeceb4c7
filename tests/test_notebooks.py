"""Every notebook is committed as a reader should find it, and runs from top to bottom."""

import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

REPOSITORY = Path(__file__).parents[1]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
MEGABYTE = 1_000_000

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks():
    assert "00_start_here" in [path.stem for path in NOTEBOOKS]


@each_notebook
def test_committed_with_outputs_and_little_else(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    # run once, from top to bottom, after the last change
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any(output.output_type == "display_data" for output in outputs)
    assert not [output.evalue for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert "widgets" not in notebook.metadata
    assert path.stat().st_size < 2 * MEGABYTE


@each_notebook
def test_shows_nothing_of_the_machine(path):
    notebook = nbformat.read(path, as_version=4)
    # pictures are base64, which can spell anything
    texts = [json.dumps({kind: data for kind, data in output.get("data", output).items()
                         if not kind.startswith("image/")})
             for cell in notebook.cells for output in cell.get("outputs", [])]
    found = re.findall(r"(?<![\w+/=])/(?:home|root|work|tmp|usr|Users)/\w+", " ".join(texts))
    assert not found


@each_notebook
def test_pictures_are_small_files(path):
    # a photograph stored as PNG is several times the JPEG
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert len(output.get("data", {}).get("image/png", "")) < 0.3 * MEGABYTE


def solutions(notebook):
    """A cell for each exercise (so tagged): the folded solution after it, and its own check."""
    for i, cell in enumerate(notebook.cells):
        if "exercise" in cell.metadata.get("tags", []):
            folded = next(c.source for c in notebook.cells[i + 1 :] if "<details>" in c.source)
            (code,) = re.findall(r"```python\n(.*?)```", folded, re.DOTALL)
            yield nbformat.v4.new_code_cell(code + cell.source.splitlines()[-1])


@each_notebook
def test_runs_from_top_to_bottom(path, monkeypatch):
    monkeypatch.setenv("C3LITE_FAST", "1")
    # the kernel finds this c3lite without an installation, wherever pytest was started
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    notebook = nbformat.read(path, as_version=4)
    solved = list(solutions(notebook))
    notebook.cells += solved
    source = [cell.source for cell in notebook.cells]
    # in its own folder, where relative paths are meant to start; nothing is written back
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}})
    client.execute()
    assert [cell.source for cell in notebook.cells] == source
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    for cell in solved:
        assert "right" in "".join(output.get("text", "") for output in cell.outputs)
