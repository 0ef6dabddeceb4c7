"""The command line of stores: `python -m c3lite.ablation export | merge | status`."""

from __future__ import annotations

import argparse
import collections
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 1 failed; wrong usage exits with 2."""
    parser = argparse.ArgumentParser(
        "python -m c3lite.ablation", description="Move finished fits between machines, and see "
        "what a sweep has left to do.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    export = commands.add_parser("export", help="write a store into one compressed file")
    export.add_argument("store", type=Path)
    export.add_argument("output", type=Path, metavar="OUT.jsonl.gz")
    export.set_defaults(run=_export)
    merge = commands.add_parser("merge", help="add exported files, or other stores, to a store")
    merge.add_argument("store", type=Path)
    merge.add_argument("sources", type=Path, nargs="+", metavar="SOURCE")
    merge.set_defaults(run=_merge)
    status = commands.add_parser("status", help="what a store holds, what is left, how long")
    status.add_argument("store", type=Path)
    status.set_defaults(run=_status)
    arguments = parser.parse_args(argv)
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        arguments.run(arguments)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"c3lite.ablation: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"c3lite.ablation: {error}", file=sys.stderr)
        return 1
    return 0


def _existing(folder: Path):
    from c3lite.ablation.store import Store  # which imports JAX: seconds

    if not folder.is_dir():
        raise ValueError(f"there is no store {folder}")
    return Store(folder)


def _export(arguments) -> None:
    n = _existing(arguments.store).export(arguments.output)
    print(f"{arguments.output}: {n} fits, {arguments.output.stat().st_size:,} bytes")


def _merge(arguments) -> None:
    from c3lite.ablation.store import Store

    store = Store(arguments.store)
    for source in arguments.sources:
        if not source.exists():
            raise ValueError(f"there is no file or store {source}")
        added, known = store.merge(source)
        print(f"{source}: {added} fits added, {known} were there already")


def _status(arguments) -> None:
    from c3lite.ablation.jobs import duration
    from c3lite.ablation.store import NUMERICS

    store = _existing(arguments.store)
    fits = {record.key: record for record in store.records()}
    current = {k: r for k, r in fits.items() if r.numerics == NUMERICS}
    failed = sum(r.error is not None for r in current.values())
    print(f"{store.folder}: {len(current)} fits" + (f", {failed} of them failed" * (failed > 0)))
    others = collections.Counter(r.numerics for r in fits.values() if r.numerics != NUMERICS)
    for version, n in sorted(others.items()):
        print(f"{n} fits of numerics version {version} are kept and not used (this is version "
              f"{NUMERICS})")
    if under_way := len(store.checkpoints()):
        print(f"{under_way} batches have a checkpoint: under way, or to be gone on with")
    timed = [r for r in current.values() if r.error is None and r.steps]
    work = sum(r.steps * r.pixels for r in timed)
    speed = sum(r.seconds for r in timed) / work if work else None
    for label, costs in store.plans().items():
        left = [cost for key, cost in costs.items() if key not in current]
        line = f"{label}: {len(costs) - len(left)} of {len(costs)} fits done"
        if left:
            line += ", " + (f"about {duration(speed * sum(left))} left at the speed so far"
                            if speed else "no fit to tell the time left by")
        print(line)


if __name__ == "__main__":
    sys.exit(main())
