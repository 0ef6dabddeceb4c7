"""Every notebook runs from top to bottom in its fast mode, and its exercises' solutions are right.

Minutes in all, so `.ci/run` does it and `make test` does not: `make test ARGS=tests/notebooks`.
"""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

REPOSITORY = Path(__file__).parents[2]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def solutions(notebook):
    """A cell for each exercise (so tagged): the folded solution after it, and its own check."""
    for i, cell in enumerate(notebook.cells):
        if "exercise" in cell.metadata.get("tags", []):
            folded = next(c.source for c in notebook.cells[i + 1 :] if "<details>" in c.source)
            (code,) = re.findall(r"```python\n(.*?)```", folded, re.DOTALL)
            yield nbformat.v4.new_code_cell(code + cell.source.splitlines()[-1])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
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
