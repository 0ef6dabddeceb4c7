"""What the README says can be followed: its example runs, its links and commands exist."""

import re
from pathlib import Path

import pytest

import c3lite as c3

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    short = example.replace("steps=2000, stage2_steps=200", "steps=20, stage2_steps=2")
    assert short != example
    names = {}
    exec(compile(short, "README.md", "exec"), names)
    assert names["fit"].shape == (128, 192)
    assert names["plain"].noise_shape == c3.Anneal(1.0, 1.0)


def test_the_number_of_macs_in_the_example():
    (claimed,) = re.findall(r"macs_per_pixel\(c3\.C3, \(512, 768\)\)\.total +# (\d+)", README)
    assert round(c3.complexity.macs_per_pixel(c3.C3, (512, 768)).total) == int(claimed)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_local_links_resolve(link):
    assert (REPOSITORY / link).exists()


def test_make_targets_exist():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    # indented blocks and code spans; in running text "make" is a verb
    named = re.findall(r"(?:^    |`)make (\w+)", README, re.MULTILINE)
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
