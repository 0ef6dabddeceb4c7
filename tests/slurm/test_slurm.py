"""Sweeps over a real Slurm of one node, with jobs that are killed and requeued under way.

`tests/tools/slurm_local.sh` starts it, and these tests stop it again unless it ran before.
"""

import collections
import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

import nbformat
import psutil
import pytest
import yaml

pytest.importorskip("submitit", reason="needs submitit: make extras EXTRAS=slurm")

import c3lite as c3
from c3lite.ablation import Row, Store, executors, sweep, worker
from tests.slurm import impatient
from tests.small import SMALL, killed_in_a_fit, pictures

ABLATIONS = pathlib.Path(__file__).parents[2] / "ablations"
SCRIPT = pathlib.Path(__file__).parents[1] / "tools" / "slurm_local.sh"
LONG = c3.edit(SMALL, steps=1500)
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
    until(lambda: not answer("squeue", "-h", "--name", "c3lite").stdout.strip(),
          "the queue to be empty")


def check_whole(results, store):
    """Each of the six fits landed once, was done once, and is in the store."""
    assert len(results) == len({(r.image, r.rd_weight) for r in results}) == 6
    keys = {r.record.key for r in results}
    assert len(keys) == 6
    wait_for_jobs()
    assert {r.key for r in Store(store).records()} == keys
    assert finished(store) == dict.fromkeys(keys, 1)
    assert not list((store / "work" / "claims").iterdir())


def until(found, what, seconds=120):
    """The first answer of `found()` that is one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what_is := found():
            return what_is
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s for {what}")


def processes():
    """The Python processes that do the fits of jobs, by the jobs' numbers."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            command = process.info["cmdline"] or [""]
            if "python" in command[0] and "submitit.core._submit" in command:
                found[process.environ()["SLURM_JOB_ID"]] = process
    return found


@pytest.mark.timeout(400)
def test_a_killed_job(tmp_path, capfd):
    store, place = Store(tmp_path), worker.Workplace(Store(tmp_path))

    def kill_one():
        return next((job for job, process in processes().items()
                     if killed_in_a_fit(process, place, store, f"slurm-{job}")), None)

    results, killed = [], None
    for result in slurm_sweep(LONG, tmp_path, fits_per_job=3):
        results.append(result)
        killed = killed or until(kill_one, "a job in the middle of a fit")
    check_whole(results, tmp_path)
    said = logs(tmp_path)
    assert len(said) == 3  # two, and the one that took over
    assert said[killed].count("fits, first") == said[killed].count("finished") + 1
    assert f"the worker slurm-{killed} died" in capfd.readouterr().out
    # nothing more is done when all is there
    assert len(list(slurm_sweep(LONG, tmp_path, fits_per_job=3))) == 6
    assert logs(tmp_path).keys() == said.keys()


@pytest.mark.timeout(400)
def test_a_long_fit_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "SlurmWork", impatient.ImpatientWork)
    store, results = Store(tmp_path), []
    config = c3.edit(SMALL, steps=8000)
    long = sweep([Row("base", (config,))], pictures(1), WEIGHTS[:1], store=tmp_path, batch=1,
                 executor=functools.partial(executors.slurm, gpus=0, time_limit_min=10))
    going = threading.Thread(target=lambda: results.extend(long))
    going.start()
    until(store.checkpoints, "a checkpoint", seconds=300)
    ((killed, process),) = processes().items()
    process.kill()
    going.join()
    said = logs(tmp_path)
    assert len(said) == 2 and "from step" not in said.pop(killed)
    ((_, after),) = said.items()
    done = int(re.search(r"from step (\d+) of a checkpoint", after)[1])
    assert 0 < done < 8000
    assert results[0].record.steps > 8000 and not store.checkpoints()


@pytest.mark.timeout(400)
def test_papermill_runs_a_table_on_slurm(tmp_path):
    out, store = tmp_path / "out.ipynb", tmp_path / "store"
    options = {"rows": ["soft-rounding"], "store": str(store),
               "executor": {"slurm": {"gpus": 0, "time_limit_min": 10}}}
    subprocess.run(
        [sys.executable, "-m", "papermill", str(ABLATIONS / "table03.ipynb"), str(out),
         "-f", str(ABLATIONS / "presets" / "smoke.yaml"), "-y", yaml.safe_dump(options),
         "--cwd", str(ABLATIONS), "--no-progress-bar"], check=True, timeout=380,
        env=os.environ | {"PYTHONPATH": str(ABLATIONS.parent)}, capture_output=True)
    text = json.dumps(nbformat.read(out, as_version=4))
    assert "[8/8]" in text and "a test of the program" in text
    keys = {r.key for r in Store(store).records()}
    assert len(keys) == 8 and finished(store) == dict.fromkeys(keys, 1)
    assert len(logs(store)) == 1  # one program, so one job


def preempt(job):
    """Have a job queued again, as when another one needs its place, or its time is up."""
    subprocess.run(["scancel", "--signal", "USR2", job], check=True)
    until(lambda: "PENDING" in answer("squeue", "-h", "-j", job, "-o", "%T").stdout,
          "the job to be queued again")
    # Slurm lets a requeued job wait for two minutes, in case its node is ill
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)


@pytest.mark.timeout(400)
def test_a_preempted_job(tmp_path):
    results, preempted = [], None
    for result in slurm_sweep(LONG, tmp_path, fits_per_job=6):
        results.append(result)
        if preempted is None:
            preempted = next(iter(processes()))
            preempt(preempted)
    check_whole(results, tmp_path)
    said = logs(tmp_path)
    assert said.keys() == {preempted}  # the same job, again
    assert said[preempted].count("Starting with") == 2


@pytest.mark.timeout(200)
def test_a_job_that_slurm_refuses(tmp_path):
    with pytest.raises(executors.ExecutorError, match=r"(?s)sbatch refuses .*invalid partition"):
        list(slurm_sweep(SMALL, tmp_path, partition="nowhere"))


@pytest.mark.timeout(200)
def test_a_cluster_without_gpus_says_how_to_go_on(tmp_path):
    with pytest.raises(executors.ExecutorError, match=r"(?s)sbatch refuses .*set gpus: 0"):
        list(slurm_sweep(SMALL, tmp_path, gpus=1))


@pytest.mark.timeout(400)
def test_closing_cancels_the_jobs(tmp_path):
    results = slurm_sweep(LONG, tmp_path, fits_per_job=6)
    next(results)
    results.close()
    wait_for_jobs()
