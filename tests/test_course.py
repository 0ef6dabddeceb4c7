"""Every lesson keeps the standard of the course: its length, its parts, and how it shows things.

tests/test_notebooks.py has what holds of every notebook; tests/notebooks runs them.
"""

import ast
import base64
import functools
import io
import json
import math
import re
import types
from pathlib import Path
from typing import NamedTuple

import jax
import nbformat
import numpy as np
import pytest
from PIL import Image

import c3lite as c3
from c3lite.data import course
from tests.tools import make_ladder

REPOSITORY = Path(__file__).parents[1]
COURSE = REPOSITORY / "notebooks"
LESSONS = sorted(COURSE.glob("[0-9]*_*.ipynb"))

each_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


class Section(NamedTuple):
    """What follows a `##` heading, up to the next."""

    title: str
    cells: list

    @property
    def code(self):
        return [cell for cell in self.cells if cell.cell_type == "code"]

    @property
    def text(self):
        return "\n".join(cell.source for cell in self.cells if cell.cell_type == "markdown")


@functools.cache
def read(path):
    return nbformat.read(path, as_version=4).cells


def code_of(path):
    return [cell for cell in read(path) if cell.cell_type == "code"]


def python(cell):
    """A cell's Python, without IPython's `%` lines."""
    return "\n".join("" if line.startswith("%") else line for line in cell.source.splitlines())


def sections(path):
    found = [Section("", [])]
    for cell in read(path):
        if cell.cell_type != "markdown":
            found[-1].cells.append(cell)
            continue
        for part in re.split(r"^(?=## )", cell.source, flags=re.MULTILINE):
            if part.startswith("## "):
                found.append(Section(part.splitlines()[0][3:], []))
            found[-1].cells.append(nbformat.v4.new_markdown_cell(part))
    return found


def is_closing(title):
    return bool(re.search(r"numbers?\b.* and ours$", title))


def ideas(path):
    """The sections that run code, less the first (it meets the lesson's object) and the last."""
    body = [s for s in sections(path) if s.title and s.code]
    return [s for s in body[1:] if s.title not in ("Exercises", "Scoreboard")
            and not is_closing(s.title)]


@each_lesson
def test_length(path):
    # of what is read in order: answers, hints and solutions are folded, to be opened one by one
    # nor are the lines that lead to other lessons prose
    texts = [re.sub(r"```.*?```|<details>.*?</details>|^← [^\n]*", "", c.source,
                    flags=re.DOTALL | re.MULTILINE)
             for c in read(path) if c.cell_type == "markdown"]
    assert 1200 <= sum(len(text.split()) for text in texts) <= 2000
    code = code_of(path)
    assert 15 <= len(code) <= 42
    assert max(len(cell.source.splitlines()) for cell in code) <= 30


@each_lesson
def test_every_idea_has_something_to_try(path):
    assert len(ideas(path)) >= 3
    assert not [idea.title for idea in ideas(path) if "**Try it" not in idea.text]


@each_lesson
def test_what_is_to_be_tried_and_done_has_answers_and_hints(path):
    text = "\n".join(c.source for c in read(path) if c.cell_type == "markdown")
    answers = len(re.findall(r"<summary>(Answer|Why\?)</summary>", text))
    assert answers >= text.count("**Try it")
    assert text.count("<summary>Hint</summary>") >= 3
    assert "**2. ★ " in text and "**3. ★★ " in text
    assert "**Recap.**" in text and "| formula card |" in text


@each_lesson
def test_leads_back_and_on_in_one_form(path):
    rows = re.findall(r"^\| (\w+) \| \[(.+?)\]\((\d.+?)\)",
                      (COURSE / "README.md").read_text("utf-8"), re.MULTILINE)
    links = [f"[{number} {title}]({name})" for number, title, name in rows]
    at = [name for _, _, name in rows].index(path.name)
    line = " · ".join([*links[max(at - 1, 0):at], "[the course](README.md)",
                       "[cheat sheet](cheat_sheet.md)", *links[at + 1:at + 2]])
    line = f"← {line}" + " →" * (at + 1 < len(links))
    first, last = ("".join(read(path)[i].source).strip().splitlines() for i in (0, -1))
    assert first[0].startswith("# ") and first[2] == last[-1] == line


