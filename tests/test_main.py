"""The command line: what it writes, says, refuses, and leaves behind."""

import importlib
import json
import os

import numpy as np
import PIL.Image
import pytest

import c3lite as c3
from c3lite import __main__ as cli
from c3lite import config, data
from c3lite.video import clips
from tests.coded import CONFIGS, coded

FIT = importlib.import_module("c3lite.fitting.fit")  # in the package its name is the function's


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "in.png"
    pixels = np.rint(255 * data.kodak(19)[:, 300:332, 100:148]).astype(np.uint8)
    PIL.Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "in.c3"
    c3.save(coded(CONFIGS["c3"], (32, 48)), path)
    return path


def run(capsys, *arguments):
    """(exit code, standard output, standard error)."""
    try:
        code = cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()


def test_encode_decode_info_compare(photo, tmp_path, capsys):
    out, again = tmp_path / "out.c3", tmp_path / "again.png"
    code, text, errors = run(capsys, "encode", photo, out, "--steps", 20, "--rd-weight", "2e-3")
    assert (code, errors) == (0, "")
    assert f"{out.stat().st_size:,} bytes" in text and " dB" in text
    assert run(capsys, "decode", out, again)[0] == 0
    with PIL.Image.open(again) as picture:
        pixels = np.asarray(picture).transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels, np.rint(255 * c3.load(out)))

    code, text, _ = run(capsys, "info", out, "--json")
    info = json.loads(text)
    assert code == 0 and info["bytes"] == out.stat().st_size and info["shape"] == [32, 48]
    assert "grid 0 32x48" in run(capsys, "info", out)[1]

    code, text, _ = run(capsys, "compare", photo, out)
    quality = c3.metrics.psnr(c3.load(out), data.image(photo))
    assert code == 0 and f"PSNR  {quality:.2f} dB" in text and "synthesis 666" in text
    assert f"{8 * info['bytes'] / (32 * 48):.4f}" in text
    assert sorted(tmp_path.iterdir()) == [again, out]
    umask = os.umask(0)
    os.umask(umask)
    assert out.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.fixture
def fitted(monkeypatch):
    """Instead of fitting, note what would be fitted."""
    asked = []

    def record(image, what, *, key):
        asked.append(what)
        return coded(CONFIGS["c3"], image.shape[1:])

    monkeypatch.setattr(FIT, "fit", record)
    monkeypatch.setattr(clips, "adaptive", record)
    return asked


def test_options_reach_the_config(photo, tmp_path, capsys, fitted):
    assert run(capsys, "encode", photo, tmp_path / "a.c3", "--preset", "cool-chic",
               "--steps", 70, "--rd-weight", "0.01")[0] == 0
    assert fitted[0] == config.edit(c3.COOL_CHIC, steps=70, stage2_steps=7, rd_weight=0.01)
    assert run(capsys, "encode", photo, tmp_path / "b.c3", "--adaptive")[0] == 0
    assert fitted[1] == [config.edit(c, steps=2000, stage2_steps=200, rd_weight=1e-3)
                         for c in c3.ADAPTIVE_KODAK]


def test_existing_files_are_kept_without_force(photo, file, tmp_path, capsys, fitted):
    old, picture = tmp_path / "old.c3", tmp_path / "old.png"
    for path, arguments in [(old, ("encode", photo)), (picture, ("decode", file))]:
        path.write_bytes(b"old")
        code, _, errors = run(capsys, *arguments, path)
        assert code == 1 and "--force" in errors and path.read_bytes() == b"old"
        assert run(capsys, *arguments, path, "--force")[0] == 0
        assert path.read_bytes() != b"old"


