"""What the README says can be followed: its example runs, its links and commands exist."""

import functools
import inspect
import re
from pathlib import Path
from unittest.mock import ANY

import pytest

import c3lite as c3
from c3lite import __main__ as cli
from tests.coded import coded

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_example_runs(monkeypatch):
    """With a made-up fit. What the calls ask for has to be what the functions take."""
    asked, fits, takes = [], [], {"fit": c3.fit, "fit_to": c3.fit_to}

    def short(name, image, config=c3.C3_FAST, **options):
        inspect.signature(takes[name]).bind(image, config, **options)
        asked.append((name, image.shape[1:], config.steps, options))
        if not fits:
            fits.append(coded(c3.edit(config, num_grids=2), image.shape[1:]))
        return fits[0]

    for name in takes:
        monkeypatch.setattr(c3, name, functools.partial(short, name))
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["fit"].shape == (128, 192)
    assert asked == [
        ("fit", (128, 192), 2000, {}), ("fit", (128, 192), 2000, {"seconds": 60}),
        ("fit_to", (768, 512), 2000, {"bpp": 0.5}), ("fit", (128, 192), 1000, {"key": ANY})]
    assert names["plain"].noise_shape == c3.Anneal(1.0, 1.0)


def test_the_commands_of_the_example_are_taken(monkeypatch, capsys):
    taken = []
    monkeypatch.setattr(cli, "_encode", taken.append)
    for line in re.findall(r"^    \.venv/bin/c3lite (.*)", README, re.MULTILINE):
        assert cli.main(line.split()) == 0, capsys.readouterr().err
    assert [(a.seconds, a.bpp) for a in taken] == [(None, None), (60, None), (None, 0.5)]


def test_the_number_of_macs_in_the_example():
    (claimed,) = re.findall(r"macs_per_pixel\(c3\.C3, \(512, 768\)\)\.total +# (\d+)", README)
    assert round(c3.complexity.macs_per_pixel(c3.C3, (512, 768)).total) == int(claimed)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_local_links_resolve(link):
    assert (REPOSITORY / link).exists()


def test_make_targets_exist():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    # indented blocks and code spans; in running text "make" is a verb
    named = re.findall(r"(?:^    |`)make ([\w-]+)", README, re.MULTILINE)
    assert {"lab", "test", "extras", "environment", "help"} <= set(named)
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_presets_and_modules_that_it_names_are_there():
    for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", README):
        assert hasattr(c3, name), name


@pytest.mark.parametrize("named", sorted(set(re.findall(
    r"`(tests/\S+\.py::\w+)`",
    (REPOSITORY / "ablations/results/reliability.md").read_text(encoding="utf-8")))))
def test_the_tests_that_the_reliability_page_names_are_there(named):
    file, name = named.split("::")
    assert re.search(rf"^def {name}\(", (REPOSITORY / file).read_text("utf-8"), re.MULTILINE)
