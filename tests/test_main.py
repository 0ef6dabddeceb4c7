"""The command line: what it writes, says, refuses, and leaves behind."""

import io
import json
import os
import subprocess
import sys
import threading

import av
import numpy as np
import PIL.Image
import pytest

import c3lite as c3
from c3lite import __main__ as cli
from c3lite import config, data
from c3lite.video import clips
from tests import hard
from tests.coded import CONFIGS, coded

SMALL = c3.edit(c3.C3_FAST, num_grids=3, synthesis_widths=(8,), entropy_widths=(8,),
                context_size=(3, 3), synthesis_residual_convs=1)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "in.png"
    pixels = np.rint(255 * data.kodak(19)[:, 464:496, :48]).astype(np.uint8)
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


def test_ms_ssim_stands_behind_the_psnr_of_a_picture_that_is_large_enough():
    image = np.random.default_rng(0).uniform(size=(3, 161, 165))
    assert cli._similarity(image, image) == ", MS-SSIM 1.0000"
    assert cli._similarity(image[:, 1:], image[:, 1:]) == ""
    assert cli._similarity(image[:, None], image[:, None]) == ""


def test_encode_decode_info_compare(photo, tmp_path, capsys, monkeypatch):
    out, again = tmp_path / "out.c3", tmp_path / "again.png"
    monkeypatch.setitem(config.PRESETS, "small", SMALL)
    code, text, errors = run(capsys, "encode", photo, out, "--steps", 20, "--rd-weight", "2e-3",
                             "--preset", "small")
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
    assert code == 0 and f"PSNR  {quality:.2f} dB" in text and "synthesis 129" in text
    assert f"{8 * info['bytes'] / (32 * 48):.4f}" in text
    assert sorted(tmp_path.iterdir()) == [again, out]
    umask = os.umask(0)
    os.umask(umask)
    assert out.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.fixture
def fitted(monkeypatch):
    """Instead of fitting, note what would be fitted, and to what goal."""
    asked = []

    def record(image, what, *, key, on_collapse="restart", **goal):
        assert on_collapse == "restart"
        asked.append((what, {name: value for name, value in goal.items() if value is not None}))
        return coded(CONFIGS["c3"], image.shape[1:])

    for name in ("fit", "fit_to", "adaptive"):
        monkeypatch.setattr(cli, name, record)
    return asked


def test_options_reach_the_config(photo, tmp_path, capsys, fitted):
    assert run(capsys, "encode", photo, tmp_path / "a.c3", "--preset", "cool-chic",
               "--steps", 70, "--rd-weight", "0.01")[0] == 0
    assert fitted[0][0] == config.edit(c3.COOL_CHIC, steps=70, stage2_steps=7, rd_weight=0.01)
    assert run(capsys, "encode", photo, tmp_path / "b.c3", "--adaptive")[0] == 0
    assert fitted[1][0] == [config.edit(c, steps=2000, stage2_steps=200, rd_weight=1e-3)
                            for c in c3.ADAPTIVE_KODAK]


def test_the_default_is_the_fast_preset(photo, tmp_path, capsys, fitted):
    assert run(capsys, "encode", photo, tmp_path / "a.c3")[0] == 0
    assert fitted == [
        (config.edit(c3.C3_FAST, rd_weight=1e-3, steps=2000, stage2_steps=200), {})]


@pytest.mark.parametrize("goal", [{"bpp": 0.5}, {"psnr": 35.0}])
def test_a_rate_or_a_quality_reaches_the_fit(photo, tmp_path, capsys, fitted, goal):
    (name, value), = goal.items()
    assert run(capsys, "encode", photo, tmp_path / "a.c3", f"--{name}", value, "--preset", "c3",
               "--steps", 600)[0] == 0
    assert fitted == [(config.edit(c3.C3, rd_weight=1e-3, steps=600, stage2_steps=60), goal)]


