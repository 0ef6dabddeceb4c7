"""`python -m tests.benchmarks [NAME ...]`: run all benchmarks, or those named."""

import importlib
import pkgutil
import sys
from pathlib import Path


def main(names: list[str]) -> None:
    """Run the `main` of each named module of this folder, all of them without a name."""
    known = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])
                   if not module.name.startswith("_"))
    if unknown := set(names) - set(known):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in names or known:
        print(f"\n{name}", flush=True)
        importlib.import_module(f"tests.benchmarks.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
