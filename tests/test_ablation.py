"""Store, sweep, command line, notebooks' parameters: nothing lost, done twice or mixed up."""

import dataclasses
import json
import pickle
import re
import shutil
import subprocess
import typing
import warnings
from pathlib import Path

import nbformat
import numpy as np
import pytest

import c3lite as c3
from c3lite import ablation
from c3lite.ablation import __main__ as cli
from c3lite.ablation import devices, executors, grid, jobs, notebook, store
from c3lite.ablation import images as named_images
from c3lite.ablation.images import Images
from c3lite.ablation.store import Store, fit_key
from c3lite.fitting.training import History
from tests import swept

REPOSITORY = Path(__file__).parents[1]
TINY = c3.edit(c3.C3, num_grids=2, synthesis_widths=(4,), entropy_widths=(4,), context_size=(3, 3),
               steps=8, stage2_steps=4, parameter_steps=(1e-3, 1e-2))
WEIGHTS = (1e-3, 1e-2)


@pytest.fixture(scope="session")
def photo():
    return c3.data.crop(c3.data.kodak(23), 220, 300, 16, 24)


@pytest.fixture
def made_up(monkeypatch):
    swept.patch(monkeypatch)


def run(folder, photo, rows=None, **options):
    options = {"progress": False, "batch": 2, "executor": "process", **options}
    rows = ablation.knockouts(TINY, ["soft-rounding"]) if rows is None else rows
    return list(ablation.sweep(rows, [photo], WEIGHTS, store=folder, **options))


# The store ---------------------------------------------------------------------------------------


def test_a_key_depends_on_all_that_determines_the_result(monkeypatch):
    keys = [fit_key(c3.C3, "a", 0), fit_key(c3.edit(c3.C3, rd_weight=2e-3), "a", 0),
            fit_key(c3.edit(c3.C3, steps=5), "a", 0), fit_key(c3.C3, "b", 0),
            fit_key(c3.C3, "a", 1)]
    monkeypatch.setattr(store, "NUMERICS", store.NUMERICS + 1)
    keys.append(fit_key(c3.C3, "a", 0))
    assert len(set(keys)) == len(keys)


def test_a_key_is_one_for_one_config():
    assert fit_key(c3.edit(c3.C3, quantization_step=1), "a", 0) == fit_key(
        c3.edit(c3.C3, quantization_step=1.0), "a", 0)
    config = c3.edit(c3.C3, temperature=0.2, rd_weight=1)
    assert fit_key(config, "a", 0) == fit_key(c3.Config.from_json(config.to_json()), "a", 0)


def test_a_key_does_not_change_from_version_to_version():
    # a change here orphans every store: raise NUMERICS on purpose, or mend `canonical`
    assert fit_key(c3.edit(c3.C3, steps=2000, temperature=np.inf), "0" * 64, 3) == \
        "d0b50c282edcba5c3e6acdf838b62f6a"


(FLOOR,) = (f for f in dataclasses.fields(c3.Config) if f.name == "gain_floor")


class WiderConfig(c3.Config):
    """A later version's config: fields that today's does not have."""

    extra_noise: "float" = dataclasses.field(default=0.0, metadata=FLOOR.metadata)
    extra_gain: "float" = dataclasses.field(default=1.0, metadata=FLOOR.metadata)


def test_a_field_at_its_default_changes_no_key(monkeypatch):
    base = c3.edit(c3.C3, steps=2000, temperature=np.inf)
    values = {f.name: getattr(base, f.name) for f in dataclasses.fields(base)}
    old = fit_key(base, "a", 3)
    monkeypatch.setattr(c3.config, "Config", WiderConfig)
    monkeypatch.setattr(c3.config, "field_types", lambda: typing.get_type_hints(
        WiderConfig, vars(c3.config)))
    assert fit_key(WiderConfig(**values), "a", 3) == old
    keys = {fit_key(WiderConfig(**values, **more), "a", 3) for more in (
        {}, {"extra_gain": 2.0}, {"extra_noise": 0.5}, {"extra_noise": 1.0})}
    assert len(keys) == 4


RESULTS = REPOSITORY / "ablations" / "results"