@pytest.mark.parametrize("imports_s", [0, 4])
def test_seconds_count_from_the_start_of_the_command(
        photo, tmp_path, capsys, fitted, monkeypatch, imports_s):
    """By a made-up clock: what reading the picture takes is gone, and a command's imports."""
    now = [100.0]
    monkeypatch.setattr(cli.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(cli.time, "process_time", lambda: 4.0)

    def slow(path, alpha):
        now[0] += 7
        return np.zeros((3, 32, 48), np.float32)

    monkeypatch.setattr(data, "image", slow)
    arguments = ["encode", str(photo), str(tmp_path / "a.c3"), "--seconds", "60"]
    monkeypatch.setattr(sys, "argv", ["c3lite", *arguments])
    # a caller's own process has not worked for this command alone
    assert cli.main(None if imports_s else arguments) == 0
    assert fitted[0][1] == {"seconds": 60 - 7 - imports_s}


@pytest.mark.parametrize("goal", [("--seconds", 60), ("--bpp", 0.5), ("--psnr", 35)])
def test_goals_are_for_one_fit_of_a_picture(photo, tmp_path, capsys, fitted, goal):
    (tmp_path / "in").mkdir()
    for arguments in [(photo, "--adaptive"), (tmp_path / "in",)]:
        code, _, errors = run(capsys, "encode", *arguments[:1], tmp_path / "a.c3", *arguments[1:],
                              *goal)
        assert code == 1 and errors.count("\n") == 1 and fitted == []
        assert goal[0] in errors and "take --steps and --rd-weight" in errors


def test_seconds_exclude_a_rate_and_a_quality(photo, tmp_path, capsys, fitted):
    for goal in ("--bpp", "--psnr"):
        code, _, errors = run(
            capsys, "encode", photo, tmp_path / "a.c3", goal, 30, "--seconds", 60)
        assert code == 1 and errors.count("\n") == 1 and fitted == []
        assert "give --steps in its place" in errors


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
    quality = c3.metrics.quality(c3.load("clip.c3"), x[:, :2])
    assert code == 0 and f"PSNR  {quality:.2f} dB" in text
    os.mkfifo("pipe")
    for arguments in [("decode", "clip.c3", "a.png"), ("decode", "clip.c3", "pipe"),
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
    ("encode", "a.png", "b.c3", "--steps", "100", "--seconds", "60"),
    ("encode", "a.png", "b.c3", "--bpp", "0.5", "--psnr", "35"),
    ("encode", "a.png", "b.c3", "--bpp", "0.5", "--rd-weight", "1e-3"),
    ("encode", "a.png", "b.c3", "--seconds", "0"), ("encode", "a.png", "b.c3", "--bpp", "nan"),
])
def test_wrong_usage_is_code_2(arguments, capsys):
    code, _, errors = run(capsys, *arguments)
    assert code == 2 and "usage:" in errors


def test_help_teaches(capsys):
    code, text, _ = run(capsys, "--help")
    assert code == 0 and "c3lite encode photo.png photo.c3" in text
    assert "lambda" in run(capsys, "encode", "--help")[1]


def test_presets_are_those_of_config(photo, tmp_path, capsys, fitted, monkeypatch):
    monkeypatch.setitem(config.PRESETS, "mine", config.edit(c3.C3, num_grids=5))
    text = run(capsys, "encode", "--help")[1]
    assert all(name in text for name in config.PRESETS)
    assert run(capsys, "encode", photo, tmp_path / "a.c3", "--preset", "mine")[0] == 0
    assert fitted[0][0].num_grids == 5


