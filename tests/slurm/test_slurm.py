"""Sweeps over a real Slurm of one node, with jobs that are killed and requeued under way.

`tests/tools/slurm_local.sh` starts it, and these tests stop it again unless it ran before.
"""

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

import nbformat
import psutil
import pytest
import yaml

pytest.importorskip("submitit", reason="needs submitit: make extras EXTRAS=slurm")

import c3lite as c3
from c3lite.ablation import Row, Store, executors, sweep
from tests.small import SMALL, pictures, run_impatiently, steps_at_starts, until

ABLATIONS = pathlib.Path(__file__).parents[2] / "ablations"
SCRIPT = pathlib.Path(__file__).parents[1] / "tools" / "slurm_local.sh"
LONG = c3.edit(SMALL, steps=8000)
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
    """A controller that may be asked often: it has nothing else to do."""
    monkeypatch.setattr(executors, "SECONDS_BETWEEN_QUERIES", 1.0)
    monkeypatch.setattr(executors, "SECONDS_BETWEEN_LOOKS", 0.2)


class ImpatientWork(executors.SlurmWork):
    """Work whose fits are kept every moment, not every half minute."""

    def __call__(self, groups, arrays) -> None:
        executors.run_missing = run_impatiently
        super().__call__(groups, arrays)


def slurm_sweep(config, store, images=3, weights=WEIGHTS, **options):
    options = {"gpus": 0, "time_limit_min": 10} | options
    return sweep([Row("base", (config,))], pictures(images), weights, store=store, batch=1,
                 executor=functools.partial(executors.slurm, **options))


def logs(store):
    """What each job printed, by its number."""
    return {path.parent.name: path.read_text()
            for path in (store / "work" / "logs").glob("*/*_log.out")}


def finished(store):
    """The fits that jobs finished, by their own words."""
    return sorted(re.findall(r"\] (.*, seed 0):", "".join(logs(store).values())))


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
    assert finished(store) == sorted(f"base, {r.image}, lambda {r.rd_weight:g}, seed 0"
                                     for r in results)


def processes():
    """The Python processes that do the fits of jobs, by the jobs' numbers."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error, KeyError):
            command = process.info["cmdline"] or [""]
            if "python" in command[0] and "submitit.core._submit" in command:
                variables = process.environ()
                task = variables.get("SLURM_ARRAY_TASK_ID")
                found[variables["SLURM_JOB_ID"] if task is None else
                      f"{variables['SLURM_ARRAY_JOB_ID']}_{task}"] = process
    return found


@pytest.mark.timeout(600)
def test_a_killed_job(tmp_path, capfd):
    results, killed = [], None
    for result in slurm_sweep(LONG, tmp_path, fits_per_job=3):
        results.append(result)
        if killed is None:  # with its own fits under way, whichever landed
            killed, process = next(iter(processes().items()))
            process.kill()
    check_whole(results, tmp_path)
    said = logs(tmp_path)
    assert len(said) == 3 and "_" in killed  # an array of two, and the job that took over
    assert "Job completed successfully" not in said[killed]
    assert "although their Slurm jobs have ended: submitted again" in capfd.readouterr().out
    # nothing more is done when all is there
    assert len(list(slurm_sweep(LONG, tmp_path, fits_per_job=3))) == 6
    assert logs(tmp_path).keys() == said.keys()


def preempt(job):
    """Have a job queued again, as when another one needs its place, or its time is up."""
    subprocess.run(["scancel", "--signal", "USR2", job], check=True)
    until(lambda: "PENDING" in answer("squeue", "-h", "-j", job, "-o", "%T").stdout,
          "the job to be queued again")
    # Slurm lets a requeued job wait for two minutes, in case its node is ill
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)


@pytest.mark.timeout(600)
def test_a_preempted_job_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "SlurmWork", ImpatientWork)
    store, results = Store(tmp_path), []
    long = slurm_sweep(c3.edit(SMALL, steps=60_000), tmp_path, images=1, weights=WEIGHTS[:1])
    going = threading.Thread(target=lambda: results.extend(long))
    going.start()
    until(store.checkpoints, "a checkpoint", seconds=300)
    (preempted,) = processes()
    preempt(preempted)
    going.join()
    said = logs(tmp_path)
    assert said.keys() == {preempted}  # the same job, again
    assert said[preempted].count("Starting with") == 2
    first, second = steps_at_starts(tmp_path)
    assert first == 0 < second < 60_000
    assert results[0].record.steps > 60_000 and not store.checkpoints()


@pytest.mark.timeout(600)
def test_papermill_runs_a_table_on_slurm(tmp_path):
    out, store = tmp_path / "out.ipynb", tmp_path / "store"
    options = {"rows": ["soft-rounding"], "store": str(store),
               "executor": {"slurm": {"gpus": 0, "time_limit_min": 10}}}
    subprocess.run(
        [sys.executable, "-m", "papermill", str(ABLATIONS / "table03.ipynb"), str(out),
         "-f", str(ABLATIONS / "presets" / "smoke.yaml"), "-y", yaml.safe_dump(options),
         "--cwd", str(ABLATIONS), "--no-progress-bar"], check=True, timeout=580,
        env=os.environ | {"PYTHONPATH": str(ABLATIONS.parent)}, capture_output=True)
    text = json.dumps(nbformat.read(out, as_version=4))
    assert "[8/8]" in text and "a test of the program" in text
    assert len({r.key for r in Store(store).records()}) == len(finished(store)) == 8
    assert len(logs(store)) == 1  # one program, so one job


@pytest.mark.timeout(600)
def test_a_fit_that_stays_missing_is_named_with_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "TRIES", 2)
    monkeypatch.setattr(executors.SlurmWork, "__init__", lockout)
    with pytest.raises(executors.ExecutorError, match=r"(?s)1 fits are still missing after 2 .*"
                       r"base on wave0; the log .* ends with.*is not a folder") as error:
        list(slurm_sweep(SMALL, tmp_path, images=1, weights=WEIGHTS[:1]))
    assert str(tmp_path / "work" / "logs") in str(error.value) and len(logs(tmp_path)) == 2


def lockout(self, store, gpus, by_node):
    """In place of `SlurmWork.__init__`: jobs look for their store where a file is."""
    self.folder, self.gpus, self.by_node = pathlib.Path(__file__), gpus, by_node


@pytest.mark.timeout(300)
def test_a_job_that_slurm_refuses(tmp_path):
    with pytest.raises(executors.ExecutorError, match=r"(?s)sbatch refuses .*invalid partition"):
        list(slurm_sweep(SMALL, tmp_path, partition="nowhere"))


@pytest.mark.timeout(300)
def test_a_cluster_without_gpus_says_how_to_go_on(tmp_path):
    with pytest.raises(executors.ExecutorError, match=r"(?s)sbatch refuses .*set gpus: 0"):
        list(slurm_sweep(SMALL, tmp_path, gpus=1))


@pytest.mark.timeout(600)
def test_closing_cancels_the_jobs(tmp_path):
    results = slurm_sweep(LONG, tmp_path, fits_per_job=6)
    next(results)
    results.close()
    wait_for_jobs()
