"""What `make lab` opens: all of the repository, on a lesson that looking at does not change."""

import os
import re
import shlex
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.tools import lab_shot

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: make extras EXTRAS=browser")
if not Path(lab_shot.CHROMIUM).exists():
    pytest.skip(f"no Chromium at {lab_shot.CHROMIUM}: apt-get install chromium, or set CHROMIUM",
                allow_module_level=True)

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A copy of the notebooks, served by the command of `make lab`: its address, the page that it
    opens, and the copy."""
    folder, tmp = tmp_path_factory.mktemp("repository"), tmp_path_factory.mktemp("jupyter")
    # what git has, so that a .venv and caches stay behind
    files = subprocess.run(["git", "ls-files", "*.md", "*.ipynb", "tests/*.py", "ablations"],
                           cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    for name in files.splitlines():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((REPOSITORY / name).read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    recipe = subprocess.run(
        ["make", "-n", "lab", "PYTHON=python", f"ARGS=--ServerApp.port={port} "
         "--IdentityProvider.token= --LabApp.expose_app_in_browser=True"],
        cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.replace("\\\n", " ")
    (command,) = [line for line in recipe.splitlines() if "-m jupyterlab" in line]
    browser = tmp / "browser"  # in place of a browser: it notes what it was to open
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp}/page.new && mv {tmp}/page.new {tmp}/page\n')
    browser.chmod(0o755)
    environment = os.environ | {"BROWSER": f"{browser} %s", "PATH": os.pathsep.join(
        [str(Path(lab_shot.sys.executable).parent), os.environ["PATH"]])} | {
        f"JUPYTER_{kind}_DIR": str(tmp / kind) for kind in ("CONFIG", "RUNTIME")} | {
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp / "workspaces"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp / "settings")}
    with open(tmp / "log", "w") as log:
        server = subprocess.Popen(shlex.split(command), cwd=folder, env=environment, stdout=log,
                                  stderr=subprocess.STDOUT)
    try:
        for _ in range(900):
            if (tmp / "page").exists():
                break
            assert server.poll() is None, (tmp / "log").read_text()
            time.sleep(0.1)
        redirect = Path((tmp / "page").read_text().strip().removeprefix("file://")).read_text()
        yield f"http://127.0.0.1:{port}", re.search(r'href="([^"]+)"', redirect).group(1), folder
    finally:
        server.terminate()
        server.wait(30)


def test_lab_opens_the_first_lesson_and_serves_the_repository(opened):
    address, page, folder = opened
    assert page.partition("?")[0].endswith("/lab/tree/notebooks/00_start_here.ipynb")
    links = {(notebook.parent / link).resolve().relative_to(folder.resolve())
             for notebook in (folder / "notebooks").glob("*.*") if notebook.is_file()
             for link in re.findall(r"\]\((\.\./[^)#]+)", notebook.read_text("utf-8"))}
    assert len(links) >= 3
    for path in ["README.md", "ablations", *links]:
        with urlopen(f"{address}/api/contents/{quote(str(path))}?content=0") as answer:
            assert answer.status == 200


@pytest.mark.parametrize("name", ["notebooks/00_start_here.ipynb", "ablations/table03.ipynb"])
def test_opening_and_saving_a_notebook_does_not_change_it(opened, name):
    # tests/test_widgets.py holds all of them against what saving writes
    address, _, folder = opened
    path = folder / name
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    with playwright.sync_playwright() as pw:
        lab = lab_shot.Lab(pw, address, name)  # with its kernel
        try:
            assert not lab.log  # no dialog
            assert lab.page.evaluate("() => __ls.names().got") == "python3"
            lab.page.wait_for_function("""() => jupyterapp.shell.currentWidget.content.model
              .getMetadata('language_info')?.version""")  # the kernel has told its own
            lab.page.evaluate("""async () => {
              jupyterapp.shell.currentWidget.model.dirty = true;
              await jupyterapp.commands.execute('docmanager:save'); }""")
            assert path.stat().st_mtime_ns > written and path.read_bytes() == before
        finally:
            lab.close()
