"""Worker processes: what becomes of those that die, of errors and stops, and of bad options.

tests/slurm does the same over a real Slurm.
"""

import contextlib
import dataclasses
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import PIL.Image
import psutil
import pytest

import c3lite as c3
from c3lite.ablation import Row, Store, devices, executors, jobs, notebook, sweep
from c3lite.ablation.executors import executor_of
from c3lite.ablation.grid import plan
from tests.small import SMALL, pictures, run_impatiently, steps_at_starts, until

WEIGHTS = (1e-3, 4e-3)
BASE = Row("base", (SMALL,))
LONG = Row("long", (c3.edit(SMALL, steps=4000),))
TWO = {"local": {"workers": 2}}


@pytest.fixture
def optimized_workers(monkeypatch):
    """Worker processes take thousands of steps."""
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")


def small_sweep(store, rows, images, weights=WEIGHTS, executor=TWO, **options):
    return sweep(rows, images, weights, store=store, batch=1, executor=executor, **options)


def workers(parent=None):
    """The worker processes of this process, or of another."""
    return [p for p in psutil.Process(parent).children() if "spawn_main" in " ".join(p.cmdline())]


def keys(results):
    return sorted(r.record.key for r in results)


def stored(folder):
    return sorted(r.key for r in Store(folder).records())


# Worker processes --------------------------------------------------------------------------------


def saved(folder, count):
    """Files of `pictures`."""
    paths = []
    for name, x in pictures(count).items():
        paths.append(folder / f"{name}.png")
        PIL.Image.fromarray(np.uint8(255 * x.transpose(1, 2, 0) + 0.5)).save(paths[-1])
    return paths


def test_what_fails_is_told_and_all_else_is_as_in_this_process(tmp_path):
    paths, store = saved(tmp_path, 2), tmp_path / "store"
    wild = Row("wild", (c3.edit(SMALL, learning_rate=1e38, gradient_clip=math.inf),))
    results = small_sweep(store, [BASE, wild], list(map(str, paths)), WEIGHTS[:1])
    paths[1].unlink()
    landed = []
    with pytest.raises(executors.ExecutorError, match="2 fits were given up after 3") as error:
        landed.extend(results)
    assert f" on {paths[1]}: " in str(error.value) and "there is no file" in str(error.value)
    there = {r.row: r.record for r in landed}
    assert {r.image for r in landed} == {str(paths[0])} and keys(landed) == stored(store)
    assert "the loss is" in there["wild"].error and there["base"].error is None
    (here,) = small_sweep(tmp_path / "here", [BASE], [str(paths[0])], WEIGHTS[:1], "process")
    mine, other = (dataclasses.asdict(x) for x in (here.record, there["base"]))
    for numbers in (mine, other):  # sums in another order, with other numbers of threads
        assert numbers.pop("loss") == pytest.approx(here.record.loss, rel=1e-3)
        assert numbers.pop("psnr_db") == pytest.approx(here.record.psnr_db, rel=1e-3)
        assert numbers.pop("bits") == pytest.approx(here.record.bits, rel=0.05)
        assert numbers.pop("file_bytes") == pytest.approx(here.record.file_bytes, rel=0.05)
        history = numbers.pop("history")
        assert history["step"] == here.record.history["step"]
        np.testing.assert_allclose(history["loss"], here.record.history["loss"], rtol=1e-3)
        for name in ("seconds", "date"):
            numbers.pop(name)
    assert mine == other and not workers()


def test_a_worker_has_an_environment_of_its_own_and_ends_with_its_sweep():
    before = dict(os.environ)
    with contextlib.ExitStack() as stack:
        worker = executors._Worker({"NPROC": "1", "MINE": "yes"})
        stack.callback(worker.end)
        assert worker.submit(os.getenv, "MINE").result() == "yes"
        worker.submit(time.sleep, 10**6)
        assert len(workers()) == 1 and os.environ == before
    assert not workers()


@pytest.mark.parametrize(("gpus", "asked", "expected"), [
    ([], None, ["cpu", "cpu"]), ([], 3, ["cpu"] * 3), (["0", "3"], None, ["0", "3"]),
    (["0", "3"], 3, ["0", "3", "0"]), (["0", "1", "2", "3", "4"], None, ["0", "1", "2", "3"])])
def test_a_process_a_gpu_or_one_thread_a_core(gpus, asked, expected, monkeypatch):
    monkeypatch.setattr(devices, "cores", lambda: 2)
    groups = [[job] for job, _ in plan([BASE], pictures(2), WEIGHTS, [0])]
    found = executors._environments(groups, gpus, asked)
    assert [e.get("CUDA_VISIBLE_DEVICES", "cpu") for e in found] == expected
    assert all(gpus or (e["NPROC"] == "1" and "multi_thread_eigen=false" in e["XLA_FLAGS"]
                        and e["MALLOC_MMAP_MAX_"] == "0") for e in found)


