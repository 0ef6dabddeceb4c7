"""Numbers in prose: bound to a figure, or on a list with their source.

A number on a page stands between comments that name its figure (`figures.Figures`) and form,

    <!--= bd("table03/laptop", "gelu") -->+5.7<!--/--> or <!--= count("ladder/laptop", "fits"):d -->

and a table likewise, with the comments on lines of their own. `python -m tests.tools.pages results`
writes them from the stores; `verify` says which differ. A lesson's text may also quote its own
cells: numbers that they have or print. All others have their words and source in
`ablations/results/sources.yaml`, or are refused. What is no prose does not count: code, formulas,
headings, links, addresses of pictures, and what cells of a notebook print.
"""

import argparse
import ast
import inspect
import itertools
import json
import math
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from c3lite.ablation.rows import check_name
from c3lite.data.atomic import write_atomically
from tests.tools.figures import Figures, shown

PAGES = ("README.md", "ablations/results/**/*.md", "notebooks/*.ipynb", "notebooks/*.md")

SOURCES = "ablations/results/sources.yaml"
"""Numbers that no store has: `everywhere`, regular expressions by source; `pages`, for each by
source the very words, or /expressions/; `unbound`, how many numbers a page has that are neither."""

_BOUND = re.compile(r"<!--= (?P<call>.*?) -->(?P<text>.*?)<!--/-->", re.DOTALL)
_NO_PROSE = re.compile("|".join((
    r"^```[\s\S]*?^```", r"^(?: {4}.*\n)+", r"`[^`\n]*`", r"\$\$[\s\S]*?\$\$", r"\$[^$\n]+\$",
    r"^#.*$", r"(?<!!)\[[^]]*\]\([^)\s]*\)", r"(?<=\])\([^)\s]*\)", r"</?[a-z][^>\n]*>")),
    re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.])[+−-]?\d[\w.,×]*(?:(?<=e)[-−]\d+)?(?<![.,])")


def evaluate(call: str, figures: Figures) -> str:
    """A figure as its page shows it, from `NAME(LITERALS)` or `NAME(LITERALS):FORM`. Raises
    `ValueError`, in a sentence, for anything else and for a figure that cannot be had."""
    match = re.fullmatch(r"(?P<name>[a-z]\w*)(?P<arguments>\(.*\))(?::(?P<form>\S+))?", call)
    try:
        name, tree = match["name"], ast.parse(f"_{match['arguments']}", mode="eval").body
        if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
            raise SyntaxError
        arguments = [ast.literal_eval(x) for x in tree.args]
        named = {x.arg: ast.literal_eval(x.value) for x in tree.keywords}
    except (TypeError, SyntaxError, ValueError):
        raise ValueError(
            'it is no figure with literals, as bd("table03/laptop", "gelu"):+.1f') from None
    check_name("no figure", name, [n for n in dir(figures) if not n.startswith("_")])
    figure = getattr(figures, name)
    try:
        inspect.signature(figure).bind(*arguments, **named)
        value = figure(*arguments, **named)
        if isinstance(value, float) and math.isnan(value):
            raise KeyError("no number, as its fits are not all there")
        return shown(value, match["form"] or ("," if isinstance(value, int) else "+.1f"))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{name}: {error}") from error


class Prose(NamedTuple):
    """A page, or a Markdown cell of one, and where it is for a reader."""

    place: str
    text: str

    def at(self, position: int) -> str:
        """A place in it."""
        return f"{self.place}:{1 + self.text.count(chr(10), 0, position)}"


def read(page: Path, name: str) -> list[Prose]:
    """The prose of a page: all its text, or that of a notebook's Markdown cells."""
    text = page.read_text("utf-8")
    if page.suffix != ".ipynb":
        return [Prose(name, text)]
    return [Prose(f"{name}, cell {i}", "".join(cell["source"]))
            for i, cell in enumerate(json.loads(text)["cells"]) if cell["cell_type"] == "markdown"]


def _write(page: Path, texts: list[str]) -> None:
    (text, *_) = texts
    if page.suffix == ".ipynb":
        notebook, texts = json.loads(page.read_text("utf-8")), iter(texts)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = next(texts).splitlines(keepends=True)
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    write_atomically(page, lambda file: file.write(text.encode()))


def remade(prose: Prose, figures: Figures) -> tuple[str, list[str], list[str]]:
    """A page's text with its figures made anew, what differs, and what was left and why."""
    differs, left = [], []

    def anew(match: re.Match) -> str:
        call, old = match["call"], match["text"]
        begins_line = not prose.text[:match.start()].rpartition("\n")[2].strip()
        block = begins_line and old.startswith("\n")
        try:
            new = evaluate(call, figures)
            if begins_line and not block:
                raise ValueError("it begins a line, which Markdown would then take for HTML")
            if "\n" in new and not block:
                raise ValueError("it takes several lines, so its comments stand on their own")
        except (ValueError, OSError) as error:
            left.append(f"{prose.at(match.start())}: {call} is left as it was: {error}")
            return match[0]
        new = f"\n{new}\n" if block else new
        lines = itertools.zip_longest(new.split("\n"), old.split("\n"), fillvalue="nothing")
        differs.extend(f"{prose.at(match.start())}: {call} is {now}, the page has {was}"
                       for now, was in lines if now != was)
        return f"<!--= {call} -->{new}<!--/-->"

    return _BOUND.sub(anew, prose.text), differs, left


