"""environment.yml and environment-gpu.yml say what pyproject.toml says."""

import shutil
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from tests.tools.make_environment import FILES, ROOT, main

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_committed_files_have_not_drifted():
    assert main(["--check"]) == 0, "run `make environment` and commit the result"


@pytest.mark.parametrize("name", FILES)
def test_pip_section_is_the_project_s_requirements(name):
    """Read back as conda would, every requirement is there once, whole, and parses."""
    environment = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    python, pip, section = environment["dependencies"]
    assert python.startswith(f"python {PROJECT['requires-python']}") and pip == "pip"
    *requirements, editable = section["pip"]
    assert editable == "-e ."
    wanted = list(PROJECT["dependencies"])
    for extra in FILES[name]:
        wanted += PROJECT["optional-dependencies"][extra]
    assert [Requirement(line) for line in requirements] == [Requirement(line) for line in wanted]


def test_gpu_file_asks_for_cuda_and_the_other_does_not():
    text = {name: (ROOT / name).read_text(encoding="utf-8") for name in FILES}
    assert "jax[cuda12]" in text["environment-gpu.yml"]
    assert "cuda" not in text["environment.yml"].lower()


def test_a_drift_is_noticed_and_mended(tmp_path, capsys):
    for name in ["pyproject.toml", *FILES]:
        shutil.copy(ROOT / name, tmp_path)
    old = (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
    new = old.replace('"numpy>=', '"numpy>=2.1.')
    assert new != old
    (tmp_path / "pyproject.toml").write_text(new, encoding="utf-8")
    assert main(["--check"], root=tmp_path) == 1
    assert "make environment" in capsys.readouterr().err
    assert main([], root=tmp_path) == 0
    assert main(["--check"], root=tmp_path) == 0
    assert "numpy>=2.1.2" in (tmp_path / "environment.yml").read_text(encoding="utf-8")
