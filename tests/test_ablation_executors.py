"""Worker processes: who does which fit, what becomes of the dead, and what is said to bad options.

tests/slurm does the same over a real Slurm.
"""

import collections
import dataclasses
import functools
import re
import sys
import threading
import time

import psutil
import pytest

import c3lite as c3
from c3lite.ablation import Row, Store, executors, study, sweep, worker
from c3lite.ablation.store import NUMERICS, Record
from c3lite.ablation.sweep import executor_of, plan
from tests.small import SMALL, killed_in_a_fit, pictures

WEIGHTS = (1e-3, 4e-3)
ROWS = [Row("base", (SMALL,))]


@pytest.fixture
def place(tmp_path):
    place = worker.Workplace(Store(tmp_path))
    place.make()
    return place


def local_sweep(store, images, rd_weights=WEIGHTS, config=SMALL, **options):
    return sweep([Row("base", (config,))], images, rd_weights, store=store, batch=1,
                 executor={"local": options})


def finished(place):
    return collections.Counter(re.findall(
        r"finished (\w+)", "".join(log.read_text() for log in place.logs.glob("*.log"))))


# Claims ------------------------------------------------------------------------------------------


def test_a_claim_is_kept_while_its_worker_lives(place):
    with worker.Heart(place, "a"), worker.Heart(place, "b"):
        assert place.claim("fit", "a") == 1
        assert place.claim("fit", "b") == 0
        assert place.claim("fit", "a") == 1  # its own, as after a requeue
        assert place.claimed("fit") and not place.claimed("fit", besides="a")
        assert place.claim("other", "b") == 1
        place.release("fit", 1)
        assert not place.claimed("fit")
        assert place.claim("fit", "b") == 1


