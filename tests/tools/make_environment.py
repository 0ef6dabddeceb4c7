"""Write the conda environment files from pyproject.toml, the one source of versions.

    python -m tests.tools.make_environment           write environment.yml, environment-gpu.yml
    python -m tests.tools.make_environment --check   exit 1 when one of them is out of date
"""

import argparse
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

# File name -> extras that it holds beside the dependencies proper. CUDA 12 rather than 13, because
# a driver made for CUDA 13 also runs builds for 12, and not the other way round.
FILES = {"environment.yml": ["test"], "environment-gpu.yml": ["cuda12", "test"]}

# conda would otherwise take its newest Python, for which range-coder has no wheel.
PYTHON_LIMIT = "<3.13"

HEADER = """\
# Made from pyproject.toml by `make environment`; edit that file, not this one.
# conda brings Python and pip. The packages come from PyPI: the builds that `make lab` installs.
"""


def render(project: dict, extras: list[str]) -> str:
    """The text of one environment file.

    project: the `[project]` table of pyproject.toml. extras: names of its optional parts to
    include; a name that the table lacks raises KeyError.
    """
    requirements = list(project["dependencies"])
    for extra in extras:
        requirements += project["optional-dependencies"][extra]
    # A single-quoted YAML scalar: only the quote itself is special, and is doubled.
    quoted = [f"'{line.replace(chr(39), chr(39) * 2)}'" for line in [*requirements, "-e ."]]
    return HEADER + "\n".join(
        [
            f"name: {project['name']}",
            "channels:",
            "  - conda-forge",
            "dependencies:",
            f"  - python {project['requires-python']},{PYTHON_LIMIT}",
            "  - pip",
            "  - pip:",
            *(f"      - {line}" for line in quoted),
            "",
        ]
    )


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write or check the files in `root`; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 on a drift")
    check = parser.parse_args(arguments).check
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stale = []
    for name, extras in FILES.items():
        text, path = render(project, extras), root / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"{', '.join(stale)} differ from pyproject.toml: run `make environment`",
              file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