@pytest.mark.parametrize("folder", sorted(
    path.parent.relative_to(REPOSITORY).as_posix() for root in ("ablations", "notebooks")
    for path in (REPOSITORY / root / "results").rglob("fits")))
def test_committed_stores_load_and_have_the_keys_of_today(folder):
    kept = Store(REPOSITORY / folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        records = list(kept.records())
    assert len(records) == len(list(kept.fits.glob("*.json"))) > 0
    assert {r.numerics for r in records} == {store.NUMERICS}
    # fits with the networks of others have two names in theirs, those with a mask had none before
    for r in [r for r in records if "transfer" not in folder and not r.config["mask_shape"]][::9]:
        config = c3.Config.from_json(json.dumps(r.config))
        assert r.key == fit_key(config, r.image_sha256, r.seed)


def test_the_plan_of_a_committed_table_is_all_done(tmp_path, monkeypatch, capsys):
    """As `make ablation TABLE=03 PRESET=laptop`, of the images that ship: the store lacks nothing.
    """
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(executors, "run_group", lambda *_: pytest.fail("a fit was run"))
    cell = next(c for c in nbformat.read("ablations/table03.ipynb", 4).cells
                if "parameters" in c.metadata.get("tags", []))
    parameters: dict = {}
    exec(cell.source, parameters)
    shutil.copytree(RESULTS / "table03/laptop/store", tmp_path / "store")  # it writes its plan
    made = notebook.Study("table03", {k: v for k, v in parameters.items() if k[0] != "_"} | {
        "images": {"kodak": ["kodim19[384:512,160:352]", "kodim23[192:320,288:480]"]},
        "store": str(tmp_path / "store"), "executor": "process"})
    results = made.run(ablation.knockouts(made.config(c3.C3)))
    assert len(results) == 56 and all(r.record.collapsed is None for r in results)
    assert "56 different fits, 56 of them in the store" in capsys.readouterr().out
    table = made.table(results)
    assert table.lines[1].row == "soft-rounding" and table.lines[1].bd_rate.low > 10
    assert "56 fits were not checked for a collapse" in str(table)


def test_what_is_written_is_read(tmp_path):
    kept, r = Store(tmp_path), swept.record(c3.C3)
    kept.add(r)
    assert Store(tmp_path).get(r.key) == r and list(Store(tmp_path).records()) == [r]
    assert Store(tmp_path).get("0" * 32) is None


@pytest.mark.parametrize("text", ["", '{"key": "x"}', "[1, 2]", "half"])
def test_torn_and_foreign_files_are_reported_and_skipped(tmp_path, text):
    kept = Store(tmp_path)
    good, bad = (swept.record(c3.edit(c3.C3, rd_weight=w)) for w in WEIGHTS)
    kept.add(good)
    kept.add(bad)
    path = kept.path(bad.key)
    path.write_text(path.read_text()[:100] if text == "half" else text)
    fresh = Store(tmp_path)
    with pytest.warns(UserWarning, match="torn, or not a fit"):
        assert list(fresh.records()) == [good]
    with pytest.warns(UserWarning, match=path.name):
        assert fresh.get(bad.key) is None
    path.write_text(kept.path(good.key).read_text())
    with pytest.warns(UserWarning, match="holds the fit"):
        assert fresh.get(bad.key) is None


def test_a_store_needs_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="not a folder"):
        Store(tmp_path / "file")


def test_histories_are_thinned_but_keep_their_ends():
    n = 5000
    history = History(*(np.arange(n, dtype=np.float32),) * 4)
    thin = jobs.thinned(history)
    assert 190 <= len(thin["step"]) <= 210 and thin["step"][0] == 0 and thin["step"][-1] == n - 1
    np.testing.assert_allclose(thin["loss"], thin["step"], rtol=1e-4)
    short = History(*(np.zeros(3, np.float32),) * 4)
    assert jobs.thinned(short)["step"] == [0, 1, 2]


# The sweep ---------------------------------------------------------------------------------------


