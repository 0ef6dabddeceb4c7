"""The studies beside the tables run by their smoke presets, with papermill, as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ABLATIONS = Path(__file__).parents[2] / "ablations"


@pytest.mark.parametrize(("name", "words"), [
    ("transfer", "[12/12] "), ("complexity", "entropy MACs/pixel")])
def test_a_study_runs_by_its_smoke_preset(name, words, tmp_path):
    out = tmp_path / "out.ipynb"
    environment = os.environ | {"PYTHONPATH": str(ABLATIONS.parent)}
    environment.pop("MPLBACKEND", None)  # a notebook has its own, which draws into it
    store = ["-p", "store", str(tmp_path / "store")] if name == "transfer" else []
    done = subprocess.run(
        [sys.executable, "-m", "papermill", str(ABLATIONS / f"{name}.ipynb"), str(out),
         "-f", str(ABLATIONS / "presets" / name / "smoke.yaml"), *store,
         "--cwd", str(ABLATIONS), "--no-progress-bar"], timeout=600, capture_output=True,
        text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    notebook = nbformat.read(out, as_version=4)
    text = json.dumps(notebook)
    assert words in text and "a test of the program" in text
    pictures = [output for cell in notebook.cells if cell.cell_type == "code"
                for output in cell.outputs if "image/png" in output.get("data", {})
                or "image/jpeg" in output.get("data", {})
                or "<img" in output.get("data", {}).get("text/html", "")]
    assert len(pictures) >= 2


def test_papermill_runs_a_table_with_real_fits(tmp_path):
    out = tmp_path / "out.ipynb"
    environment = os.environ | {"PYTHONPATH": str(ABLATIONS.parent)}
    subprocess.run(
        [sys.executable, "-m", "papermill", str(ABLATIONS / "table03.ipynb"), str(out),
         "-f", str(ABLATIONS / "presets" / "smoke.yaml"), "-y", "{rows: [soft-rounding]}",
         "-p", "store", str(tmp_path / "store"), "--cwd", str(ABLATIONS), "--no-progress-bar"],
        check=True, env=environment, timeout=600, capture_output=True)
    text = json.dumps(nbformat.read(out, as_version=4))
    assert "[8/8] soft-rounding" in text and "a test of the program" in text
    assert len(list((tmp_path / "store" / "fits").iterdir())) == 8
    assert not list((tmp_path / "store" / "checkpoints").iterdir())
