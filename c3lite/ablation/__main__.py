"""The command line of stores: `python -m c3lite.ablation export | merge | status`."""

from __future__ import annotations

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
    parser = argparse.ArgumentParser(
        "python -m c3lite.ablation", description="Move finished fits between machines, and see "
        "what a sweep has left to do.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for run, about in ((_export, "write a store into one compressed file"),
                       (_merge, "add exported files, or other stores, to a store"),
                       (_status, "what a store holds, what is left, how long")):
        command = commands.add_parser(run.__name__[1:], help=about)
        command.add_argument("store", type=Path)
        command.set_defaults(run=run)
        if run is _export:
            command.add_argument("output", type=Path, metavar="OUT.jsonl.gz")
        elif run is _merge:
            command.add_argument("sources", type=Path, nargs="+", metavar="SOURCE")
    arguments = parser.parse_args(argv)
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        arguments.run(arguments)
    except (OSError, ValueError) as error:
        print(f"c3lite.ablation: {error}", file=sys.stderr)
        return 1
    return 0


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ValueError(f"there is no store or file {path}")
    return path


def _export(arguments) -> None:
    n = Store(_existing(arguments.store)).export(arguments.output)
    print(f"{arguments.output}: {n} fits, {arguments.output.stat().st_size:,} bytes")


def _merge(arguments) -> None:
    store = Store(arguments.store)
    for source in arguments.sources:
        added, known = store.merge(_existing(source))
        print(f"{source}: {added} fits added, {known} were there already")


def _status(arguments) -> None:
    store = Store(_existing(arguments.store))
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