def test_a_real_sweep_in_batches_is_the_fits_one_by_one(tmp_path, photo, capsys):
    results = run(tmp_path, photo, progress=True)
    assert [(r.row, r.rd_weight) for r in results] == [
        (row, w) for row in ("C3", "soft-rounding") for w in WEIGHTS]
    assert {r.record.batch for r in results} == {2}
    for r in (results[0], results[3]):
        config = c3.Config.from_json(json.dumps(r.record.config))
        one = c3.fit(photo, config, progress=False)
        assert r.record.psnr_db == pytest.approx(one.psnr, abs=0.05)
        assert r.record.bpp == pytest.approx(one.bpp_estimate, rel=0.01)
        assert r.record.loss == pytest.approx(one.loss, rel=0.01) and r.record.steps == 12
        assert set(r.record.bits) == {"latents", "synthesis", "entropy"}
        assert r.record.collapsed is one.collapsed is None  # too short to be judged
    assert not list((tmp_path / "checkpoints").iterdir())
    out = capsys.readouterr().out
    assert "[4/4] soft-rounding, image1, lambda 0.01, seed 0" in out and "left" in out


def test_a_batch_that_was_stopped_goes_on_from_its_checkpoint(tmp_path, photo, monkeypatch):
    from c3lite.fitting import checkpoint, loop

    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(loop, "_chunk_size", lambda *_: 1)
    monkeypatch.setattr(loop, "FIRST_CHUNK", 1)
    rows = ablation.knockouts(TINY, ["soft-rounding"])[:1]
    config = c3.edit(TINY, steps=20)
    rows = [rows[0]._replace(configs=(config,))]
    planned = [job for job, _ in grid.plan(rows, {"image1": photo}, WEIGHTS, [0])]
    kept, seen = Store(tmp_path), []

    def stop(state):
        if int(state.step) >= 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jobs.run_group(planned, kept, {"image1": photo}, stop)
    assert len(kept.checkpoints()) == 1 and not list(kept.records())
    jobs.run_group(planned, kept, {"image1": photo}, lambda state: seen.append(int(state.step)))
    assert seen[0] == 16, "it started anew"
    assert not kept.checkpoints() and len(list(kept.records())) == 2


def test_finished_fits_are_not_run_again(tmp_path, photo, made_up, monkeypatch):
    first = run(tmp_path, photo)
    ran = []

    def run_group(group, *rest):
        ran.append(group)
        return swept.run_group(group, *rest)

    monkeypatch.setattr(executors, "run_group", run_group)
    assert run(tmp_path, photo) == first and not ran
    more = run(tmp_path, photo, ablation.knockouts(TINY, ["soft-rounding", "gelu"]))
    assert len(more) == 6 and [job.row for jobs in ran for job in jobs] == ["gelu", "gelu"]


def test_a_sweep_that_breaks_loses_nothing(tmp_path, photo, monkeypatch):
    calls = []

    def breaking(jobs, kept, *rest):
        calls.append([job.key for job in jobs])
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return swept.run_group(jobs, kept, *rest)

    monkeypatch.setattr(executors, "run_group", breaking)
    with pytest.raises(OSError, match="No space"):
        run(tmp_path, photo)
    assert len(list(Store(tmp_path).records())) == 2
    results = run(tmp_path, photo)
    assert len(results) == 4 and calls[1] == calls[2] and len(calls) == 3


def test_two_sweeps_share_a_store(tmp_path, photo, made_up):
    run(tmp_path, photo)
    both = run(tmp_path, photo, ablation.knockouts(TINY, ["gelu", "soft-rounding"]))
    assert len(both) == 6 and len(list(Store(tmp_path).records())) == 6


def test_rows_may_share_a_fit(tmp_path, photo, made_up):
    rows = [ablation.Row("one", (TINY,)), ablation.Row("two", (TINY, c3.edit(TINY, steps=9)))]
    results = run(tmp_path, photo, rows)
    assert len(results) == 6 and len(list(Store(tmp_path).records())) == 4


def test_minutes_end_a_sweep_between_batches(tmp_path, photo, made_up, capsys):
    assert run(tmp_path, photo, minutes=1e-12, progress=True) == []
    assert "run it again to go on" in capsys.readouterr().out
    assert len(run(tmp_path, photo)) == 4


