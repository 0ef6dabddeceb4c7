"""The README's three lines for people without make: in a fresh clone they open the first lesson."""

import json
import os
import re
import secrets
import shlex
import socket
import subprocess
import sys
import sysconfig
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest

REPOSITORY = Path(__file__).parents[2]
LESSON = "notebooks/00_start_here.ipynb"


def lines_without_make():
    """The lines as README.md has them, for this system."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"Where there is no `make`.*?\n\n((?:    .*\n)+)", readme)
    return [line.strip().replace(r".venv\Scripts\python", ".venv/bin/python")
            for line in block.splitlines()]


@pytest.fixture
def clone(tmp_path):
    subprocess.run(["git", "clone", "--quiet", "--local", REPOSITORY, tmp_path / "clone"],
                   check=True)
    return tmp_path / "clone"


def environment(tmp_path):
    """In which what this interpreter has installed is found: nothing large is downloaded."""
    share = Path(sys.prefix) / "share" / "jupyter"
    here = {"PYTHONPATH": sysconfig.get_path("purelib"), "JUPYTER_PATH": str(share),
            "JUPYTERLAB_DIR": str(share / "lab"), "JUPYTER_TOKEN": secrets.token_hex()}
    own = {name: str(tmp_path / name) for name in (
        "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
        "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")}
    return {**os.environ, **here, **own}


def test_the_three_lines(clone, tmp_path):
    env = environment(tmp_path)
    make_venv, install, lab = map(shlex.split, lines_without_make())
    assert make_venv[0] == "python"
    subprocess.run([sys.executable, *make_venv[1:]], cwd=clone, check=True)

    build = tomllib.loads((clone / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    found = subprocess.run(
        [clone / ".venv/bin/python", "-m", "pip", "download", "--quiet", "--no-deps",
         "--dest", tmp_path / "found", *build], cwd=clone, env=env, capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"no package index gives {build}: {found.stderr.strip()[-300:]}")
    subprocess.run([*install, "--no-deps"], cwd=clone, env=env, check=True)
    where = subprocess.run([clone / ".venv/bin/python", "-c", "import c3lite; print(c3lite)"],
                           cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert str(clone) in where.stdout

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(tmp_path / "log.txt", "w") as log:
        server = subprocess.Popen(
            [*lab, "--no-browser", "--allow-root", f"--ServerApp.port={port}"],
            cwd=clone, env=env, stdout=log, stderr=log)
    try:
        lesson = contents(port, env["JUPYTER_TOKEN"], server)
    finally:
        server.terminate()
        server.wait(timeout=60)
    there = nbformat.read(REPOSITORY / LESSON, as_version=4)
    assert [cell["source"] for cell in lesson["content"]["cells"]] == [
        cell.source for cell in there.cells]


def contents(port, token, server, limit_s=300):
    """What the server's contents API says of the lesson, as soon as it answers."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/contents/{LESSON}",
        headers={"Authorization": f"token {token}"})
    end = time.monotonic() + limit_s
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError:  # it answers, and has no such lesson
            raise
        except (ConnectionError, urllib.error.URLError):
            time.sleep(0.5)
    raise AssertionError("JupyterLab did not answer")