def test_of_many_who_want_a_dead_workers_fit_one_gets_it(place):
    names = [f"worker{i}" for i in range(16)]
    place.claim("fit", "dead")
    hearts = [worker.Heart(place, name) for name in names]
    for heart in hearts:
        heart.beat()
    start, got = threading.Barrier(len(names)), {}

    def take(name):
        start.wait()
        got[name] = place.claim("fit", name)

    threads = [threading.Thread(target=take, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got.values()) == [0] * 15 + [2]
    winner = max(got, key=got.get)
    assert place.owner("fit") == (2, winner)
    place.release("fit", 2)
    assert not list(place.claims.iterdir())


def test_a_silent_worker_is_dead(place, monkeypatch):
    with worker.Heart(place, "a"):
        place.claim("fit", "a")
        assert place.alive("a")
        monkeypatch.setattr(worker, "SECONDS_SILENT", 0.0)
        assert not place.alive("a") and not place.claimed("fit")
    assert not place.alive("nobody")


def test_fits_that_somebody_else_does_are_waited_for(tmp_path, place, monkeypatch):
    """As after a kernel's death, when the jobs that it had submitted go on."""
    monkeypatch.setattr(executors._Local, "start", lambda *_: pytest.fail("a worker was started"))
    images = pictures(1)
    jobs = [job for job, _ in plan(ROWS, images, WEIGHTS, [0])]
    with worker.Heart(place, "orphan"):
        for job in jobs:
            place.claim(job.key, "orphan")
        results = local_sweep(tmp_path, images, workers=1)
        threading.Timer(0.5, lambda: [Store(tmp_path).add(made_up(job)) for job in jobs]).start()
        assert {r.record.key for r in results} == {job.key for job in jobs}


def made_up(job):
    """A stored fit that nobody made."""
    return Record(job.key, NUMERICS, {"rd_weight": 1e-3}, job.image, job.image_sha256, job.shape,
                  job.seed, {"latents": 1.0}, 30.0, 0.1, 12, 0.5, 1, "none", {}, "", {})


# Worker processes --------------------------------------------------------------------------------


def worker_processes(place):
    """Worker processes of this test's store by name."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "c3lite.ablation.worker" in command and str(place.folder) in command[-3]:
            found[command[-2]] = process
    return found


def test_a_worker_gives_what_this_process_gives(tmp_path, place):
    images = pictures(1)
    jobs = [job for job, _ in plan(ROWS, images, WEIGHTS, [0])]
    here, = sweep(ROWS, images, WEIGHTS[:1], store=tmp_path / "here", batch=1, progress=False)
    store = Store(tmp_path)
    store.keep_image(jobs[0].image_sha256, images["wave0"])
    task = place.save_task("task", [[job] for job in jobs], devices=2)
    assert worker.work(task, "a") == 2  # by two processes, as in a Slurm job with two GPUs
    assert worker.work(place.save_task("again", [jobs], devices=1), "b") == 0  # all is there
    assert not list(place.claims.iterdir()) and not list(place.workers.iterdir())
    there = store.get(here.record.key)
    timeless = functools.partial(dataclasses.replace, seconds=0.0, date="")
    assert timeless(there) == timeless(here.record)


def test_a_killed_worker(tmp_path, place, capsys):
    results, killed = [], None
    for result in local_sweep(tmp_path, pictures(2), config=c3.edit(SMALL, steps=1500), workers=2):
        results.append(result)
        until = time.monotonic() + 60
        while killed is None and time.monotonic() < until:
            for name, process in worker_processes(place).items():
                if killed_in_a_fit(process, place, Store(tmp_path), name):
                    killed = name
                    break
    assert killed is not None
    keys = {r.record.key for r in results}
    assert len(results) == len(keys) == 4
    assert {r.key for r in Store(tmp_path).records()} == keys
    assert finished(place) == dict.fromkeys(keys, 1)
    assert not list(place.claims.iterdir()) and not worker_processes(place)
    said = capsys.readouterr().out
    assert f"the worker {killed} died" in said and "[4/4]" in said
    log = (place.logs / f"{killed}.log").read_text()
    assert log.count("fits, first") == log.count("finished") + 1


def test_a_fit_that_ends_worker_after_worker(tmp_path, place, monkeypatch):
    monkeypatch.setattr(executors, "TRIES", 1)
    images = pictures(2)
    results = local_sweep(tmp_path, images, WEIGHTS[:1], workers=1)
    digest = plan(ROWS, images, WEIGHTS, [0])[-1][0].image_sha256
    (tmp_path / "images" / f"{digest}.npy").unlink()
    landed = []
    with pytest.raises(executors.ExecutorError, match="1 fits are given up") as error:
        landed.extend(results)
    assert [r.image for r in landed] == ["wave0"]
    assert "base on wave1" in str(error.value)
    assert "no such image" in str(error.value)  # the log's last line


# Bad options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("executor", "words"), [
    ("cluster", "no executor 'cluster'"), ({"slurm": {"patition": "gpu"}}, "partition"),
    ({"local": {"gpus": 1}}, "it has workers"), ({"process": {"workers": 2}}, "it has none"),
    ({"local": {}, "slurm": {}}, "one executor")])
def test_unknown_executors_and_options_are_refused(executor, words):
    with pytest.raises(ValueError, match=words):
        executor_of(executor)


def test_a_notebook_may_give_options():
    assert study.is_executor({"slurm": {"partition": "gpu"}}) and study.is_executor("local")
    assert not any(map(study.is_executor, ("cluster", {"slurm": "gpu"}, {}, {"x": {}}, None)))


def test_without_slurm(tmp_path, monkeypatch):
    def start(**options):
        next(sweep(ROWS, pictures(1), WEIGHTS, store=tmp_path, batch=1, progress=False,
                   executor={"slurm": options}))

    with pytest.raises(ValueError, match="fits_per_job must be at least 1"):
        start(fits_per_job=0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(executors.ExecutorError, match="login node"):
        start()
    for name in ("sbatch", "srun", "squeue"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(executors.ExecutorError, match="pip install"):
        start()


def test_slurm_jobs_share_a_compiled_program():
    rows = [Row("base", (SMALL,)), Row("relu", (c3.edit(SMALL, activation="relu"),))]
    groups = [[job] for job, _ in plan(rows, pictures(3), WEIGHTS, [0])]
    pool = executors._Slurm.__new__(executors._Slurm)  # without a cluster
    pool.fits_per_job = 4
    tasks = pool.tasks(groups)
    assert sorted(map(len, tasks)) == [2, 2, 4, 4]
    assert all(len({job.row for group in task for job in group}) == 1 for task in tasks)
    assert sorted(job.key for task in tasks for group in task for job in group) == sorted(
        job.key for group in groups for job in group)