@each_lesson
def test_a_cell_to_try_has_one_variable_on_top(path):
    # or it is something to move with the mouse
    cells = read(path)
    asked = [i for i, c in enumerate(cells) if c.cell_type == "markdown" and "**Try it" in c.source]
    for i in asked:
        assert cells[i + 1].cell_type == "code", cells[i].source
        body = ast.parse(python(cells[i + 1])).body
        widget = isinstance(body[0], ast.Expr) and "widgets." in ast.unparse(body[0])
        assert widget or isinstance(body[0], ast.Assign), cells[i].source
        if len(body) > 1:  # set apart from what the reader need not touch
            lines = python(cells[i + 1]).splitlines()
            assert not lines[body[0].end_lineno].strip(), cells[i + 1].source


@each_lesson
def test_three_exercises_with_checks_and_folded_solutions(path):
    cells = read(path)
    tagged = [i for i, c in enumerate(cells) if "exercise" in c.metadata.get("tags", [])]
    assert len(tagged) == 3
    for number, i in enumerate(tagged, 1):
        assert f"**{number}. " in cells[i - 1].source
        task, checker, call = ast.parse(python(cells[i])).body
        assert "return ...  # your code" in cells[i].source
        assert checker.name.startswith("check_")
        assert ast.unparse(call) == f"{checker.name}({task.name})"
        assert f"exercise {number}: not done yet" in cells[i].outputs[0].text
        assert cells[i + 1].source.startswith("<details><summary>Solution</summary>")
        assert f"def {task.name}(" in cells[i + 1].source
        assert cells[i + 1].source.rstrip().endswith("</details>")


# what a trainer, a loader and a picture cannot do without
TRAINERS = {"c3.fit", "c3.fit_many", "jax.value_and_grad", "optax.apply_updates", "jax.lax.scan"}
LOADERS = {"open", "imread", "read_bytes", "read_text", "urlopen", "retrieve", "kodak", "loadtxt"}
PICTURES = {"subplots", "figure", "imshow", "plot", "bar", "barh", "hist", "scatter", "errorbar",
            "fill_between", "show", "savefig"}


@each_lesson
def test_no_trainer_loader_or_picture_is_defined(path):
    # but where the trainer is what the lesson is about
    trainers = TRAINERS - ({"jax.value_and_grad"} if path.stem.startswith("01b") else set())
    functions = [node for cell in code_of(path) if "exercise" not in cell.metadata.get("tags", [])
                 for node in ast.walk(ast.parse(python(cell))) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        called = {ast.unparse(node.func) for node in ast.walk(function)
                  if isinstance(node, ast.Call)}
        assert not called & trainers, function.name
        last = {name.rpartition(".")[2] for name in called}
        assert not last & (LOADERS | PICTURES), function.name
        assert "ax" not in [arg.arg for arg in function.args.args], function.name


@each_lesson
def test_a_formula_of_its_own_is_compared(path):
    own = [cell for cell in code_of(path) if "exercise" not in cell.metadata.get("tags", [])]
    trees = [ast.parse(python(cell)) for cell in own]
    imported = {alias.asname or alias.name for tree in trees for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("c3lite")
                for alias in node.names} | {"c3"}

    def names(tree):
        return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}

    def compares(tree):
        return any(isinstance(node, ast.Assert) or "assert_" in ast.unparse(node)
                   for node in ast.walk(tree) if isinstance(node, ast.Assert | ast.Call))

    formulas = {node.name for tree in trees for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef)}
    own_formula = formulas or {"fit"}  # lesson 00 computes in place, from a fit
    assert any(names(tree) & own_formula and names(tree) & (imported | own_formula)
               and compares(tree) for tree in trees)
    # and claims are checked all the way
    assert sum(map(compares, trees)) >= 0.4 * len(trees)


def pictures(path):
    """Output, kind and bytes of every picture."""
    return [(output, kind, base64.b64decode(data)) for cell in code_of(path)
            for output in cell.outputs for kind, data in output.get("data", {}).items()
            if kind.startswith("image/")]


