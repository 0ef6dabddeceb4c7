"""Sweeps over a real Slurm of one node, with jobs that are killed and requeued under way.

`tests/tools/slurm_local.sh` starts it, and these tests stop it again unless it ran before.
"""

import collections
import contextlib
import functools
import os
import pathlib
import re
import shutil
import subprocess
import time

import psutil
import pytest

pytest.importorskip("submitit", reason="needs submitit: make extras EXTRAS=slurm")

import c3lite as c3
from c3lite.ablation import Row, Store, executors, sweep
from tests.small import SMALL, pictures

SCRIPT = pathlib.Path(__file__).parents[1] / "tools" / "slurm_local.sh"
LONG = c3.edit(SMALL, steps=6000)
"""A fit that is still under way when the one before it has landed and been looked at."""
WEIGHTS = (1e-3, 4e-3)


def answer(*command, timeout=60):
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@pytest.fixture(scope="session", autouse=True)
def slurm():
    """A Slurm that takes jobs, or a skip with the reason why there is none."""
    if shutil.which("sinfo") and answer("sinfo", "-h").returncode == 0:
        yield
        return
    if os.geteuid() != 0:
        pytest.skip("no Slurm answers here, and starting one needs root")
    if not shutil.which("slurmctld") and not shutil.which("apt-get"):
        pytest.skip("no Slurm here, and no apt-get to install one")
    started = answer("bash", str(SCRIPT), "start", timeout=600)
    try:
        if started.returncode:
            pytest.skip(f"Slurm could not be started: {started.stderr.strip()[-500:]}")
        yield
        answer("scancel", "--user", "root", "--signal", "KILL")
    finally:
        answer("bash", str(SCRIPT), "stop")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """One device a job, and a controller that may be asked often: it has nothing else to do."""
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.setattr(executors._Slurm, "seconds_between_queries", 1.0)
    monkeypatch.setattr(executors._Slurm, "seconds_between_looks", 0.2)


def slurm_sweep(config, store, **options):
    options = {"gpus": 0, "time_limit_min": 10} | options
    return sweep([Row("base", (config,))], pictures(3), WEIGHTS, store=store, batch=1,
                 executor=functools.partial(executors.slurm, **options))


def logs(store):
    """What each job printed, by its number."""
    return {path.parent.name: path.read_text()
            for path in (store / "work" / "logs").glob("*/*_log.out")}


def finished(store):
    """How often each fit was finished, by the jobs' own words."""
    return collections.Counter(re.findall(r"finished (\w+)", "".join(logs(store).values())))


def wait_for_jobs():
    """Until none of the sweeps' jobs is in the queue: one may take half a minute to heed an end."""
    until = time.monotonic() + 200
    while answer("squeue", "-h", "--name", "c3lite").stdout.strip():
        assert time.monotonic() < until, "jobs are left in the queue"
        time.sleep(0.5)


def check_whole(results, store):
    """Each of the six fits landed once, was done once, and is in the store."""
    assert len(results) == len({(r.image, r.rd_weight) for r in results}) == 6
    keys = {r.record.key for r in results}
    assert len(keys) == 6
    wait_for_jobs()
    assert {r.key for r in Store(store).records()} == keys
    assert finished(store) == dict.fromkeys(keys, 1)
    assert not list((store / "work" / "claims").iterdir())


def busy_job(store):
    """The number of a job that is in the middle of a fit."""
    place = executors.worker.Workplace(Store(store))
    until = time.monotonic() + 200
    while time.monotonic() < until:
        for path in place.workers.glob("slurm-*.json"):
            doing = place.doing(path.stem)
            if doing and not any(Store(store).path(key).exists() for key in doing):
                return path.stem.removeprefix("slurm-")
        time.sleep(0.05)
    raise AssertionError("no job is at a fit")


def kill(job):
    """End the process that does a job's fits, as a crash or a full memory does."""
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            command = process.info["cmdline"] or [""]
            if ("python" in command[0] and "submitit.core._submit" in command
                    and process.environ().get("SLURM_JOB_ID") == job):
                process.kill()
                return
    raise AssertionError(f"job {job} has no process")


@pytest.mark.timeout(500)
def test_a_killed_job(tmp_path, capfd):
    results = []
    killed = None
    for result in slurm_sweep(LONG, tmp_path, fits_per_job=3):
        results.append(result)
        if killed is None:
            killed = busy_job(tmp_path)
            kill(killed)
    check_whole(results, tmp_path)
    said = logs(tmp_path)
    assert len(said) == 3  # two, and the one that took over
    assert said[killed].count("fits, first") == said[killed].count("finished") + 1
    assert f"the worker slurm-{killed} died" in capfd.readouterr().out
    # nothing more is done when all is there
    assert len(list(slurm_sweep(LONG, tmp_path, fits_per_job=3))) == 6
    assert logs(tmp_path).keys() == said.keys()


@pytest.mark.timeout(500)
def test_a_preempted_job(tmp_path):
    results = []
    preempted = None
    for result in slurm_sweep(LONG, tmp_path, fits_per_job=6):
        results.append(result)
        if preempted is None:
            preempted = busy_job(tmp_path)
            # as Slurm tells a job that it has to go, or that its time is up
            subprocess.run(["scancel", "--signal", "USR2", preempted], check=True)
            until = time.monotonic() + 200
            while "PENDING" not in answer("squeue", "-h", "-j", preempted, "-o", "%T").stdout:
                assert time.monotonic() < until, "the job is not queued again"
                time.sleep(0.2)
            # Slurm lets a requeued job wait for two minutes, in case its node is ill
            subprocess.run(["scontrol", "update", f"JobId={preempted}", "StartTime=now"],
                           check=True)
    check_whole(results, tmp_path)
    assert logs(tmp_path).keys() == {preempted}  # the same job, again


@pytest.mark.timeout(60)
def test_a_job_that_slurm_refuses(tmp_path):
    with pytest.raises(executors.ExecutorError, match=r"sbatch refuses .*invalid partition"):
        list(slurm_sweep(SMALL, tmp_path, partition="nowhere"))


@pytest.mark.timeout(500)
def test_closing_cancels_the_jobs(tmp_path):
    results = slurm_sweep(LONG, tmp_path, fits_per_job=6)
    next(results)
    results.close()
    wait_for_jobs()
