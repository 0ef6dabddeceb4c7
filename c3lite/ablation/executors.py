"""Where the fits of a sweep run: in this process, in processes of this machine, or on a cluster.
Processes and machines share the store's folder and nothing else."""

import collections
import concurrent.futures
import contextlib
import functools
import getpass
import inspect
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from c3lite.ablation import devices
from c3lite.ablation.images import Images, Pictures
from c3lite.ablation.jobs import Group, Progress, fit_group, grouped, keep, run_group, run_missing
from c3lite.ablation.rows import check_name
from c3lite.ablation.store import Record, Store
from c3lite.arrays.blocks import on_cpu

TRIES = 3  # a group of fits that so often ended its process, or its Slurm job, is given up
SECONDS_BETWEEN_LOOKS = 2.0  # how often to look into the store for fits of a cluster's jobs
SECONDS_BETWEEN_QUERIES = 10.0  # of Slurm's controller, which serves many
LOG_LINES = 12  # so many last lines are shown of the log of a Slurm job that failed
_STARTING = threading.Lock()  # while processes start, which takes the environment as it then is

Finished = Iterator[tuple[Group, list[Record]]]
Executor = Callable[[Sequence[Group], Store, Images, Progress], Finished]
"""Runs groups of jobs, and yields them once stored. Closed early, it ends all it started."""


class ExecutorError(RuntimeError):
    """Slurm is not there or refuses, or fits ended every process that tried them."""


def in_process(groups: Sequence[Group], store: Store, images: Images,
               progress: Progress) -> Finished:
    """The executor that runs one group after another here. An error ends the sweep at once."""
    if not on_cpu():
        yield from _overlapped(groups, store, images, progress)
        return
    for group in groups:
        yield group, run_group(group, store, images, progress.during(group))


def _overlapped(groups: Sequence[Group], store: Store, images: Images,
                progress: Progress) -> Finished:
    """While the GPU fits a batch, the CPU's cores write the files of the one before."""
    with concurrent.futures.ThreadPoolExecutor(1) as keeper, _encoders() as encoders:
        before = None
        for group in groups:
            outcomes = fit_group(group, store, images, progress.during(group))
            if before is not None:
                yield before, records.result()
            before, records = group, keeper.submit(keep, outcomes, store, encoders.map)
        yield before, records.result()


def _encoders() -> concurrent.futures.ProcessPoolExecutor:
    """Processes of one thread each that leave the GPU alone."""
    pool = _spawning(devices.cores())
    with _starting(devices.one_thread() | {"JAX_PLATFORMS": "cpu"}):
        for _ in range(devices.cores()):
            pool.submit(int)  # whatever is submitted while none is idle starts a process
    return pool


def _spawning(count: int) -> concurrent.futures.ProcessPoolExecutor:
    return concurrent.futures.ProcessPoolExecutor(
        count, multiprocessing.get_context("spawn"), _set_up_worker)


_own_encoders = functools.cache(_encoders)
"""Those of a worker process, which end with it."""


def _run_missing_on_gpu(group: Group, folder: str | os.PathLike, arrays: Pictures) -> list[Record]:
    """`run_missing`, whose files several cores write."""
    return run_missing(group, folder, arrays, _own_encoders().map)


def local(groups: Sequence[Group], store: Store, images: Images, progress: Progress, *,
          workers: int | None = None) -> Finished:
    """The executor of this machine: a process a GPU, or processes of one thread on a CPU's cores,
    `workers` of them; without, what takes a single process runs in this one. Each group is tried
    `TRIES` times. Raises `ExecutorError` for what failed, at the end."""
    gpus = [] if on_cpu() else devices.visible_gpus()
    environments = _environments(groups, gpus, workers)
    if len(environments) == 1 and workers is None:
        return in_process(groups, store, images, progress)
    return _in_processes(environments, groups, store, _arrays(groups, images), progress)


