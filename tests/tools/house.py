"""The rooms of the package: what each folder holds, and that imports only go down.

    python -m tests.tools.house

prints for each folder its files, its lines, its longest function, and every import that runs
against the order. Imports inside functions count as well.
"""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[2] / "c3lite"

LEVELS = (
    ("ingredients", "arrays"), ("config", "data"), ("model",), ("coding",), ("evaluation",),
    ("fitting",), ("video",), ("plots",), ("widgets", "ablation"), ("__init__",), ("__main__",))
"""Rooms from the ground up. One may import from those below it, and from itself."""


CORE = ("config", "model", "fitting.training", "fitting.loop", "fitting.parameters", "fitting.fit")
"""What is read beside the paper: the choices, the codec, a step, the loop, the search, a fit."""


class Import(NamedTuple):
    """One module of the package reads another."""

    source: str
    """Dotted, without the package: "model.codec"."""
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.source} (line {self.line}) imports {self.target}"


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """All modules by dotted name without the package; a folder's `__init__` by the folder's."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and parts[1:] else parts)] = path
    return found


def room(module: str) -> str:
    """The folder of a module, or the module itself where it lies at the top."""
    return module.partition(".")[0]


def imports(package: Path = PACKAGE) -> list[Import]:
    """Every import of one module of the package by another, also inside functions."""
    known, found = modules(package), []
    for source, path in known.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                if name.partition(".")[0] != package.name:
                    continue
                # the longest beginning that is a module; the rest is a name in it
                inner = name.partition(".")[2]
                while inner and inner not in known:
                    inner = inner.rpartition(".")[0]
                if (inner or "__init__") != source:
                    found.append(Import(source, node.lineno, inner or "__init__"))
    return found


def against_the_order(found: list[Import]) -> list[Import]:
    """Imports that go up, or between two rooms of one level."""
    level = {name: n for n, names in enumerate(LEVELS) for name in names}
    return [i for i in found if room(i.source) != room(i.target)
            and level[room(i.source)] <= level[room(i.target)]]


def circle(found: list[Import]) -> list[str]:
    """Modules that import each other in a circle; empty where none do."""
    graph: dict[str, set[str]] = {}
    for i in found:
        graph.setdefault(i.source, set()).add(i.target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def longest_function(path: Path) -> tuple[int, str]:
    """(lines, name) of the longest function of a file; (0, "") where there is none."""
    return max(((node.end_lineno - node.lineno + 1, node.name)
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)), default=(0, ""))


def main() -> None:
    """Print the table."""
    known, found = modules(), imports()
    wrong = against_the_order(found)
    print(f"{'room':14}{'files':>6}{'lines':>7}{'up':>4}  longest function")
    total = 0
    for name in dict.fromkeys(n for names in LEVELS for n in names):
        paths = [path for module, path in known.items() if room(module) == name]
        if not paths:
            continue
        lines = sum(len(path.read_text().splitlines()) for path in paths)
        length, longest = max(map(longest_function, paths))
        up = sum(room(i.source) == name for i in wrong)
        print(f"{name:14}{len(paths):6}{lines:7}{up:4}  {longest} ({length})")
        total += lines
    scripts = sum(len(path.read_text().splitlines())
                  for path in PACKAGE.rglob("static/*") if path.suffix in (".js", ".css"))
    core = sum(len(path.read_text().splitlines()) for module, path in known.items()
               if module.startswith(CORE))
    print(f"{total} lines of Python, {core} of them the core, {scripts} of JavaScript and CSS")
    for i in wrong:
        print("against the order:", i)
    if names := circle(found):
        print("a circle:", " -> ".join(names))


if __name__ == "__main__":
    main()