def test_groups_share_structure_steps_and_shape_and_do_not_change(photo):
    rows = [*ablation.knockouts(TINY), *ablation.schedules(TINY, [6])[1:]]
    images = {"a": photo, "b": photo[:, 1:], "standing": photo.swapaxes(1, 2)}
    planned = [job for job, _ in grid.plan(rows, images, [1e-3], [0, 1])]
    for size in (1, 3, 32):
        groups = jobs.grouped(planned, size)
        assert sorted(job.key for g in groups for job in g) == sorted(job.key for job in planned)
        assert groups == jobs.grouped(planned, size)
        for group in groups:
            configs = [job.config for job in group]
            assert len(group) <= size and len({tuple(sorted(job.shape)) for job in group}) == 1
            c3.fitting.batch.config_axes(configs)  # raises for what cannot be a batch


def test_jobs_can_be_sent_with_the_images_that_have_no_name(tmp_path, photo, made_up):
    seen = []

    def elsewhere(groups, kept, images, progress):
        arrays = executors._arrays(groups, images)
        for group in groups:
            back, sent = pickle.loads(pickle.dumps((group, arrays)))
            assert back == group
            seen.extend((job.image, jobs._image(job, sent)) for job in back)
            yield group, swept.run_group(back, kept)

    name = "kodim23[220:236,300:324]"
    images = [name, photo[:, 1:]]
    results = list(ablation.sweep([ablation.Row("C3", (TINY,))], images, [1e-3], store=tmp_path,
                                  executor=elsewhere, progress=False))
    assert [r.image for r in results] == [image for image, _ in seen] == [name, "image2"]
    assert np.array_equal(seen[0][1], photo) and np.array_equal(seen[1][1], photo[:, 1:])
    assert Images(images).can_be_loaded(name) and not Images(images).can_be_loaded("image2")


def test_an_image_that_changed_is_refused(tmp_path):
    name = "kodim23[220:236,300:324]"
    (job, _), = grid.plan([ablation.Row("C3", (TINY,))], [name], [1e-3], [0])
    with pytest.raises(ValueError, match="pixels differ"):
        jobs.run_group([dataclasses.replace(job, image_sha256="0" * 64)], Store(tmp_path))


@pytest.mark.parametrize(("options", "words"), [
    ({"rd_weights": []}, "at least one rate weight"), ({"rows": []}, "at least one row"),
    ({"images": []}, "at least one image"), ({"seeds": []}, "at least one seed"),
    ({"rows": [ablation.Row("x", (TINY,))] * 2}, "one name"),
    ({"images": "kodim23"}, "list of names"), ({"images": ["kodim25x"]}, "no such image"),
    ({"images": ["kodim23[0:9999,0:5]"]}, "inside"), ({"images": ["kodim23[5:5,0:5]"]}, "empty"),
    ({"images": ["kodim23[0:2,0:8,0:8]"]}, "rows and columns"),
    ({"executor": "cluster"}, "no executor"), ({"rd_weights": [-1.0]}, "rd_weight")])
def test_bad_grids_are_refused_before_anything_runs(tmp_path, photo, options, words):
    grid = {"rows": ablation.knockouts(TINY), "images": [photo], "rd_weights": [1e-3],
            "store": tmp_path / "store", **options}
    with pytest.raises(ValueError, match=words):
        ablation.sweep(**grid)
    assert not (tmp_path / "store" / "fits").exists()


def test_missing_data_says_which_and_where(monkeypatch, tmp_path):
    monkeypatch.setenv("C3LITE_DATA", str(tmp_path))
    with pytest.raises(c3.data.DataError, match=r"uvg.*C3LITE_DATA"):
        named_images.load("uvg/Beauty[0:2,0:64,0:64]")


