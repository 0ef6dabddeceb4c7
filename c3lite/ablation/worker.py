"""A process that fits what a task lists and nobody else has claimed: what executors start.

    python -m c3lite.ablation.worker TASK NAME PARENT

Workers and the sweep that started them share a folder, the store, and nothing else, so that they
may run on machines that cannot reach each other. Beside the fits and images it holds, in `work/`,

    tasks/<name>.json      groups of jobs for one worker
    workers/<name>.json    written every few seconds by a living worker: what it is fitting
    claims/<fit>.<n>       names the worker that does a fit, or did until it died
    logs/                  what workers print

All of it may be deleted when nothing runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from c3lite.ablation.store import Store
from c3lite.ablation.sweep import Job, run_group
from c3lite.data.atomic import write_atomically
from c3lite.fitting.checkpoint import steps_done

SECONDS_BETWEEN_BEATS = 5.0
"""How often a worker says that it lives."""

SECONDS_SILENT = 45.0
"""A worker not heard of for so long is dead: others may take over what it claimed."""


class Workplace:
    """The part of a store's folder in which workers and sweeps leave each other word."""

    def __init__(self, store: Store):
        self.folder = store.folder.absolute() / "work"
        self.tasks, self.workers, self.claims, self.logs = (
            self.folder / part for part in ("tasks", "workers", "claims", "logs"))
        self._ahead, self._clock_set_at = 0.0, -float("inf")

    def make(self) -> None:
        """Make the folders."""
        for folder in (self.tasks, self.workers, self.claims, self.logs):
            folder.mkdir(parents=True, exist_ok=True)

    def save_task(self, name: str, groups: Sequence[Sequence[Job]], devices: int) -> Path:
        """Write a task: groups of jobs, each to be run as one batch, and a worker's devices."""
        path = self.tasks / f"{name}.json"
        task = {"devices": devices,
                "groups": [[dataclasses.asdict(job) for job in group] for group in groups]}
        write_atomically(path, lambda file: file.write(json.dumps(task).encode()))
        return path

    def seconds_silent(self, name: str) -> float:
        """Since a worker was last heard of; infinite for one that is gone.

        Both times are the file system's, because the clocks of two machines differ.
        """
        try:
            heard = (self.workers / f"{name}.json").stat().st_mtime
        except OSError:
            return float("inf")
        if time.monotonic() - self._clock_set_at > 1:
            # a file of its own: another thread may look at the clock at the same time
            with tempfile.NamedTemporaryFile(dir=self.workers, prefix=".clock-") as clock:
                self._ahead = os.stat(clock.name).st_mtime - time.time()
            self._clock_set_at = time.monotonic()
        return time.time() + self._ahead - heard

    def alive(self, name: str) -> bool:
        """Whether a worker was heard of lately."""
        return self.seconds_silent(name) < SECONDS_SILENT

    def forget(self, name: str) -> None:
        """A worker is known to be dead: nobody needs to wait until it counts as silent."""
        for path in (self.workers / f"{name}.json", *self.workers.glob(f"{name}-gpu*.json")):
            path.unlink(missing_ok=True)

    def doing(self, name: str) -> dict[str, int]:
        """The fits that a worker is at (or was, when it died), with their steps done."""
        found: dict[str, int] = {}
        for path in (self.workers / f"{name}.json", *self.workers.glob(f"{name}-gpu*.json")):
            with contextlib.suppress(OSError, ValueError):
                found |= json.loads(path.read_text())
        return found

    def owner(self, key: str) -> tuple[int, str | None]:
        """Number and worker of a fit's newest claim; (0, None) where there is none."""
        numbers = [int(path.suffix[1:]) for path in self.claims.glob(f"{key}.*")]
        if not numbers:
            return 0, None
        try:
            return max(numbers), (self.claims / f"{key}.{max(numbers)}").read_text()
        except OSError:  # released just now
            return 0, None

    def claimed(self, key: str, besides: str = "") -> bool:
        """Whether a living worker, other than the one named `besides`, is doing a fit."""
        owner = self.owner(key)[1]
        return owner is not None and owner != besides and self.alive(owner)

    def claim(self, key: str, name: str) -> int:
        """Claim a fit for a worker: the claim's number, or 0 where another, living, has it.

        A dead worker's claim is not removed but outnumbered: of many that try at once, the file
        system lets exactly one make the next number.
        """
        number, owner = self.owner(key)
        if owner == name:
            return number
        if owner is not None and self.alive(owner):
            return 0
        mine = self.claims / f".{name}"
        mine.write_text(name)
        try:
            os.link(mine, self.claims / f"{key}.{number + 1}")  # appears whole, or not at all
        except FileExistsError:
            return 0
        finally:
            mine.unlink()
        return number + 1

    def release(self, key: str, number: int) -> None:
        """Remove a claim, and those of the dead before it."""
        for n in range(1, number + 1):
            (self.claims / f"{key}.{n}").unlink(missing_ok=True)