@each_lesson
def test_pictures_have_words(path):
    assert len(pictures(path)) >= 4
    for output, kind, _ in pictures(path):
        words = output.metadata.get(kind, {}).get("alt") or output.data["text/plain"]
        assert len(words) >= 40 and "<" not in words, words


@each_lesson
def test_no_photograph_is_a_png(path):
    # lines and areas take a few bits a pixel as PNG, photographs more than a byte
    for _, kind, data in pictures(path):
        if kind == "image/png":
            width, height = Image.open(io.BytesIO(data)).size
            assert len(data) < 0.45 * width * height


@each_lesson
def test_ends_with_the_papers_number_beside_ours(path):
    closing = [s for s in sections(path) if is_closing(s.title)]
    assert len(closing) == 1
    printed = "".join(output.get("text", "") for cell in closing[0].code for output in cell.outputs)
    assert re.search(r"\bpaper|published|release notes", printed)
    assert re.search(r"\bours?\b|\bhere\b", printed)
    last = closing[0].cells[-1]
    assert last.cell_type == "markdown" and len(last.source.split()) >= 30  # in words, what differs
    titles = [s.title for s in sections(path)]
    assert titles.index(closing[0].title) > titles.index("Exercises")


def test_the_readme_leads_through_all_lessons():
    text = (COURSE / "README.md").read_text("utf-8")
    for path in LESSONS:
        (row,) = [line for line in text.splitlines() if f"]({path.name})" in line]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 5 and re.match(r"\d", cells[2]) and all(cells), row
    entries = re.findall(r"^- \*\*(.+?)\*\*", text, flags=re.MULTILINE)
    assert len(entries) > 30
    for question in ("The model *is* the image?", "Why is my bpp so high on a small crop?"):
        assert question in text