def _arrays(groups: Sequence[Group], images: Images) -> Pictures:
    """The images that another process cannot load by name."""
    return {job.image: images[job.image] for group in groups for job in group
            if not images.can_be_loaded(job.image)}


def _environments(groups: Sequence[Group], gpus: Sequence[str],
                  workers: int | None = None) -> list[dict[str, str]]:
    """What the environment of each worker process sets: its GPU, or that it takes one thread."""
    largest = max(groups, key=lambda group: math.prod(group[0].shape))
    count = workers or len(gpus) or devices.cpu_workers(largest[0].shape, len(largest))
    return [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus else devices.one_thread()
            for i in range(min(count, len(groups)))]


def _in_processes(environments: Sequence[Mapping[str, str]], groups: Sequence[Group], store: Store,
                  arrays: Pictures, progress: Progress) -> Finished:
    """Have a process in each environment run one group after another."""
    waiting, tries = collections.deque(groups), collections.Counter()
    run = _run_missing_on_gpu if "CUDA_VISIBLE_DEVICES" in environments[0] else run_missing
    running: dict[concurrent.futures.Future, tuple[Group, _Worker]] = {}
    given_up: list[tuple[Group, Exception]] = []
    with contextlib.ExitStack() as stack:
        idle = [_Worker(environment) for environment in environments]
        for worker in idle:
            stack.callback(worker.end)
        while waiting or running:
            while waiting and idle:
                group, worker = waiting.popleft(), idle.pop()
                own = {job.image: arrays[job.image] for job in group if job.image in arrays}
                running[worker.submit(run, group, store.folder, own)] = group, worker
            finished, _ = concurrent.futures.wait(
                running, timeout=1.0, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in finished:
                group, worker = running.pop(future)
                idle.append(worker)
                try:
                    records = future.result()
                except Exception as error:
                    if isinstance(error, BrokenProcessPool):
                        worker.end()
                        error = ExecutorError("its process was killed")
                    tries[group[0].key] += 1
                    again = tries[group[0].key] < TRIES
                    progress.line(f"{group[0].row}, {group[0].image}: {error}; "
                                  + ("tried again" if again else "given up"))
                    waiting.append(group) if again else given_up.append((group, error))
                else:
                    yield group, records
            progress.elsewhere(f"processes at work: {len(running)}",
                               (group for group, _ in running.values()), store)
    if given_up:
        group, error = given_up[0]
        raise ExecutorError(
            f"{sum(len(group) for group, _ in given_up)} fits were given up after {TRIES} tries; "
            f"all others are stored. The first is {group[0].row} on {group[0].image}: {error}"
        ) from error


class _Worker:
    """A process with an environment of its own, started when it is given work."""

    def __init__(self, environment: Mapping[str, str]):
        self.environment = environment
        self.pool: concurrent.futures.ProcessPoolExecutor | None = None

    def end(self) -> None:
        """End the process; more work starts another."""
        if self.pool is not None:
            processes = list(self.pool._processes.values())  # nothing public ends it
            self.pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()  # whatever it is at has a checkpoint
                process.join()
            self.pool = None

    def submit(self, call: Callable, *arguments) -> concurrent.futures.Future:
        """Have the process call a function."""
        self.pool = self.pool or _spawning(1)
        try:
            with contextlib.nullcontext() if self.pool._processes else _starting(self.environment):
                return self.pool.submit(call, *arguments)
        except BrokenProcessPool:  # killed when it had nothing to do
            self.end()
            return self.submit(call, *arguments)


@contextlib.contextmanager
def _starting(environment: Mapping[str, str]) -> Iterator[None]:
    """Processes that start here have this environment, and do not run the user's script again."""
    with _STARTING:
        before, main = dict(os.environ), sys.modules["__main__"]
        os.environ.update(environment)
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
            os.environ.clear()
            os.environ.update(before)


def _set_up_worker() -> None:
    """What a worker process does first."""
    # the stop button of a notebook signals the kernel's whole group; the kernel ends its workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent():
        multiprocessing.parent_process().join()
        os._exit(1)  # whoever wanted the results is gone

    threading.Thread(target=end_with_parent, daemon=True).start()


def slurm(groups: Sequence[Group], store: Store, images: Images, progress: Progress,
          by_node: bool = False, *, partition: str | None = None, gpus: int = 1,
          time_limit_min: int = 240, fits_per_job: int = 32, jobs: int = 16,
          sbatch: Mapping[str, Any] | None = None) -> Finished:
    """The executor of a Slurm cluster: an array of jobs of many fits each, through submitit.

    The sweep runs on a login node, whose store, Python and working directory the others share.

    by_node: each node makes batches of as many fits as its own GPU holds.
    gpus: per job, each with fits of its own; 0 for CPU nodes.
    time_limit_min: of a job. One that reaches it is queued again and goes on from checkpoints.
    fits_per_job: at most; they share a compiled program.
    jobs: at most so many run at once.
    sbatch: further parameters by submitit's names: {"account": "me", "cpus_per_task": 8}.

    Raises `ValueError` for bad options, `ExecutorError` without Slurm, or if it refuses or fits are
    lost `TRIES` times.
    """
    counts = {"time_limit_min": time_limit_min, "fits_per_job": fits_per_job, "jobs": jobs}
    for what, value in counts.items():
        if value < 1:
            raise ValueError(f"{what} must be at least 1, got {value}")
    executor = _submitit(store.folder.absolute() / "work" / "logs", {
        "job_name": "c3lite", "partition": partition, "time": time_limit_min,
        "gpus_per_node": gpus or None, "signal_delay_s": min(90, 15 * time_limit_min),
        "array_parallelism": jobs, "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True}, **(sbatch or {})})
    missing = {job.key: job for group in groups for job in group}
    for attempt in range(TRIES):
        if attempt:
            progress.line(f"{len(missing)} fits are missing although their Slurm jobs have ended: "
                          "submitted again")
        left = [group for group in groups if any(job.key in missing for job in group)]
        lists = _lists(left, fits_per_job)
        submitted = _submit(executor, SlurmWork(store, gpus, by_node), lists,
                            [_arrays(each, images) for each in lists])
        queued = {job.job_id for job in submitted}
        try:
            for here in _until_over(queued, store):
                for key in here & missing.keys():
                    if (found := store.get(key)) is not None:
                        yield [missing.pop(key)], [found]
                if not missing:
                    return
                progress.elsewhere(f"Slurm jobs: {len(submitted)}", left, store)
        finally:  # jobs that run although nothing is missing end by themselves
            devices.answer("scancel", *([] if missing else ["--state", "PENDING"]), *queued)
    job = next(iter(missing.values()))
    log = next(work.paths.stdout for each, work in zip(lists, submitted, strict=True)
               if any(job in group for group in each))
    raise ExecutorError(
        f"{len(missing)} fits are still missing after {TRIES} submissions; all others are stored. "
        f"The first is {job.row} on {job.image}; " + (
            f"the log {log} ends with\n" + _last_lines(log.read_text("utf-8", "replace"))
            if log.exists() else "there is no log of its job"))


def _submitit(folder: Path, parameters: Mapping[str, Any]):
    """A submitit executor. Raises as `slurm`."""
    if missing := [name for name in ("sbatch", "srun", "squeue") if not shutil.which(name)]:
        raise ExecutorError(f"the executor 'slurm' needs {', '.join(missing)}, not found here: "
                            "run the sweep on a login node of the cluster")
    try:
        import submitit
    except ImportError as error:
        raise ExecutorError("the executor 'slurm' needs the package submitit: "
                            "pip install 'c3lite[slurm]'") from error
    # Reaching the time limit, and being preempted, are no failures: it is queued again
    executor = submitit.SlurmExecutor(folder / "%j", max_num_timeout=1000)
    try:
        executor.update_parameters(**parameters)
    except ValueError as error:
        raise ValueError(f"sbatch: {error}") from error
    return executor


def _lists(groups: Sequence[Group], fits_per_job: int) -> list[list[Group]]:
    """The groups of each Slurm job, which share a compiled program."""
    by_first = {group[0].key: group for group in groups}
    size = max(1, fits_per_job // max(map(len, groups)))
    return [[by_first[job.key] for job in alike]
            for alike in grouped((group[0] for group in groups), size)]


def _submit(executor, work: "SlurmWork", *arguments: Sequence) -> list:
    """The submitit jobs, one for each item of `arguments`. Raises `ExecutorError`."""
    from submitit.core.utils import FailedJobError

    try:
        return executor.map_array(work, *arguments)
    except (FailedJobError, OSError, subprocess.SubprocessError) as error:
        text = _last_lines(str(error))
        if work.gpus and "gres" in text:
            text += f" (a job asks for {work.gpus} GPU; on nodes without, set gpus: 0)"
        raise ExecutorError(f"sbatch refuses a job: {text}") from error


def _until_over(jobs: set[str], store: Store) -> Iterator[set[str]]:
    """The names of all stored fits, every few seconds until no job is in Slurm's queue."""
    asked_at = time.monotonic()
    while jobs:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        if time.monotonic() - asked_at > SECONDS_BETWEEN_QUERIES:
            asked_at = time.monotonic()
            # not sacct, which submitit asks: many a small cluster keeps no accounts
            answer = devices.answer("squeue", "--noheader", "--array", "--user", getpass.getuser(),
                                    "--format", "%i")
            jobs = jobs if answer is None else jobs & set(answer.split())
        yield {path.stem for path in store.fits.glob("*.json")}  # after the queue


class SlurmWork:
    """What a Slurm job runs. submitit queues it again when it is preempted or out of time."""

    def __init__(self, store: Store, gpus: int, by_node: bool):
        self.folder, self.gpus, self.by_node = store.folder.absolute(), gpus, by_node

    def __call__(self, groups: Sequence[Group], arrays: Pictures) -> None:
        jobs = [job for group in groups for job in group]
        progress = Progress(sum(job.cost for job in jobs), len(jobs))
        if self.gpus and self.by_node:
            shape = max((job.shape for job in jobs), key=math.prod)
            groups = grouped(jobs, devices.batch_size(shape, devices.gpu_memory()))
        environments = _environments(groups, devices.visible_gpus() if self.gpus else [])
        for group, records in _in_processes(environments, groups, Store(self.folder), arrays,
                                            progress):
            progress.done(group, records)

    def checkpoint(self, groups: Sequence[Group], arrays: Pictures):
        """Called at the signal: what was done is in the store and in checkpoints."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, groups, arrays)


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-LOG_LINES:])


EXECUTORS: dict[str, Executor] = {"process": in_process, "local": local, "slurm": slurm}
"""By the names that a notebook gives."""


def executor_of(executor: str | Mapping[str, Mapping[str, Any]] | Executor) -> Executor:
    """An executor by its name in `EXECUTORS`, or {name: options of its function}. Raises
    `ValueError` for an unknown name or option."""
    if callable(executor):
        return executor
    executor = {executor: {}} if isinstance(executor, str) else executor
    if len(executor) != 1:
        raise ValueError(f"one executor with its options, not {dict(executor)!r}")
    (name, options), = executor.items()
    check_name("no executor", name, EXECUTORS)
    known = [p.name for p in inspect.signature(EXECUTORS[name]).parameters.values()
             if p.kind is p.KEYWORD_ONLY]
    for option in options:
        check_name(f"the executor {name} has no option", option, known)
    if name == "local":
        # what this process asks its GPU must not cost its workers most of the GPU's memory
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    return functools.partial(EXECUTORS[name], **options)
