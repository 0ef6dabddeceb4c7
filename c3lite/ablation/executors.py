"""Where a sweep's fits run: worker processes on this machine, or jobs of a Slurm cluster.

One loop serves both: hand out tasks, look into the store for what has landed, and hand out again
what a worker that died has left. Workers decide among themselves, by claims, who does which fit
(`c3lite.ablation.worker`), so that the loop may be killed and started again, and may run twice.
"""

from __future__ import annotations

import abc
import collections
import contextlib
import getpass
import math
import os
import pickle
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from c3lite.ablation import worker
from c3lite.ablation.store import Record, Store
from c3lite.ablation.sweep import SECONDS_BETWEEN_LINES, Job, Progress, grouped, in_process

TRIES = 3
"""A batch of fits during which so many workers died is given up."""

SECONDS_TO_END = 10.0
"""A worker process that has nothing left to do gets so long to end by itself."""

LOG_LINES = 12
"""So many last lines of a dead worker's log are shown."""

Group = Sequence[Job]
"""Jobs that run as one batch."""


class ExecutorError(RuntimeError):
    """Workers that cannot be started, or fits during which worker after worker died."""


class _Pool(abc.ABC):
    """Workers of one kind. A worker is known by its name."""

    seconds_between_looks: float
    """How often to look into the store."""
    shared: bool
    """Whether workers are given one list that they share, or each a list of its own."""

    @abc.abstractmethod
    def tasks(self, groups: Sequence[Group]) -> list[list[Group]]:
        """Split groups of jobs into what each of several workers gets."""

    @abc.abstractmethod
    def room(self) -> int:
        """How many more workers may be started now."""

    @abc.abstractmethod
    def start(self, groups: Sequence[Group]) -> str:
        """Start a worker and return its name. Raises `ExecutorError`."""

    @abc.abstractmethod
    def ended(self) -> dict[str, tuple[bool, Path]]:
        """Workers that have ended since the last call: whether by themselves, and their logs."""

    @abc.abstractmethod
    def stop(self, done: bool) -> None:
        """End all workers; when the sweep is done, those with nothing left to do end anyway."""

    @abc.abstractmethod
    def __str__(self) -> str:
        """What is at work, for a line of progress."""


class _Local(_Pool):
    """Processes of this machine, which take their fits from one list."""

    seconds_between_looks = 0.5
    shared = True

    def __init__(self, store: Store, count: int):
        self.place, self.count = worker.Workplace(store), count
        self.gpus = len(worker.visible_gpus())
        self.slots: dict[int, tuple[str, subprocess.Popen]] = {}

    def tasks(self, groups):
        return [list(groups)] * min(self.count, len(groups))

    def room(self):
        return self.count - len(self.slots)

    def start(self, groups):
        slot = next(i for i in range(self.count) if i not in self.slots)
        name = f"local-{uuid.uuid4().hex[:8]}"
        task = self.place.save_task(name, groups, devices=1)
        device = slot % self.gpus if self.gpus else None
        with open(self.place.logs / f"{name}.log", "wb") as log:
            self.slots[slot] = name, worker.start(task, name, device, log)
        return name

    def ended(self):
        over = [slot for slot, (_, process) in self.slots.items() if process.poll() is not None]
        return {name: (process.returncode == 0, self.place.logs / f"{name}.log")
                for name, process in map(self.slots.pop, over)}

    def stop(self, done):
        processes = [process for _, process in self.slots.values()]
        until = time.monotonic() + (SECONDS_TO_END if done else 0)
        while time.monotonic() < until and any(process.poll() is None for process in processes):
            time.sleep(0.05)
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:  # in the middle of a compilation
                process.kill()
                process.wait()
        for name, _ in self.slots.values():
            self.place.forget(name)

    def __str__(self):
        return f"workers: {len(self.slots)}"