class Heart:
    """A thread that writes what the worker is at, every few seconds."""

    def __init__(self, place: Workplace, name: str, parent: int | None = None):
        self.path = place.workers / f"{name}.json"
        self.parent = parent
        self.keys: list[str] = []
        self.step = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.beat()
        self._thread.start()
        return self

    def __exit__(self, error, *_):
        self._stop.set()
        self._thread.join()
        if error is None:  # else it tells which fits the error was in
            self.path.unlink(missing_ok=True)

    def beat(self) -> None:
        """Say that the worker lives."""
        text = json.dumps(dict.fromkeys(self.keys, self.step))
        write_atomically(self.path, lambda file: file.write(text.encode()))

    def _run(self):
        while not self._stop.wait(SECONDS_BETWEEN_BEATS):
            if self.parent is not None and os.getppid() != self.parent:
                self.path.unlink(missing_ok=True)
                os._exit(1)  # whoever started this worker is gone and waits for nothing
            with contextlib.suppress(OSError):  # a full disk is found out by the fit itself
                self.beat()


def work(task: str | os.PathLike, name: str, parent: int | None = None) -> int:
    """Fit what a task lists and nobody else does. Returns the number of fits done here.

    parent: the process that started this one, without which it ends.
    """
    task = Path(task)
    listed = json.loads(task.read_text())
    if listed["devices"] > 1:
        return _work_on(listed["devices"], task, name)
    store = Store(task.parents[2])
    place = Workplace(store)
    groups = [[Job(**job | {"shape": tuple(job["shape"])}) for job in group]
              for group in listed["groups"]]
    done = 0
    with Heart(place, name, parent) as heart:
        going = True
        while going:  # until a whole pass found nothing: the rest is done, or others are at it
            going = False
            for group in groups:
                with _claimed(place, store, group, name) as mine:
                    if mine:
                        going = True
                        done += len(mine)
                        _fit(store, mine, heart)
    return done


def _fit(store, jobs, heart):
    heart.keys, heart.step = [job.key for job in jobs], 0
    heart.beat()
    def callback(state):
        heart.step = int(state.step)

    done = steps_done(store.checkpoint(job.key for job in jobs))
    _say(f"{len(jobs)} fits, first {jobs[0].row}, {jobs[0].image}"
         + (f": from step {done} of a checkpoint" if done else ""))
    for found in run_group(jobs, store, callback=callback):
        _say(f"finished {found.key} {found.error or f'in {found.seconds:.1f} s'}")
    heart.keys = []


@contextlib.contextmanager
def _claimed(place, store, group, name) -> Iterator[list[Job]]:
    """Those jobs of a group that are now this worker's, and are not in the store."""
    numbers: dict[str, int] = {}
    mine: list[Job] = []
    try:
        for job in group:
            if store.path(job.key).exists() and store.get(job.key) is not None:
                continue
            numbers[job.key] = place.claim(job.key, name)
            if not numbers[job.key] and not mine:
                break  # another worker has begun with this group
            # claims are released after a fit is stored, so what is not here now is not done
            if numbers[job.key] and store.get(job.key) is None:
                mine.append(job)
        yield mine
    finally:
        for key, number in numbers.items():
            place.release(key, number)


def _work_on(devices: int, task: Path, name: str) -> int:
    """The work of a machine with several devices: a process for each, sharing the task."""
    listed = json.loads(task.read_text())
    store = Store(task.parents[2])
    missing = [job["key"] for group in listed["groups"] for job in group
               if not store.path(job["key"]).exists()]
    shared = task.with_name(f"{task.stem}-shared.json")
    text = json.dumps(listed | {"devices": 1})
    write_atomically(shared, lambda file: file.write(text.encode()))
    with Heart(Workplace(store), name):
        processes = [start(shared, f"{name}-gpu{device}", device) for device in range(devices)]
        try:
            codes = [process.wait() for process in processes]
        finally:
            for process in processes:
                process.kill()
        if any(codes):
            raise RuntimeError(f"the workers of {name} ended with {codes}")
    return sum(store.path(key).exists() for key in missing)


def start(task: Path, name: str, device: int | None = None, log=None) -> subprocess.Popen:
    """Start a worker process, on one GPU of those that are visible here."""
    environment = dict(os.environ)
    if device is not None:
        visible = visible_gpus()
        environment["CUDA_VISIBLE_DEVICES"] = visible[device] if visible else str(device)
    # A session of its own: the stop button of a notebook signals the kernel's whole group
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "c3lite.ablation.worker", str(task), name,
         str(os.getpid())],
        env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def visible_gpus() -> list[str]:
    """Names for CUDA_VISIBLE_DEVICES of the NVIDIA GPUs that this process may use.

    Asks `nvidia-smi`, because JAX, once asked, keeps memory on every GPU.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name and name != "-1"]
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True,
                                timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = listed.stdout.splitlines() if listed.returncode == 0 else []
    return [str(i) for i, line in enumerate(line for line in lines if line.startswith("GPU "))]


def _say(line: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), line, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that claims are released
    work(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends anyway