def test_a_fit_that_collapses_begins_again(tmp_path, capsys, monkeypatch):
    """A page of text, of which the release's clip leaves one color."""
    x = hard.page(32, 48)
    monkeypatch.setitem(config.PRESETS, "small", c3.edit(
        c3.C3, num_grids=3, synthesis_widths=(8,), entropy_widths=(8,), context_size=(3, 3),
        synthesis_residual_convs=1, parameter_steps=(1e-3,)))
    PIL.Image.fromarray(np.rint(255 * x).astype(np.uint8).transpose(1, 2, 0)).save(
        tmp_path / "in.png")
    code, _, errors = run(capsys, "encode", tmp_path / "in.png", tmp_path / "out.c3",
                          "--steps", 300, "--preset", "small")
    assert code == 0 and errors.count("\n") == 1
    assert errors.startswith("c3lite: the fit has collapsed to one color: it begins again")
    one_color = np.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)
    best = c3.metrics.psnr(one_color.astype(np.float32), x)
    assert c3.metrics.psnr(c3.load(tmp_path / "out.c3"), x) > best + 5


# Files of all kinds


def test_a_link_stays_and_what_it_leads_to_is_replaced(photo, file, tmp_path, capsys, fitted):
    target, link, new = tmp_path / "target.png", tmp_path / "link.png", tmp_path / "new.c3"
    target.write_bytes(b"old")
    link.symlink_to("target.png")
    assert run(capsys, "decode", file, link)[0] == 1 and target.read_bytes() == b"old"
    assert run(capsys, "decode", file, link, "--force")[0] == 0
    assert link.is_symlink() and target.read_bytes().startswith(b"\x89PNG")
    (tmp_path / "link.c3").symlink_to(new)  # to nothing yet
    assert run(capsys, "encode", photo, tmp_path / "link.c3")[0] == 0
    assert (tmp_path / "link.c3").is_symlink() and new.is_file()
    (tmp_path / "lost.c3").symlink_to(tmp_path / "no" / "folder.c3")
    code, _, errors = run(capsys, "encode", photo, tmp_path / "lost.c3")
    assert code == 1 and f"no folder {tmp_path / 'no'}" in errors and len(fitted) == 1


def test_names_of_any_length_and_letters(photo, file, tmp_path, capsys, fitted, monkeypatch):
    longest = tmp_path / f"{'ü' * 126}.c3"  # 255 bytes
    assert run(capsys, "encode", photo, longest)[0] == 0 and longest.is_file()
    code, _, errors = run(capsys, "encode", photo, tmp_path / f"{'ü' * 127}.c3")
    assert code == 1 and "too long" in errors and len(fitted) == 1  # before any work
    ascii_only = io.TextIOWrapper(io.BytesIO(), "ascii")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", ascii_only)
        assert cli.main(["decode", str(file), str(tmp_path / "bär.png")]) == 0
    assert b"b\\xe4r.png: 48 x 32 pixels" in ascii_only.buffer.getvalue()
    assert (tmp_path / "bär.png").is_file()


def through_pipes(tmp_path, capsys, sent, command, *options):
    """(what comes out of a pipe, exit code, standard output, standard error)"""
    ends, received = (tmp_path / "in", tmp_path / "out"), []
    for end in ends:
        os.mkfifo(end)
    threads = [threading.Thread(target=ends[0].write_bytes, args=[sent], daemon=True),
               threading.Thread(target=lambda: received.append(ends[1].read_bytes()), daemon=True)]
    for thread in threads:
        thread.start()
    result = run(capsys, command, *ends, *options)
    threads[1].join(timeout=60)
    assert all(os.path.exists(end) and not os.path.isfile(end) for end in ends)
    for end in ends:
        end.unlink()
    return received[0], *result