class _Slurm(_Pool):
    """Jobs of a Slurm cluster, each with its own list of fits that share a compiled program."""

    seconds_between_looks = 2.0
    seconds_between_queries = 10.0
    """Slurm's controller serves many; it is asked no more often than this."""
    shared = False

    def __init__(self, store: Store, parameters: Mapping[str, Any], gpus: int, fits_per_job: int,
                 jobs: int):
        if missing := [name for name in ("sbatch", "srun", "squeue") if not shutil.which(name)]:
            raise ExecutorError(f"the executor 'slurm' needs {', '.join(missing)}, not found here: "
                                "run the sweep on a login node of the cluster")
        try:
            import submitit
        except ImportError as error:
            raise ExecutorError("the executor 'slurm' needs the package submitit: "
                                "pip install 'c3lite[slurm]'") from error
        self.place = worker.Workplace(store)
        self.gpus, self.fits_per_job, self.jobs = gpus, fits_per_job, jobs
        # Reaching the time limit, and being preempted, are no failures: it is queued again
        self.executor = submitit.SlurmExecutor(self.place.logs / "%j", max_num_timeout=1000)
        try:
            self.executor.update_parameters(**parameters)
        except ValueError as error:
            raise ValueError(f"sbatch: {error}") from error
        self.running: dict[str, Any] = {}
        self._asked_at = -float("inf")

    def tasks(self, groups):
        if not groups:
            return []
        by_first = {group[0].key: group for group in groups}
        size = max(1, self.fits_per_job // max(map(len, groups)))
        return [[by_first[job.key] for job in alike]  # of one compiled program
                for alike in grouped((group[0] for group in groups), size)]

    def room(self):
        return self.jobs - len(self.running)

    def start(self, groups):
        import submitit

        task = self.place.save_task(uuid.uuid4().hex[:8], groups, devices=max(self.gpus, 1))
        try:
            job = self.executor.submit(SlurmWork(str(task)))
        except (submitit.core.utils.FailedJobError, OSError, subprocess.SubprocessError) as error:
            text = _last_lines(str(error))
            if self.gpus and "gres" in text:
                text += f" (a job asks for {self.gpus} GPU; on nodes without, set gpus: 0)"
            raise ExecutorError(f"sbatch refuses a job: {text}") from error
        name = f"slurm-{job.job_id}"
        self.running[name] = job
        return name

    def ended(self):
        over = {name for name, job in self.running.items() if job.paths.result_pickle.exists()}
        if self.running and time.monotonic() - self._asked_at > self.seconds_between_queries:
            queued = _queued()
            self._asked_at = time.monotonic()
            if queued is not None:
                over |= {name for name in self.running
                         if name.removeprefix("slurm-") not in queued}
        jobs = {name: self.running.pop(name) for name in over}
        return {name: (_succeeded(job), job.paths.stdout) for name, job in jobs.items()}

    def stop(self, done):
        if self.running:
            jobs = [job.job_id for job in self.running.values()]
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # they end by themselves
                subprocess.run(["scancel", *(["--state", "PENDING"] if done else []), *jobs],
                               stderr=subprocess.DEVNULL, timeout=60)

    def __str__(self):
        waiting = sum(not self.place.alive(name) for name in self.running)
        return f"Slurm jobs: {len(self.running) - waiting} running, {waiting} in the queue"


class SlurmWork:
    """What a Slurm job runs. submitit queues it again when it is preempted or out of time."""

    def __init__(self, task: str):
        self.task = task

    def __call__(self) -> int:
        return worker.work(self.task, f"slurm-{os.environ['SLURM_JOB_ID']}")

    def checkpoint(self):
        """Called at the signal: what was done is in the store and in the fits' checkpoints."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _succeeded(job) -> bool:
    """Whether a submitit job has ended, and not by an error."""
    try:
        return pickle.loads(job.paths.result_pickle.read_bytes())[0] == "success"
    except (OSError, EOFError, pickle.UnpicklingError):
        return False  # killed


def _queued() -> set[str] | None:
    """Numbers of this user's jobs that have not ended; None where Slurm does not answer."""
    # not sacct, which submitit asks: many a small cluster keeps no accounts
    try:
        answer = subprocess.run(["squeue", "--noheader", "--user", getpass.getuser(),
                                 "--format", "%A"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return set(answer.stdout.split()) if answer.returncode == 0 else None


def local(
    groups: Sequence[Group], store: Store, images: Mapping, say: Progress,
    *, workers: int | None = None,
) -> Iterator[tuple[Group, list[Record]]]:
    """The executor of long-lived worker processes on this machine, one for each GPU.

    workers: how many, where not one a GPU. Without a GPU, and without `workers`, the fits run in
        this process, which is as fast as several.
    """
    count = len(worker.visible_gpus()) if workers is None else workers
    if not count:
        return in_process(groups, store, images, say)
    return _run(groups, store, say, _Local(store, count))


def slurm(
    groups: Sequence[Group], store: Store, images: Mapping, say: Progress,
    *, partition: str | None = None, gpus: int = 1, time_limit_min: int = 240,
    fits_per_job: int = 32, jobs: int = 16, sbatch: Mapping[str, Any] | None = None,
) -> Iterator[tuple[Group, list[Record]]]:
    """The executor of a Slurm cluster: jobs of many fits each, submitted with submitit.

    The sweep runs where `sbatch` does, on a login node. Its store, the Python environment and the
    working directory must be on file systems that the compute nodes share. It cannot see their
    devices, so give the sweep the size of `batch` that their memory holds.

    partition: of the cluster; its default otherwise.
    gpus: per job, each with fits of its own; 0 for CPU nodes.
    time_limit_min: of a job. One that reaches it is queued again and goes on from checkpoints.
    fits_per_job: at most; they share a compiled program.
    jobs: at most so many in the queue or running at once.
    sbatch: further parameters by submitit's names, for example {"account": "me",
        "mem": "16GB", "cpus_per_task": 8}.

    Raises `ValueError` for bad options, `ExecutorError` where there is no Slurm or it refuses.
    """
    for what, value in (("time_limit_min", time_limit_min), ("fits_per_job", fits_per_job),
                        ("jobs", jobs)):
        if value < 1:
            raise ValueError(f"{what} must be at least 1, got {value}")
    parameters = {
        "job_name": "c3lite", "partition": partition, "time": time_limit_min,
        "gpus_per_node": gpus or None, "signal_delay_s": min(90, 15 * time_limit_min),
        "stderr_to_stdout": True, "additional_parameters": {"requeue": True}, **(sbatch or {})}
    return _run(groups, store, say, _Slurm(store, parameters, gpus, fits_per_job, jobs))


def _run(
    groups: Sequence[Group], store: Store, say: Progress, pool: _Pool
) -> Iterator[tuple[Group, list[Record]]]:
    """Have workers fit groups of jobs, and yield the results as they land in the store.

    A worker's death costs what its fits' checkpoints do not hold; its fits go to another, `TRIES`
    times. When the generator is closed or interrupted, the workers are ended; nothing that was
    stored is lost. Raises `ExecutorError` at the end, when all else is done, for fits given up.
    """
    loop = _Loop(groups, store, pool, say)
    done = False
    try:
        while loop.open:
            yield from loop.landed()
            loop.bury()
            loop.hand_out()
            loop.speak()
            if loop.open:
                time.sleep(pool.seconds_between_looks)
        done = True
    finally:
        pool.stop(done)
    if loop.given_up:
        raise ExecutorError(loop.obituary())


class _Loop:
    """The state of `_run`. Groups are known by their number."""

    def __init__(self, groups, store, pool, say):
        self.groups, self.store, self.pool, self.say = list(groups), store, pool, say
        self.place = worker.Workplace(store)
        self.place.make()
        self.missing = {job.key: (i, job) for i, group in enumerate(groups) for job in group}
        self.open = set(range(len(self.groups)))
        self.tasks: dict[str, set[int]] = {}
        self.tries = collections.Counter()
        self.given_up: dict[int, str] = {}
        self.refused_at = -float("inf")

    def landed(self) -> Iterator[tuple[Group, list[Record]]]:
        """The results that have come since the last call."""
        here = {path.stem for path in self.store.fits.glob("*.json")}
        for key in [key for key in self.missing if key in here]:
            found = self.store.get(key)
            if found is None:
                continue
            i, job = self.missing.pop(key)
            if not any(other.key in self.missing for other in self.groups[i]):
                self.open.discard(i)
            yield [job], [found]

    def bury(self) -> None:
        """Take note of workers that have ended, and of what they leave undone."""
        for name, (well, log) in self.pool.ended().items():
            doing = self.place.doing(name)
            self.place.forget(name)
            left = {i for i in self.tasks.pop(name) & self.open if not self._stored(i)}
            if well or not left:
                continue  # others are at the rest, or nothing is left
            # only what it was doing can have killed it, where that is known
            blamed = {i for i in left if any(job.key in doing for job in self.groups[i])} or left
            self.tries.update(blamed)
            lost = {i for i in blamed if self.tries[i] >= TRIES}
            for i in lost:
                self.given_up[i] = f"the log of {name} ends with\n{_tail(log)}"
            self.open -= lost
            self.say.line(f"the worker {name} died; of its batches {len(left - lost)} go to "
                          f"another and {len(lost)} are given up")

    def hand_out(self) -> None:
        """Start workers for what nobody does. Raises `ExecutorError` when the first is refused."""
        if time.monotonic() - self.refused_at < SECONDS_BETWEEN_LINES:
            return
        taken = set() if self.pool.shared else set().union(*self.tasks.values())
        free = [i for i in sorted(self.open - taken, key=lambda i: (self.tries[i], i))
                # in this order: a claim is released after the fit was stored
                if not self._claimed(i) and not self._stored(i)] if self.pool.room() else []
        numbers = {self.groups[i][0].key: i for i in free}
        for task in self.pool.tasks([self.groups[i] for i in free]):
            if not self.pool.room():
                return
            try:
                name = self.pool.start(task)
            except ExecutorError as error:
                if not self.tasks:
                    raise
                # a limit of jobs, say: those that there are will go on, and make room
                self.refused_at = time.monotonic()
                self.say.line(f"no further worker for now: {error}")
                return
            self.tasks[name] = {numbers[group[0].key] for group in task}

    def speak(self) -> None:
        """A line of progress, where nothing has landed for long."""
        if time.monotonic() - self.say.spoke < SECONDS_BETWEEN_LINES:
            return
        doing = collections.ChainMap(*map(self.place.doing, self.tasks))
        work = sum((float(doing[key] * math.prod(self.missing[key][1].shape))
                    for key in doing if key in self.missing), 0.0)
        self.say.line(f"  {self.pool}, {len(self.missing)} fits missing; {self.say.left(work)}")

    def obituary(self) -> str:
        """Which fits were given up, and why."""
        i, words = next(iter(self.given_up.items()))
        job = self.groups[i][0]
        fits = sum(job.key in self.missing for i in self.given_up for job in self.groups[i])
        return (f"{fits} fits are given up, because {TRIES} workers died during each; all others "
                f"are stored. The first is {job.row} on {job.image}; {words}")

    def _claimed(self, i: int) -> bool:
        return any(job.key in self.missing and self.place.claimed(job.key)
                   for job in self.groups[i])

    def _stored(self, i: int) -> bool:
        return all(self.store.get(job.key) is not None for job in self.groups[i])


def _tail(log: Path | None) -> str:
    if log is None or not log.exists():
        return "nothing: there is no log"
    return _last_lines(log.read_text("utf-8", "replace"))


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-LOG_LINES:])
