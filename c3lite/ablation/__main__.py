"""The command line: `python -m c3lite.ablation status STORE`."""

import argparse
import collections
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from c3lite.ablation.jobs import duration
from c3lite.ablation.store import NUMERICS, Store


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 1 failed; wrong usage exits with 2."""
    parser = argparse.ArgumentParser("python -m c3lite.ablation")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="what a store holds, what is left, how long")
    status.add_argument("store", type=Path)
    path = parser.parse_args(argv).store
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        if not path.exists():
            raise ValueError(f"there is no store {path}")
        _status(Store(path))
    except (OSError, ValueError) as error:
        print(f"c3lite.ablation: {error}", file=sys.stderr)
        return 1
    return 0


def _status(store: Store) -> None:
    fits = {record.key: record for record in store.records()}
    current = {k: r for k, r in fits.items() if r.numerics == NUMERICS}
    timed = [r for r in current.values() if r.error is None and r.steps]
    failed = sum(r.error is not None for r in current.values())
    print(f"{store.folder}: {len(current)} fits" + (f", {failed} of them failed" * (failed > 0)))
    others = collections.Counter(r.numerics for r in fits.values() if r.numerics != NUMERICS)
    for version, n in sorted(others.items()):
        print(f"{n} fits of numerics version {version} are kept and not used (this is version "
              f"{NUMERICS})")
    if under_way := len(store.checkpoints()):
        print(f"{under_way} batches have a checkpoint: under way, or to be gone on with")
    for label, costs in store.plans().items():
        left = [cost for key, cost in costs.items() if key not in current]
        line = f"{label}: {len(costs) - len(left)} of {len(costs)} fits done"
        if left and timed:
            speed = sum(r.seconds for r in timed) / sum(r.steps * r.pixels for r in timed)
            line += f", about {duration(speed * sum(left))} left at the speed so far"
        elif left:
            line += ", no fit to tell the time left by"
        print(line)


if __name__ == "__main__":
    sys.exit(main())