def test_pipes_go_in_and_out(photo, file, tmp_path, capsys, fitted):
    content, code, text, errors = through_pipes(tmp_path, capsys, photo.read_bytes(), "encode")
    assert code == 0 and text == "" and f"{len(content):,} bytes" in errors
    np.testing.assert_array_equal(c3.decode(content), coded(CONFIGS["c3"], (32, 48)).reconstruction)
    content, code, text, errors = through_pipes(tmp_path, capsys, file.read_bytes(), "decode")
    assert code == 0 and text == "" and "48 x 32 pixels" in errors
    pixels = np.asarray(PIL.Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(pixels.transpose(2, 0, 1), np.rint(255 * c3.load(file)))
    assert os.listdir(tmp_path) == []


def test_standard_output_is_for_results(photo, tmp_path):
    """A progress bar is for people: in a pipeline it is not on standard output."""
    root = os.path.dirname(os.path.dirname(c3.__file__))
    done = subprocess.run(
        [sys.executable, "-m", "c3lite", "encode", "/dev/stdin", "out.c3", "--steps", "20"],
        stdin=photo.open("rb"), capture_output=True, text=True, cwd=tmp_path, check=True,
        timeout=600, env={**os.environ, "PYTHONPATH": root})
    assert done.stdout.startswith("out.c3: ") and done.stdout.count("\n") == 1
    assert "stage 1" in done.stderr and "out.c3" not in done.stderr


def test_transparent_pictures_are_composited_when_asked_to(file, tmp_path, capsys, fitted):
    picture = PIL.Image.new("RGBA", (48, 32), (10, 20, 30, 0))
    picture.save(tmp_path / "in.png")
    for arguments in [("encode", tmp_path / "in.png", tmp_path / "out.c3"),
                      ("compare", tmp_path / "in.png", file)]:
        code, _, errors = run(capsys, *arguments)
        assert code == 1 and "--alpha composite" in errors
        assert run(capsys, *arguments, "--alpha", "composite")[0] == 0


@pytest.mark.parametrize("suffix", [".avi", ".m4v", ".ts", ".mpg", ".webm", ".yuv", ".Y4M"])
def test_every_kind_of_clip_is_a_clip(tmp_path, capsys, monkeypatch, suffix):
    path = tmp_path / f"clip_32x16{suffix}"
    if suffix == ".yuv":
        path.write_bytes(bytes(3 * 16 * 32 * 3 // 2))
    elif suffix == ".Y4M":
        path.write_bytes(b"YUV4MPEG2 W32 H16 F25:1 Ip A1:1 C420jpeg\n"
                         + 3 * (b"FRAME\n" + bytes(16 * 32 * 3 // 2)))
    else:
        codec = {".mpg": "mpeg2video", ".webm": "libvpx-vp9"}.get(suffix, "mpeg4")
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
            for t in range(3):
                noise = np.random.default_rng(t).integers(0, 256, (24, 32), np.uint8)
                frame = av.VideoFrame.from_ndarray(noise, format="yuv420p")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    def seen(x, settings, **_):
        assert settings == [
            config.edit(c3.UVG_FAST, rd_weight=1e-3, steps=2000, stage2_steps=200)]
        raise ValueError(f"seen {x.shape}")

    monkeypatch.setattr(cli, "fit_video", seen)
    assert "seen (3, 3, 16, 32)" in run(capsys, "encode", path, tmp_path / "a.c3")[2]


def test_a_clip_of_another_matrix(tmp_path, capsys, monkeypatch):
    """What a message tells people to pass, the command line takes."""
    path = tmp_path / "hdr.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        stream.codec_context.colorspace = 9  # BT.2020
        frame = av.VideoFrame.from_ndarray(np.zeros((24, 32), np.uint8), format="yuv420p")
        frame.colorspace = 9
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    code, _, errors = run(capsys, "encode", path, tmp_path / "a.c3")
    assert code == 1 and "--matrix bt709" in errors
    monkeypatch.setattr(
        clips, "fit_best", lambda part, *_, **__: coded(CONFIGS["video"], part.shape[1:]))
    assert run(capsys, "encode", path, tmp_path / "a.c3", "--matrix", "bt709")[0] == 0


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

    monkeypatch.setattr(cli, "fit", interrupt)
    code, _, errors = run(capsys, "encode", photo, tmp_path / "out.c3")
    assert code == 1 and "nothing was written" in errors and not list(tmp_path.iterdir())
