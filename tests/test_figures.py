"""Numbers on pages: what is bound is made from stores, all else has a source or is refused."""

import dataclasses
import json
import re
import shutil
import warnings
from pathlib import Path

import pytest
import yaml

import c3lite as c3
from c3lite.ablation import Store, knockouts
from c3lite.config import edit
from tests import swept
from tests.tools import pages
from tests.tools.figures import Figures
from tests.tools.pages import main

REPOSITORY = Path(__file__).parents[1]
IMAGES = ["kodim05[0:24,0:32]", "kodim19[0:24,0:32]"]
WEIGHTS = [2e-4, 5e-4, 1e-3, 4e-3]
PAGE = """# Title 7

Without soft-rounding <!--= bd("table03/tiny", "soft-rounding") -->+20.0<!--/--> % more, of
the paper's <!--= paper("table03/tiny", "soft-rounding"):.2f -->22.18<!--/-->.

<!--= table("table03/tiny", "whole, loss []", ["soft-rounding", "gelu"]) -->
<!--/-->
"""


BASE = edit(c3.C3, steps=50, stage2_steps=5)
ROWS = knockouts(BASE, ["soft-rounding", "gelu"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A repository of one page and one store, in which soft-rounding is worth a sixth."""
    root = tmp_path_factory.mktemp("made")
    ablations = root / "ablations"
    (ablations / "presets").mkdir(parents=True)
    shutil.copy(REPOSITORY / "ablations" / "table03.ipynb", ablations)
    (ablations / "presets" / "tiny.yaml").write_text(yaml.safe_dump({
        "preset": "tiny", "images": {"kodak": IMAGES}, "rd_weights": WEIGHTS, "steps": 50,
        "stage2_steps": 5, "is_result": True, "rows": [row.name for row in ROWS[1:]]}))
    store = store_of(root)
    for row in ROWS:
        for digest, image in enumerate(IMAGES):
            for weight in WEIGHTS:
                store.add(swept.record(
                    edit(row.configs[0], rd_weight=weight), image, f"{digest:064}",
                    factor=1.2 if row.name == "soft-rounding" else 1.0))
    (ablations / "results" / "sources.yaml").write_text(yaml.safe_dump(
        {"everywhere": {"names": [r"Table \d+"]}, "pages": {}, "unbound": {}}))
    (root / "README.md").write_text(PAGE)
    assert pages.results(root) == []
    return root


@pytest.fixture
def root(made, tmp_path):
    """A copy of it."""
    return shutil.copytree(made, tmp_path / "root")


def change(root, old, new):
    """Replace a text of the page."""
    text = (root / "README.md").read_text()
    assert text.count(old) == 1
    (root / "README.md").write_text(text.replace(old, new))


def store_of(root):
    return Store(root / "ablations" / "results" / "table03" / "tiny" / "store")


def test_a_table_is_made_with_what_it_was_made_from(root):
    text = (root / "README.md").read_text()
    assert "| soft-rounding | +20.0 | +14.3 [+14.3, +14.3] |\n| GELU | 0.0 |" in text
    assert ("`make ablation TABLE=03 PRESET=tiny`: 24 of 24 fits, 2 images, 4 rate weights, "
            "1 seed, up to 55 steps; 2026-01-01, numerics version 1; none, JAX") in text
    assert pages.verify(root) == []


def test_results_changes_nothing_the_second_time(root):
    before = (root / "README.md").read_text(), (root / "README.md").stat().st_mtime_ns
    assert pages.results(root) == []
    assert before == ((root / "README.md").read_text(), (root / "README.md").stat().st_mtime_ns)


def test_an_altered_number_is_named_and_made_again(root, monkeypatch, capsys):
    good = (root / "README.md").read_text()
    change(root, "+20.0<!", "+20.1<!")
    change(root, "| GELU | 0.0", "| GELU | 0.3")
    monkeypatch.chdir(root)
    assert main(["verify"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    call = 'bd("table03/tiny", "soft-rounding")'
    assert first == f"README.md:3: {call} is +20.0, the page has +20.1"
    assert second.startswith('README.md:6: table("table03/tiny"')
    assert second.endswith(" is | GELU | 0.0 | 0.0 [0.0, 0.0] |, the page has "
                           "| GELU | 0.3 | 0.0 [0.0, 0.0] |")
    assert main(["results"]) == 0 and (root / "README.md").read_text() == good
    assert main(["verify"]) == 0


def test_a_number_without_a_source_is_refused_until_it_has_one(root):
    change(root, "% more, of", "% more, measured in 3.5 s, of Table 4 and")
    (found,) = pages.verify(root)
    assert found.startswith("README.md:3: 3.5, in ") and "has no source" in found
    path = root / "ablations" / "results" / "sources.yaml"
    sources = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(sources | {"pages": {"README.md": {"a clock": ["3.5 s"]}}}))
    assert pages.verify(root) == []
    change(root, "in 3.5 s", "in 3.6 s")
    assert [line.partition(",")[0] for line in pages.verify(root)] == [
        'ablations/results/sources.yaml: README.md has no "3.5 s" (any more)', "README.md:3: 3.6"]
    path.write_text(yaml.safe_dump(sources | {"unbound": {"README.md": 1}}))
    assert pages.verify(root) == []
    change(root, "in 3.6 s", "in 3 min 6 s")
    assert pages.verify(root) == [
        "README.md: 2 numbers without a source, not 1 as in ablations/results/sources.yaml"]


def of_another_version(store):
    for record in list(store.records()):
        store.add(dataclasses.replace(record, numerics=0))


def half_finished(store):
    """Without one fit of soft-rounding."""
    without = json.loads(ROWS[1].configs[0].to_json())["temperature"]
    record = next(r for r in store.records() if r.config["temperature"] == without)
    store.path(record.key).unlink()


@pytest.mark.parametrize("spoil, why", [
    (of_another_version, "24 fits, none of numerics version 1"),
    (half_finished, "half finished, 23 of 24 fits: of soft-rounding 1 images have all rate "
                    "weights, of other rows 2"),
])
def test_a_table_that_cannot_be_made_stays_and_why_is_said(root, spoil, why):
    spoil(store_of(root))
    change(root, "+20.0<!", "+7.0<!")
    before = (root / "README.md").read_text()
    left = [line for line in pages.results(root) if "paper(" not in line]
    assert [line.partition('("')[0] for line in left] == ["README.md:3: bd", "README.md:6: table"]
    assert all("is left as it was: " in line and why in line for line in left)
    assert (root / "README.md").read_text() == before
    assert len(pages.verify(root)) >= 2


def test_a_picture_that_no_fit_is_of_shows_in_what_a_table_was_made_from(root):
    preset = root / "ablations" / "presets" / "tiny.yaml"
    values = yaml.safe_load(preset.read_text())
    values["images"]["kodak"].append("kodim99")
    preset.write_text(yaml.safe_dump(values))
    (found,) = pages.verify(root)
    assert "24 of 24 fits, 2 of 3 images" in found


@pytest.mark.parametrize("call, why", [
    ('__import__("os")', "it is no figure"), ('_stored("table03/tiny")', "it is no figure"),
    ('bd("table03/tiny", open("x"))', "it is no figure with literals"), ("3 + 4", "it is no fig"),
    ('bd("table03/tiny", "gelu") + bd("table03/tiny", "gelu")', "it is no figure"),
    ('bd("table03/tiny")', "missing a required argument: 'row'"),
    ('bd("table03/tiny", "GELU")', "has no fits of 'GELU', only of C3, soft-rounding"),
    ('bd("table03/tinier", "gelu")', "there is no study 'table03/tinier'"),
    ('bd("table03/tiny", "gelu", "bits")', "nothing is called 'bits'"),
    ('bd("table03/tiny", "gelu"):x', "Unknown format code 'x'"),
    ('photo_mean("table03/tiny", "GELU", "C3")', "no number, as its fits are not all there"),
    ('count("table03/tiny", "mistakes")', "mistakes"), ('macs("C4")', "C4"),
])
def test_what_is_no_figure_is_refused_in_a_sentence(root, call, why):
    with pytest.raises(ValueError, match=re.escape(why)) as error:
        pages.evaluate(call, Figures(root / "ablations"))
    assert "\n" not in str(error.value)


def test_a_number_at_the_beginning_of_a_line_would_be_html(root):
    change(root, "the paper's <!--", "<!--")
    (found,) = pages.verify(root)
    assert found.startswith("README.md:4") and "it begins a line" in found


@pytest.mark.parametrize("text, numbers", [
    ("C3 of H.266, `a 3`, $x_3$, [lesson 3](3.md) and ![of 5](6.png)", ["5"]),
    ("# 1\n\n```\n2\n```\n\n    3\n\n<b id=\"4\">5</b>", ["5"]),
    ("2,000 + 200 steps of 128x192, 1e-4, −3.5 %.", ["2,000", "200", "128x192", "1e-4", "−3.5"]),
    ('<!--= bd("a") -->7<!--/--> 8', ["8"]),
])
def test_what_counts_as_a_number_in_prose(text, numbers):
    found, _ = pages.unlisted(pages.Prose("page", text), [])
    assert [line.split(": ")[1].split(", in")[0] for line in found] == numbers


def test_a_lesson_may_quote_its_own_cells(root):
    (root / "notebooks").mkdir()
    output = [{"text": ["12.3456 bits, 1,770 MACs\n"]}, {"data": {"text/plain": "0.25"}}]
    for text, refused in (("From 12.3 to 12.35 and −1,770, 3e-4, 0.2 of 7.", []),
                          ("12.34, 1,771, 2e-4 and 0.4", ["12.34", "1,771", "2e-4", "0.4"])):
        cells = [{"cell_type": "code", "source": ["x = 3e-4 + 7"], "outputs": output},
                 {"cell_type": "markdown", "source": [text]}]
        (root / "notebooks" / "00.ipynb").write_text(json.dumps({"cells": cells}))
        found = [line.split(": ")[1].split(", in")[0] for line in pages.verify(root)]
        assert found == refused


def test_a_lesson_keeps_what_its_cells_printed(root):
    (root / "notebooks").mkdir()
    path = root / "notebooks" / "00.ipynb"
    call = 'bd("table03/tiny", "soft-rounding"):.0f'
    text = f"It is\nby <!--= {call} -->0<!--/--> %.\n"
    output = [{"text": "3 §"}]
    notebook = {"cells": [{"cell_type": "code", "source": ["1\n", "2"], "outputs": output},
                          {"cell_type": "markdown", "source": [text]}], "metadata": {"a": 1}}
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert pages.results(root) == []
    notebook["cells"][1]["source"] = ["It is\n", f"by <!--= {call} -->20<!--/--> %.\n"]
    assert path.read_text("utf-8") == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def test_what_stood_in_for_clic_still_does_where_clic_is_at_hand(tmp_path, monkeypatch):
    (tmp_path / "clic2020").mkdir()
    monkeypatch.setenv("C3LITE_DATA", str(tmp_path))
    assert Figures(REPOSITORY / "ablations").count("stage1_only/short", "images") == 3


def test_the_pages_of_this_repository_quote_what_its_stores_have(capsys):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the cubic of")
        assert pages.verify(REPOSITORY) == []
    assert "ablations/results/README.md: " in capsys.readouterr().out
