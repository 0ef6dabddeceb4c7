"""Execute notebooks in place: `python -m tests.tools.run_notebooks [NOTEBOOK ...]`, or all.

As `nbconvert --execute --inplace`, with what a progress bar overwrote, XLA's alarms of slow
compilation and the version of Python left out, and of widgets only their stills. A notebook is
written when all of it has run.
"""

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from tqdm import tqdm

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


VIEW = "application/vnd.jupyter.widget-view+json"

KERNEL = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "name": "python", "file_extension": ".py", "pygments_lexer": "ipython3"},
}
"""What every notebook says of its kernel: JupyterLab adds the version of whoever opens it."""


def stills_only(notebook: dict[str, Any]) -> None:
    """Leave out the views of widgets that also are pictures.

    JupyterLab prefers a view wherever it trusts a notebook, and shows an error in its place until
    the cell is run.
    """
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"].pop(VIEW, None)


def of_no_machine(notebook: dict[str, Any]) -> None:
    """Leave out which Python it was opened with, so that reading a notebook does not change it."""
    if notebook["metadata"].get("kernelspec", {}).get("name") == "python3":
        notebook["metadata"] |= KERNEL


def before_saving(model: dict[str, Any], **_: Any) -> None:
    """For what is saved in JupyterLab: the `pre_save_hook` of `make lab`."""
    if model["type"] == "notebook" and model.get("content"):
        stills_only(model["content"])
        of_no_machine(model["content"])


def without_alarms(notebook: nbformat.NotebookNode) -> None:
    """Leave out what XLA writes to stderr when a busy machine takes long to compile."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not (
                output.get("name") == "stderr" and "slow_operation_alarm" in output.text
                and "Traceback" not in output.text)]


def main(names: list[str]) -> None:
    """Run the named notebooks, or the whole course."""
    paths = [Path(name).resolve() for name in names] or sorted(NOTEBOOKS.glob("*.ipynb"))
    for path in (bar := tqdm(paths, unit="notebook")):
        bar.set_description(path.stem)
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(
            notebook, timeout=1800, kernel_name="python3", coalesce_streams=True,
            store_widget_state=False, resources={"metadata": {"path": str(path.parent)}}).execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # when each cell ran, which changes every time
        stills_only(notebook)
        of_no_machine(notebook)
        without_alarms(notebook)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main(sys.argv[1:])
