"""Every notebook is committed as a reader should find it; tests/notebooks runs them."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from tests.tools import run_notebooks

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
    # of widgets only stills: without its state a view is an error message
    assert "widgets" not in notebook.metadata
    assert not [output for output in outputs if run_notebooks.VIEW in output.get("data", {})]
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