def own_numbers(page: Path) -> list[float]:
    """The numbers, without signs, in a lesson's code and in the text that its cells print."""
    if page.suffix != ".ipynb":
        return []
    texts = []
    for cell in json.loads(page.read_text("utf-8"))["cells"]:
        texts.append("".join(cell["source"]) if cell["cell_type"] == "code" else "")
        for output in cell.get("outputs", []):
            data = {"text": output.get("text", ""), **output.get("data", {})}
            texts += ["".join(data[kind]) for kind in ("text", "text/plain", "text/html")
                      if kind in data]
    found = (re.sub(r",(?=\d{3})", "", number)
             for number in re.findall(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", "\n".join(texts)))
    return [float(number) for number in found if "," not in number]


def is_quoted(number: str, own: Sequence[float]) -> bool:
    """Whether a number in prose is one of a lesson's own, rounded to its places."""
    try:
        value = abs(float(number.replace("−", "-").replace(",", "")))
    except ValueError:
        return False
    places = 0 if "e" in number else len(number.partition(".")[2])
    slack = 1e-9 * value if "e" in number else 0.5001 * 10.0**-places
    return any(abs(x - value) <= slack for x in own)


def unlisted(
    prose: Prose, patterns: Iterable[str], own: Sequence[float] = ()
) -> tuple[list[str], int]:
    """The numbers in prose that are in no match of a pattern and are not quoted from a lesson's
    `own`, and how many are."""
    def blank(match: re.Match) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    text = _NO_PROSE.sub(blank, _BOUND.sub(blank, prose.text))
    spans = [m.span() for pattern in patterns for m in re.finditer(pattern, text)]
    numbers = list(_NUMBER.finditer(text))
    found = [f"{prose.at(m.start())}: {m[0]}, in \"{_around(prose.text, m)}\", is bound to no "
             "figure and has no source" for m in numbers
             if not any(first <= m.start() and m.end() <= last for first, last in spans)
             and not is_quoted(m[0], own)]
    return found, len(numbers) - len(found)


def _around(text: str, match: re.Match) -> str:
    return " ".join(text[max(0, match.start() - 30):match.end() + 30].split())


def _words(phrase: str) -> str:
    """The pattern of a phrase, over the ends of lines too, or an expression's own."""
    if phrase.startswith("/") and phrase.endswith("/"):
        return f"(?m){phrase[1:-1]}"
    return r"(?<![\w.])" + r"\s+".join(map(re.escape, phrase.split())) + r"(?!\w)"


def pages(root: Path) -> dict[str, Path]:
    """All pages, by their names from the repository's root."""
    return {path.relative_to(root).as_posix(): path for pattern in PAGES
            for path in sorted(root.glob(pattern))}


def results(root: Path) -> list[str]:
    """Make all pages anew from the stores. Returns what was left as it was, and why."""
    figures, all_left = Figures(root / "ablations"), []
    for name, path in pages(root).items():
        before = read(path, name)
        after = [remade(prose, figures) for prose in before]
        all_left += [line for _, _, left in after for line in left]
        if any(prose.text != text for prose, (text, _, _) in zip(before, after, strict=True)):
            _write(path, [text for text, _, _ in after])
            print(f"{name}: written")
    return all_left


def verify(root: Path) -> list[str]:
    """Print how many numbers each page has, and return what is wrong with them."""
    figures, wrong = Figures(root / "ablations"), []
    sources = yaml.safe_load((root / SOURCES).read_text("utf-8"))
    everywhere = [pattern for patterns in sources["everywhere"].values() for pattern in patterns]
    listed = sources["pages"] | {}
    for name, path in pages(root).items():
        parts = read(path, name)
        phrases = [p for words in listed.pop(name, {}).values() for p in words]
        texts = "\n".join(prose.text for prose in parts)
        wrong += [f"{SOURCES}: {name} has no \"{phrase}\" (any more)" for phrase in phrases
                  if not re.search(_words(phrase), texts)]
        loose, bound, with_source, own = [], 0, 0, own_numbers(path)
        for prose in parts:
            _, differs, left = remade(prose, figures)
            wrong += differs + left
            found, n = unlisted(prose, [*map(_words, phrases), *everywhere], own)
            loose, with_source = loose + found, with_source + n
            bound += len(_BOUND.findall(prose.text))
        expected = sources["unbound"].get(name, 0)
        if len(loose) != expected:
            wrong += [f"{name}: {len(loose)} numbers without a source, not {expected} as in "
                      f"{SOURCES}"] if expected else loose
        print(f"{name}: {bound} figures and tables bound, {with_source} numbers with a source"
              + f", {expected} not yet" * (expected > 0))
    return wrong + [f"{SOURCES}: there is no page {name}" for name in listed]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `verify` or `results` on the repository that is the working directory. Returns the exit
    code: 0 done, 1 something is wrong; wrong usage exits with 2."""
    commands = {"verify": verify, "results": results}
    parser = argparse.ArgumentParser("python -m tests.tools.pages", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=commands)
    command = commands[parser.parse_args(argv).command]
    warnings.filterwarnings("ignore", "the cubic of")  # which the notebooks say
    problems = command(Path.cwd())
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