def test_a_clip_becomes_a_folder_of_frames(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clips, "fit_best", lambda part, *_, **__: coded(
        CONFIGS["video"], part.shape[1:]))
    x = c3.data.moving_window(2, 1, frames=3, height=16, width=18)
    os.mkdir("in")
    for t in range(3):
        pixels = np.rint(255 * x[:, t]).astype(np.uint8).transpose(1, 2, 0)
        PIL.Image.fromarray(pixels).save(f"in/{t}.png")
    code, text, errors = run(capsys, "encode", "in", "clip.c3", "--frames", 2, "--steps", 4,
                             "--patch", "2,16,9", "--rd-weight", "1e-2")
    assert (code, errors) == (0, "") and "patch 2 of 2" in text
    assert run(capsys, "decode", "clip.c3", "out")[0] == 0
    frames = [np.asarray(PIL.Image.open(f"out/frame{t:05}.png")) for t in (1, 2)]
    np.testing.assert_array_equal(
        np.stack(frames, 1), np.rint(255 * c3.load("clip.c3")).transpose(2, 1, 3, 0))
    assert len(os.listdir("out")) == 2
    code, _, errors = run(capsys, "decode", "clip.c3", "out")
    assert code == 1 and "--force" in errors
    assert run(capsys, "decode", "clip.c3", "out", "--force")[0] == 0
    assert "2 patches of 2 x 16 x 9" in run(capsys, "info", "clip.c3")[1]
    code, text, _ = run(capsys, "compare", "in", "clip.c3")
    quality = c3.metrics.mean_frame_psnr(c3.load("clip.c3"), x[:, :2])
    assert code == 0 and f"PSNR  {quality:.2f} dB" in text
    for arguments in [("decode", "clip.c3", "a.png"),
                      ("encode", "in/0.png", "a.c3", "--frames", 2)]:
        code, _, errors = run(capsys, *arguments)
        assert code == 1 and "clip" in errors
    assert run(capsys, "encode", "in", "a.c3", "--patch", "2,16")[0] == 2


@pytest.mark.parametrize("arguments", [
    ("decode", "missing.c3", "a.png"), ("decode", "IN.png", "a.png"), ("info", "IN.png"),
    ("info", "."), ("compare", "IN.png", "missing.c3"), ("encode", "missing.png", "a.c3"),
    ("encode", "FILE.c3", "a.c3"), ("encode", "IN.png", "no/folder/a.c3"),
    ("encode", "IN.png", ".", "--force"), ("decode", "FILE.c3", "a.jpg"),
    ("compare", "SMALL.png", "FILE.c3"),
])
def test_failures_are_one_line_and_code_1(arguments, photo, file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PIL.Image.new("RGB", (8, 9)).save("SMALL.png")
    places = {"IN.png": photo, "FILE.c3": file}
    code, out, errors = run(capsys, *(places.get(a, a) for a in arguments))
    assert code == 1 and out == ""
    assert errors.startswith("c3lite: ") and errors.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["SMALL.png"]


@pytest.mark.parametrize("arguments", [
    (), ("encode",), ("fly", "a"), ("encode", "a.png", "b.c3", "--rd-weight", "0"),
    ("encode", "a.png", "b.c3", "--steps", "many"), ("encode", "a.png", "b.c3", "--seed", "-1"),
    ("encode", "a.png", "b.c3", "--preset", "c4"),
    ("encode", "a.png", "b.c3", "--preset", "cool-chic", "--adaptive"),
])
def test_wrong_usage_is_code_2(arguments, capsys):
    code, _, errors = run(capsys, *arguments)
    assert code == 2 and "usage:" in errors


def test_help_teaches(capsys):
    code, text, _ = run(capsys, "--help")
    assert code == 0 and "c3lite encode photo.png photo.c3" in text
    assert "lambda" in run(capsys, "encode", "--help")[1]


def test_presets_are_all_offered(capsys):
    text = run(capsys, "encode", "--help")[1]
    assert all(name in text for name in config.PRESETS)


def test_a_full_disk_keeps_the_old_file(photo, tmp_path, capsys, fitted, monkeypatch):
    out = tmp_path / "out.c3"
    out.write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, errors = run(capsys, "encode", photo, out, "--force")
    assert code == 1 and "No space left" in errors
    assert out.read_bytes() == b"old" and list(tmp_path.iterdir()) == [out]


def test_an_interrupted_fit_writes_nothing(photo, tmp_path, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(FIT, "fit", interrupt)
    code, _, errors = run(capsys, "encode", photo, tmp_path / "out.c3")
    assert code == 1 and "nothing was written" in errors and not list(tmp_path.iterdir())