def test_memory_limits_the_processes(monkeypatch):
    monkeypatch.setattr(devices, "cores", lambda: 8)
    needed = devices.process_bytes((512, 768))
    for held in (0.5, 1.5, 3.5, 100):
        monkeypatch.setattr(devices, "memory", lambda held=held: held * needed)
        assert devices.cpu_workers((512, 768)) == max(1, min(8, int(held)))


def test_gpus_are_those_that_are_visible(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5")
    assert devices.visible_gpus() == ["2", "GPU-5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.visible_gpus() == []


def test_a_node_takes_as_many_fits_at_once_as_its_gpu_holds(tmp_path, monkeypatch):
    """The login node plans fits one by one; neither asks JAX of a GPU that it is not to use."""
    smi = {"--list-gpus": "GPU 0: one\nGPU 1: two\n", "--query-gpu=memory.total": "81559\n16384\n"}
    monkeypatch.setattr(devices, "answer", lambda command, option, *_: smi[option])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.gpu_memory() == 16384 * 2**20
    assert devices.batch_size((512, 768), devices.gpu_memory()) == 24
    monkeypatch.setattr(executors, "_in_processes", lambda environments, groups, *_: iter(
        [(group, [None] * len(group)) for group in groups]))
    ran = []
    monkeypatch.setattr(jobs.Progress, "done", lambda self, group, _: ran.append(len(group)))
    images = executors.Images.of(pictures(3))
    planned = [job for job, _ in plan([BASE], images, WEIGHTS, [0])]
    # a batch of one that was asked for stays one
    for gpus, by_node, expected in ((1, True, [6]), (1, False, [1] * 6), (0, True, [1] * 6)):
        ran.clear()
        executors.SlurmWork(Store(tmp_path), gpus, by_node)([[job] for job in planned], {})
        assert ran == expected


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_on_slurm_a_batch_of_one_is_one_and_zero_is_the_nodes_choice(tmp_path, monkeypatch, batch):
    def slurm(groups, store, images, progress, by_node=False, *, gpus=1):
        asked.append((by_node, [len(group) for group in groups]))
        yield from ()

    asked = []
    monkeypatch.setattr(executors, "slurm", slurm)
    monkeypatch.setitem(executors.EXECUTORS, "slurm", slurm)
    list(sweep([BASE], pictures(2), WEIGHTS, store=tmp_path, batch=batch, executor="slurm",
               progress=False))
    assert asked == [(batch == 0, [2, 2] if batch == 2 else [1] * 4)]


def test_files_of_a_gpus_batch_are_written_by_processes_that_leave_it_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "cores", lambda: 2)
    own = executors._encoders()
    monkeypatch.setattr(executors, "_own_encoders", lambda: own)
    images = executors.Images.of(pictures(2))
    planned = [job for job, _ in plan([BASE], images, WEIGHTS[:1], [0])]
    with own:
        assert list(own.map(os.getenv, ["JAX_PLATFORMS"] * 3)) == ["cpu"] * 3
        records = executors._run_missing_on_gpu(planned, tmp_path, pictures(2))
    assert [r.file_bytes for r in records] == [
        r.file_bytes for r in jobs.run_missing(planned, tmp_path / "here", pictures(2))]


def test_while_a_gpu_fits_a_batch_the_files_of_the_one_before_are_written(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(executors, "on_cpu", lambda: False)
        patch.setattr(devices, "cores", lambda: 1)
        results = list(small_sweep(tmp_path / "a", [BASE], pictures(3), WEIGHTS, "process"))
        batches = list(sweep([BASE], pictures(3), WEIGHTS, store=tmp_path / "batches", batch=2,
                             executor="process"))
    plain = {r.record.key: r.record for r in small_sweep(
        tmp_path / "b", [BASE], pictures(3), WEIGHTS, "process")}
    assert all(r.record.file_bytes == plain[r.record.key].file_bytes for r in results)
    assert keys(batches) == keys(results)
    for record in (r.record for r in batches):
        assert record.loss == pytest.approx(plain[record.key].loss, rel=2e-3)
        assert record.file_bytes == pytest.approx(plain[record.key].file_bytes, abs=8)
        assert record.batch == 2
    assert keys(results) == stored(tmp_path / "a") and not workers()


@pytest.mark.usefixtures("optimized_workers")
def test_a_killed_process_costs_no_fit(tmp_path, capsys):
    results = []
    for result in small_sweep(tmp_path, [LONG, BASE], pictures(2), WEIGHTS[:1]):
        if not results:  # one process has just finished the short fit, the other is in the long one
            assert result.row == "base" and len(workers()) == 2
            for process in workers():
                process.kill()
        results.append(result)
    assert len(set(keys(results))) == 4 and keys(results) == stored(tmp_path)
    assert all(r.record.error is None for r in results)
    said = capsys.readouterr().out
    assert "long, wave0: its process was killed; tried again" in said and "[4/4]" in said
    assert not workers() and not Store(tmp_path).checkpoints()


@pytest.mark.usefixtures("optimized_workers")
def test_a_killed_fit_goes_on_from_its_checkpoint(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(executors, "run_missing", run_impatiently)
    monkeypatch.setattr(jobs, "SECONDS_BETWEEN_LINES", 0.0)
    store = Store(tmp_path)

    def kill():
        until(store.checkpoints, "a checkpoint")
        workers()[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    (result,) = small_sweep(tmp_path, [Row("long", (c3.edit(SMALL, steps=20_000),))], pictures(1),
                            WEIGHTS[:1], {"local": {"workers": 1}})
    killer.join()
    first, second = steps_at_starts(tmp_path)
    assert first == 0 < second < 20_000 and not store.checkpoints()
    assert len(result.record.history["step"]) > 100 and result.record.steps > 20_000
    said = capsys.readouterr().out  # the time left is told by the checkpoint
    assert "processes at work: 1, 0 of 1 fits done; time left unknown" in said
    assert re.search(r"processes at work: 1, 0 of 1 fits done; \d+ \w+ left", said)


def test_two_sweeps_at_once_lose_nothing(tmp_path):
    images, found = pictures(2), {}

    def run(name):
        found[name] = list(small_sweep(tmp_path, [BASE], images, executor={"local": {"workers": 1}},
                                       progress=False))

    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert keys(found["a"]) == keys(found["b"]) == stored(tmp_path) and len(found["a"]) == 4


def test_what_another_sweep_has_stored_meanwhile_is_not_fitted(tmp_path, monkeypatch):
    (job, _), = plan([BASE], pictures(1), WEIGHTS[:1], [0])
    jobs.run_group([job], Store(tmp_path), pictures(1))
    monkeypatch.setattr(jobs, "run_group", lambda *_: pytest.fail("fitted again"))
    assert [r.key for r in jobs.run_missing([job], tmp_path, {})] == [job.key]


# Stops -------------------------------------------------------------------------------------------

SCRIPT = """
import c3lite as c3
from c3lite.ablation import Row, sweep
from tests.small import SMALL, pictures

rows = [Row("base", (SMALL,)), Row("endless", (c3.edit(SMALL, steps=10**8),))]
two = {"local": {"workers": 2}}
for _ in sweep(rows, pictures(1), [1e-3], store="store", batch=1, executor=two):
    print("landed", flush=True)
"""
"""As a user writes it: without a main guard, which worker processes would need to run it again."""


@pytest.fixture
def script(tmp_path):
    """A sweep in a process of its own, when its first fit is done and its second under way."""
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.PIPE, start_new_session=True,
        # a shell's job in the background ignores Ctrl-C, and its children would, too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
    try:
        for line in process.stdout:
            if line == "landed\n":
                break
        else:
            pytest.fail(process.stderr.read())
        yield types.SimpleNamespace(process=process, workers=workers(process.pid))
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_ends_a_sweep_and_its_processes(script, tmp_path):
    assert len(script.workers) == 2
    os.killpg(script.process.pid, signal.SIGINT)  # as a terminal or a notebook's stop button does
    error = script.process.communicate(timeout=60)[1]
    assert error.count("KeyboardInterrupt") == 1, error  # the workers say nothing
    assert not any(p.is_running() for p in script.workers)
    assert len(stored(tmp_path / "store")) == 1


def test_processes_end_with_a_killed_sweep(script, tmp_path):
    script.process.kill()
    _, alive = psutil.wait_procs(script.workers, timeout=60)
    assert not alive and len(stored(tmp_path / "store")) == 1


# Bad options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("executor", "words"), [
    ("cluster", "no executor 'cluster'"), ({"x": {}}, "no executor 'x'"),
    ({"slurm": {"patition": "gpu"}}, "did you mean 'partition'"),
    ({"local": {"gpus": 1}}, "the executor local has no option 'gpus'; there are workers"),
    ({"process": {"workers": 2}}, "no option"), ({"local": {}, "slurm": {}}, "one executor")])
def test_unknown_executors_and_options_are_refused(executor, words):
    with pytest.raises(ValueError, match=words):
        executor_of(executor)


def test_a_notebook_may_give_options():
    known = {"executor": notebook.PARAMETERS["executor"]}
    for good in ({"slurm": {"partition": "gpu"}}, "local", "process"):
        notebook.check_parameters({"executor": good}, known)
    for bad in ("cluster", {"slurm": "gpu"}, {}, {"local": {}, "slurm": {}}, None):
        with pytest.raises(TypeError, match="executor must be local, process or slurm"):
            notebook.check_parameters({"executor": bad}, known)


def test_without_slurm(tmp_path, monkeypatch):
    def start(**options):
        next(small_sweep(tmp_path, [BASE], pictures(1), executor={"slurm": options},
                         progress=False))

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
    rows = [BASE, Row("relu", (c3.edit(SMALL, activation="relu"),))]
    groups = [[job] for job, _ in plan(rows, pictures(3), WEIGHTS, [0])]
    lists = executors._lists(groups, 4)
    assert sorted(map(len, lists)) == [2, 2, 4, 4]
    assert all(len({job.row for group in each for job in group}) == 1 for each in lists)
    assert sorted(job.key for each in lists for group in each for job in group) == sorted(
        job.key for group in groups for job in group)