def constants(path, monkeypatch, backend, fast):
    """What a lesson's imports and its `course.pick` give on a machine with this backend."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setenv("C3LITE_FAST", "1" if fast else "0")
    namespace = {}
    for cell in code_of(path):
        for node in ast.parse(python(cell)).body:
            picks = isinstance(node, ast.Assign) and "course." in ast.unparse(node.value)
            if picks and re.fullmatch(r"[A-Z, ()]+", ast.unparse(node.targets[0])):
                exec("from c3lite import course\n" + ast.unparse(node), namespace)
    return {name: value for name, value in namespace.items() if name.isupper()}


@each_lesson
def test_a_gpu_gets_whole_pictures_and_checks_small_ones(path, monkeypatch):
    source = "".join(cell.source for cell in code_of(path))
    if "course.pick(" not in source:  # its own words for the same
        assert " if GPU else " in source and '"C3LITE_FAST"' in source
        return
    gpu, cpu, fast = (constants(path, monkeypatch, backend, fast)
                      for backend, fast in (("gpu", False), ("cpu", False), ("gpu", True)))
    assert gpu.keys() == cpu.keys() == fast.keys() >= {"STEPS"}
    assert gpu["STEPS"] >= 10_000 > cpu["STEPS"] > fast["STEPS"]
    if "SHAPE" in gpu:  # of a clip
        assert math.prod(gpu["SHAPE"]) > math.prod(cpu["SHAPE"]) > math.prod(fast["SHAPE"])
        return
    assert gpu["SIZE"] is None and math.prod(fast["SIZE"]) <= math.prod(cpu["SIZE"])
    window = next(node for node in ast.walk(ast.parse("\n".join(map(python, code_of(path)))))
                  if isinstance(node, ast.Call)
                  and ast.unparse(node.func) in ("course.window", "course.picture"))
    *place, size = window.args
    assert ast.unparse(size) == "SIZE"
    if not place:  # the course's one picture
        assert course.picture(gpu["SIZE"]).shape == (3, 768, 512)
        assert course.picture(cpu["SIZE"]).shape == (3, *cpu["SIZE"])
        return
    photo = np.zeros((3, 512, 768), np.float32)
    at = tuple(map(ast.literal_eval, place[1:]))
    assert course.window(photo, *at, gpu["SIZE"]).shape == photo.shape
    assert course.window(photo, *at, cpu["SIZE"]).shape == (3, *cpu["SIZE"])


def test_pick_and_window(monkeypatch):
    monkeypatch.delenv("C3LITE_FAST", raising=False)
    monkeypatch.setattr(jax, "default_backend", lambda: "cuda")
    assert course.scale() == "gpu" and course.pick(1, 2, gpu=3) == 3
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert course.scale() == "cpu" and course.pick(1, 2, gpu=3) == 2
    monkeypatch.setenv("C3LITE_FAST", "1")
    assert course.scale() == "fast" and course.pick(1, 2, gpu=3) == 1
    picture = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    assert (course.window(picture, 1, 2, (2, 3)) == picture[:, 1:3, 2:5]).all()
    with pytest.raises(ValueError, match="not all inside"):
        course.window(picture, 3, 3, (2, 3))


def test_a_guess_is_printed_where_there_is_one(capsys):
    course.your_guess(None, "dB")
    assert capsys.readouterr().out == ""
    course.your_guess(0, "dB")
    course.your_guess("C3")
    assert capsys.readouterr().out == "your guess: 0 dB\nyour guess: C3\n"


def test_the_scoreboard_grows_and_keeps_what_was_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.delenv("C3LITE_FAST", raising=False)
    rows = {"one": {"lesson": "01", "bpp_psnr_db": [[1.0, 30.0], [1.2, 30.0]]},
            "two": {"lesson": "01b", "bpp_psnr_db": []}}
    (tmp_path / "scoreboard.json").write_text(json.dumps(rows))
    course.scoreboard("01", {"one": (2.0, 30.0)}, tmp_path)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 2 and "21.00 ± 1.00" in shown[1] and shown[1].endswith(" 30.00")
    course.scoreboard("02", {"two": types.SimpleNamespace(bpp_estimate=0.5, psnr=20.0)}, tmp_path)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 3 and shown[1].endswith(" 30.00") and shown[2].endswith(" 105.00")
    monkeypatch.setenv("C3LITE_FAST", "1")  # other pictures are not kept, nor shown beside ours
    course.scoreboard("02", {"one": (9.0, 10.0)}, tmp_path)
    assert capsys.readouterr().out.splitlines()[1].endswith("± 1.00")
    with pytest.raises(ValueError, match="no three; it has one, two"):
        course.scoreboard("02", {"three": (1.0, 30.0)}, tmp_path)


def test_the_courses_own_scores_are_of_three_seeds():
    rows = json.loads((COURSE / "results/scoreboard.json").read_text("utf-8"))
    for name, row in rows.items():
        points = np.array(row["bpp_psnr_db"])
        assert points.size == 0 or (points.shape == (3, 2) and np.isfinite(points).all()), name
    assert rows["C3"]["bpp_psnr_db"] and rows["C3 in 100 lines"]["bpp_psnr_db"]
    assert [row["lesson"] for row in rows.values()] == sorted(r["lesson"] for r in rows.values())


def test_the_cheat_sheet_has_every_row_of_table_3_and_fields_that_there_are():
    text = re.sub("<!--.*?-->", "", (COURSE / "cheat_sheet.md").read_text("utf-8"))
    table3 = c3.reference.paper_table("table3_kodak_knockout_bd_rate_percent")
    assert sorted(re.findall(r"\| \+([\d.]+) % \|", text)) == sorted(
        f"{value:.1f}" for value in table3.values())
    for code in re.findall(r"`(\w+)=(.+?)`", text):
        c3.edit(c3.C3, **{code[0]: ast.literal_eval(code[1])})
    for name in re.findall(r"\]\(([^)]+)\)", text):
        assert (COURSE / name).exists(), name


def test_the_readmes_ladder_is_drawn_from_its_store():
    parts = make_ladder.parts()
    assert len(parts) == 7 and all(points.shape == (3, 2) for points in parts.values())
    sums = [points.sum(1) for points in parts.values()]
    assert sums[-1].max() < sums[0].min()
    for text in (REPOSITORY / "README.md", COURSE / "README.md"):
        assert "images/ladder.png" in text.read_text("utf-8")
    assert make_ladder.OUTPUT.exists()