def test_too_little_memory_is_said_before(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(devices, "memory", lambda: 1e6)
    with pytest.raises(MemoryError, match=r"image1 \(16x24\).*GB"):
        run(tmp_path, photo)


def test_names_of_clips():
    assert named_images.load("bunny[1:4,10:30,20:50]").shape == (3, 3, 20, 30)
    with pytest.raises(ValueError, match="frames, rows and columns"):
        named_images.load("bunny[10:30,20:50]")


# The command line --------------------------------------------------------------------------------


def test_fits_move_by_copying_and_status_tells_what_is_there(tmp_path, photo, made_up, capsys):
    run(tmp_path / "a", photo, label="table03 smoke")
    readme = (REPOSITORY / "ablations" / "README.md").read_text()
    pack, unpack = re.findall(r"^    (tar .*?) *#", readme, re.MULTILINE)
    subprocess.run(pack.replace("STORE", "a"), shell=True, check=True, cwd=tmp_path)
    (tmp_path / "b").mkdir()
    subprocess.run(unpack.replace("STORE", "b"), shell=True, check=True, cwd=tmp_path)
    assert list(Store(tmp_path / "a").records()) == list(Store(tmp_path / "b").records())
    assert len(run(tmp_path / "b", photo)) == 4
    first = next(Store(tmp_path / "a").records())
    Store(tmp_path / "a").path(first.key).unlink()
    Store(tmp_path / "a").add(dataclasses.replace(first, key="f" * 32, numerics=0))
    assert cli.main(["status", str(tmp_path / "a")]) == 0
    out = capsys.readouterr().out
    assert "table03 smoke: 3 of 4 fits done, about 2 s left" in out
    assert "1 fits of numerics version 0 are kept and not used" in out


def test_no_store(tmp_path, capsys):
    assert cli.main(["status", str(tmp_path / "none")]) == 1
    err = capsys.readouterr().err
    assert "no store" in err and "Traceback" not in err


# The notebooks -----------------------------------------------------------------------------------

GOOD = {"preset": "smoke", "images": {"kodak": ["kodim23[220:236,300:324]"],
                                      "video": ["bunny[0:3,60:84,100:132]"]},
        "rd_weights": [1e-3, 2e-3, 5e-3, 2e-2], "steps": 12, "stage2_steps": 3, "seeds": [0],
        "rows": [], "batch": 0, "minutes": 0.0, "executor": "process", "store": "",
        "is_result": False}


@pytest.mark.parametrize(("changes", "error", "words"), [
    ({"stepz": 5}, ValueError, "no parameter 'stepz', did you mean 'steps'"),
    ({"rd_weights": ["1e-3"]}, TypeError, r"1\.0e-3"), ({"steps": "2000"}, TypeError, "steps"),
    ({"steps": 2e3}, TypeError, "whole number"), ({"rd_weights": 1e-3}, TypeError, "list"),
    ({"rd_weights": [0.0]}, TypeError, "above 0"), ({"seeds": [-1]}, TypeError, "seeds"),
    ({"is_result": 1}, TypeError, "True or False"), ({"minutes": "8"}, TypeError, "minutes"),
    ({"images": {"imagenet": []}}, TypeError, "kodak"), ({"images": {}}, ValueError, "no 'kodak'"),
    ({"executor": "cloud"}, TypeError, "slurm"), ({"preset": "gpus"}, ValueError, "'gpu'")])
def test_parameters_are_strict(changes, error, words, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(error, match=words):
        notebook.Study("table03", {**GOOD, "In": [], "c3": c3, "_x": 1, **changes})


def test_unknown_tables_and_rows(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(ValueError, match="did you mean 'table03'"):
        notebook.Study("table3", GOOD)
    with pytest.raises(ValueError, match="no row 'gelus', did you mean 'gelu'"):
        notebook.Study("table03", {**GOOD, "rows": ["gelus"]}).choose(ablation.knockouts(c3.C3))


def test_a_missing_parameter_is_named():
    with pytest.raises(ValueError, match="steps are missing"):
        notebook.check_parameters({k: v for k, v in GOOD.items() if k != "steps"})


def test_clic_stands_in_where_it_is_not(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("C3LITE_DATA", str(tmp_path))
    about = notebook.Study("table10", {**GOOD, "store": str(tmp_path)})
    assert about.dataset == "kodak"
    assert "other than in the preset: images" in capsys.readouterr().out
    text = about.describe(about.choose(ablation.knockouts(about.config(c3.C3_CLIC))),
                          Images(about.image_names))
    assert "clic2020 is not in C3LITE_DATA" in text and "different fits" in text and "GB" in text
    clips = notebook.Study("table12", {**GOOD, "store": str(tmp_path)})
    assert clips.other_images and not notebook.Study("table12", {
        **GOOD, "images": {"video": ["uvg/Beauty"]}, "store": str(tmp_path)}).other_images
    (tmp_path / "clic2020").mkdir()
    assert notebook.Study("table10", {**GOOD, "images": {"clic2020": ["x"]}}).dataset == "clic2020"
